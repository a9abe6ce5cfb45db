package main

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestASignalInTheMiddleOfUploadsLosesNothing(t *testing.T) {
	t.Parallel()
	for name, slowly := range map[string]sandbox.Effect{
		"uploads finish within the drain time": sandbox.Delay(500 * time.Millisecond),
		"uploads are cut off":                  sandbox.Hang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Options{Latency: 100 * time.Millisecond})
			const files = 12
			for n := range files {
				w.write(fmt.Sprintf("%02d.jpg", n), picture(n))
			}
			w.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: slowly})
			p := w.start(map[string]string{"INGEST_DRAIN": "6s"}, "run", w.inbox)
			eventually(t, time.Minute, "four uploads are under way", func() bool { return w.platform.Ledger().Creates >= 4 })
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(20 * time.Second); code != exitDone { // the drain time, and what a busy machine adds
				t.Errorf("exit code %d", code)
			}
			w.platform.Faults()
			if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
				t.Errorf("the next run ended with %d", code)
			}
			w.promises(files, files)
		})
	}
}

func TestASecondSignalKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("a.jpg", picture(1))
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.Hang})
	p := w.start(map[string]string{"INGEST_DRAIN": "10m"}, "run", w.inbox)
	eventually(t, time.Minute, "an upload hangs", func() bool { return w.platform.Ledger().Creates == 1 })
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "it is gone", func() bool {
		select {
		case <-p.exited:
			return true
		default:
			_ = p.cmd.Process.Signal(os.Interrupt)
			return false
		}
	})
	if code := p.wait(time.Minute); code != -1 {
		t.Errorf("exit code %d, want an end by the signal", code)
	}
}
