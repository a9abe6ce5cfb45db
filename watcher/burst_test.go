package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// burstSettle is longer than it takes to write one file.
const burstSettle = time.Second

// Folders and files come faster than the watches on them.
func TestABurstOfFilesInNewFoldersArrivesWholeAndOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run(func(o *Options) { o.Settle = burstSettle })
	r.caughtUp()
	w.burst(r, 50, 400)
}

// burst has 8 writers write files into new folders, as fast as they can, and sees that all arrive.
func (w *world) burst(r running, folders, files int) {
	w.t.Helper()
	const writers = 8
	pathOf := func(n int) string {
		d := n % folders
		return filepath.Join(w.dir, fmt.Sprintf("%d/%d/%d", d%5, d%10, d), fmt.Sprintf("%d.jpg", n))
	}
	var (
		wait   sync.WaitGroup
		paused atomic.Bool // some file was not written in one go
	)
	for worker := range writers {
		wait.Go(func() {
			for n := worker; n < files; n += writers {
				begun := time.Now()
				if err := writeInTwo(pathOf(n), picture(n)); err != nil {
					w.t.Error(err)
				}
				if time.Since(begun) >= burstSettle {
					paused.Store(true)
				}
			}
		})
	}
	wait.Wait()
	for n := w.remembered(); n < files; n = w.remembered() {
		await(w.t, fmt.Sprintf("one more than %d of %d files arrives", n, files), func() bool { return w.remembered() > n })
	}
	r.stop()
	w.scanned() // a second look finds nothing more
	if paused.Load() {
		w.t.Skip("this machine is too busy: a file took a settle time to be written")
	}
	all := make([]string, files)
	for n := range all {
		all[n] = pathOf(n)
	}
	w.wantOnly(all...)
	for _, a := range w.arrivals() {
		if a.size != int64(len(picture(0))) {
			w.t.Errorf("a part of a file arrived: %v", a)
		}
	}
	if n := w.queued(); n != files {
		w.t.Errorf("%d jobs on the queue, want %d", n, files)
	}
}

func writeInTwo(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, half := range [][]byte{data[:len(data)/2], data[len(data)/2:]} {
		if _, err := f.Write(half); err != nil {
			return err
		}
	}
	return f.Close()
}
