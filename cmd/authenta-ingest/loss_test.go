package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestAStateFolderThatIsDeletedCostsNoFileAndNoSecondPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: time.Second})
	const files = 40
	w.drop(0, files)
	p := w.start(nil, "run", w.inbox)
	eventually(t, time.Minute, "some are judged, some in work, some not begun", func() bool { return len(w.platform.Ledger().Paid) > files/3 })
	p.kill()
	if err := os.RemoveAll(w.state); err != nil {
		t.Fatal(err)
	}
	w.drop(files, 5)
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Errorf("ended with %d", code)
	}
	w.promises(files+5, files+5)
}

func TestAStateFolderThatIsDeletedUnderARunningDaemonEndsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.drop(0, 3)
	p := w.start(nil, "run", w.inbox)
	eventually(t, time.Minute, "all are paid for", func() bool { return len(w.platform.Ledger().Paid) == 3 })
	eventually(t, time.Minute, "it is gone", func() bool { return os.RemoveAll(w.state) == nil })
	if code := p.wait(time.Minute); code != exitFailure {
		t.Errorf("ended with %d", code)
	}
	w.drop(3, 3)
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Errorf("the next run ended with %d", code)
	}
	w.promises(6, 6)
}

func TestAStreamThatIsDeletedBetweenTwoRunsCostsNoFileAndNoSecondPayment(t *testing.T) {
	for _, stream := range []string{"KV_authenta-ledger", "authenta-jobs", "KV_authenta-files", "authenta-verdicts", "KV_authenta-control"} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Options{Latency: time.Second})
			const files = 20
			w.drop(0, files)
			p := w.start(nil, "run", w.inbox)
			eventually(t, time.Minute, "work has begun", func() bool { return len(w.platform.Ledger().Paid) > files/3 })
			p.terminate()
			if err := os.RemoveAll(filepath.Join(w.state, "jetstream", "jetstream", "$G", "streams", stream)); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(w.state, "jetstream", "jetstream", "$G", "streams")); err != nil {
				t.Fatal(fmt.Errorf("nothing was deleted: %w", err))
			}
			if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
				t.Errorf("ended with %d", code)
			}
			w.promises(files, files)
		})
	}
}
