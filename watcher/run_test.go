package watcher

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// runDeaf is Run without folder events.
func runDeaf(t *testing.T, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return w.files.run(ctx) })
	g.Go(func() error { return w.debts.run(ctx) })
	for _, r := range w.roots {
		g.Go(func() error { return r.run(ctx) })
	}
	g.Go(func() error { return w.loop(ctx) })
	g.Go(func() error { return w.intake(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestItCatchesUpWithNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, dirs := range map[string][]string{
		"an empty folder":   {t.TempDir()},
		"no folder":         nil,
		"folders in folder": {w.dir, mkdir(t, filepath.Join(w.dir, "a/b/c"))},
	} {
		t.Run(name, func(t *testing.T) { w.run(func(o *Options) { o.Dirs = dirs }).caughtUp() })
	}
	t.Run("a folder that has gone", func(t *testing.T) {
		gone := mkdir(t, filepath.Join(w.dir, "gone"))
		watcher := w.watcher(func(o *Options) { o.Dirs = []string{gone} })
		remove(t, gone)
		start(t, watcher).caughtUp()
	})
	w.wantOnly()
}

func TestItHasCaughtUpOnlyWhenAllThatWasThereIsDealtWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const files = 200
	var paths []string
	for i := range files {
		paths = append(paths, put(t, filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i)), picture(i)))
	}
	put(t, filepath.Join(w.dir, "note"), []byte("text"))
	w.run().caughtUp()
	if n := w.remembered(); n != files+1 {
		t.Errorf("%d files are remembered, want %d", n, files+1)
	}
	if got := w.arrivals(); len(got) != files || len(w.failures()) != 1 {
		t.Errorf("%d files have arrived, want %d; %d failures, want 1", len(got), len(paths), len(w.failures()))
	}
}

// held runs a watcher whose durable writes wait until they are released. It returns when one waits.
func (w *world) held(change ...func(*Options)) (r running, release func()) {
	w.t.Helper()
	gate, reached := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	var once sync.Once
	q := w.open(func(string) {
		once.Do(func() { close(reached) })
		<-gate
	})
	r = w.run(append(change, func(o *Options) { o.Queue = q })...)
	w.t.Cleanup(release) // before Run is waited for
	select {
	case <-reached:
	case <-time.After(patience):
		w.t.Fatal("nothing was written")
	}
	return r, release
}

func TestItHasNotCaughtUpWhileTheLastFileIsBeingSubmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	r, release := w.held()
	await(t, "the scan is done", func() bool { return len(r.found) == 0 })
	select {
	case <-r.CaughtUp():
		t.Error("caught up, and the file is not on the queue")
	default:
	}
	release()
	r.caughtUp()
	w.wantOnly(path)
}

func TestItCatchesUpWhenAFileIsGoneBeforeItIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.watcher(func(o *Options) { o.Settle = time.Second })
	gone := put(t, filepath.Join(w.dir, "gone.jpg"), picture(1))
	running := start(t, r)
	await(t, "the scan is done", func() bool { return len(r.found) == 0 })
	remove(t, gone)
	running.caughtUp()
	w.wantOnly()
}

func TestAFileThatComesWhileAnotherIsBeingSubmittedIsNotForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	r, release := w.held()
	put(t, path, picture(2)) // another version of what is being submitted
	other := put(t, filepath.Join(w.dir, "b.jpg"), picture(3))
	release()
	w.awaitArrivals(other)
	await(t, "the second version arrives", func() bool { return len(w.of(path)) == 2 })
	r.caughtUp()
}

// More files than the intake has in hand and may wait for it, and the intake stands still.
func TestRunEndsWhileEverythingWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range inFlight + backlog + 200 {
		if err := os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i)), picture(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, release := w.held(func(o *Options) { o.Settle = time.Nanosecond })
	await(t, "the scan waits too", func() bool { return len(r.found) == cap(r.found) })
	release()
	r.stop()
}

func TestRunEndsAtOnceWithAnEndedContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.watcher().Run(ctx); err != nil {
		t.Error(err)
	}
	w.wantOnly()
}

func TestAnEndedContextStopsTheReadingOfALargeFile(t *testing.T) {
	t.Parallel()
	path := put(t, filepath.Join(t.TempDir(), "large.jpg"), picture(1))
	if err := os.Truncate(path, 1<<40); err != nil { // a hole: an hour of hashing
		t.Skipf("no file of 1 TB here: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := (&Watcher{}).readInto(ctx, seen(t, path), make([]byte, 4096))
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(patience):
		t.Fatal("goes on reading")
	}
}

// The first scan is cut short by the end of the context.
func TestItHasNotCaughtUpWhenItWasStoppedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	for range 100 {
		watcher := w.watcher()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := watcher.Run(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case <-watcher.CaughtUp():
			t.Fatal("caught up with a file that was not taken")
		default:
		}
	}
}
