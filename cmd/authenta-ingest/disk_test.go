package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// smallDisk mounts a file system of a few megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk takes what room there is, but for some bytes, and returns what gives it back.
func fillDisk(t *testing.T, dir string, leave int64) (makeRoom func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Truncate(max(info.Size()-leave, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func TestAFullDiskStopsTheIntakeAndThenNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]int64{
		"nearly full, so that only the intake waits": 1 << 20,
		"full, so that no write succeeds":            0,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Options{Latency: 300 * time.Millisecond})
			disk := smallDisk(t, 64)
			w.state = filepath.Join(disk, "state")
			w.env["INGEST_STATE_DIR"] = w.state
			const files = 90
			for n := range files / 3 {
				w.write(fmt.Sprintf("%03d.jpg", n), picture(n))
			}
			p := w.start(nil, "run", w.inbox)
			eventually(t, time.Minute, "work has begun", func() bool { return len(w.platform.Ledger().Paid) > files/10 })
			makeRoom := fillDisk(t, disk, leave)
			for n := files / 3; n < files*2/3; n++ {
				w.write(fmt.Sprintf("%03d.jpg", n), picture(n))
			}
			eventually(t, time.Minute, "it says that it takes no more", func() bool {
				return strings.Contains(p.stderr.String(), "no more files are taken in")
			})
			paid := len(w.platform.Ledger().Paid)
			if leave > 0 {
				eventually(t, time.Minute, "what was taken in is judged", func() bool { return strings.Count(p.stdout.String(), "AC-1") >= paid })
			}

			p.kill() // and the next one is started before there is room
			next := w.start(nil, "run", w.inbox)
			for n := files * 2 / 3; n < files; n++ {
				w.write(fmt.Sprintf("%03d.jpg", n), picture(n))
			}
			eventually(t, time.Minute, "it says that it waits", func() bool {
				said := next.stderr.String()
				return strings.Contains(said, "no more files are taken in") || strings.Contains(said, "waiting for room on the disk")
			})
			if n := len(w.platform.Ledger().Paid); n >= files {
				t.Errorf("%d of %d files are paid for though no more were taken in", n, files)
			}
			makeRoom()
			eventually(t, finishTime, "all are paid for", func() bool { return len(w.platform.Ledger().Paid) == files })
			select {
			case <-next.exited:
				t.Error("ended by itself")
			default:
			}
			next.kill()
			if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
				t.Errorf("the last run ended with %d", code)
			}
			w.promises(files, files)
			for _, said := range []string{p.stderr.String(), next.stderr.String()} {
				if n := strings.Count(said, "no more files are taken in"); n > 1 {
					t.Errorf("said %d times that no more files are taken in:\n%s", n, said)
				}
			}
		})
	}
}
