package watcher

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// inNamespaces runs the calling test again as the root of namespaces of its own, in which it may set limits and mount,
// and reports whether this is that process.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	return runAgain(t, "WATCHER_TEST_IN_NAMESPACES", "1", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	})
}

// limit sets one of the limits of this user namespace.
func limit(t *testing.T, name string, n int) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/user/"+name, fmt.Append(nil, n), 0o644); err != nil {
		t.Fatal(err)
	}
}

// folders makes folders with a new file in each, and returns the files' paths.
func (w *world) folders(n, serial int) (paths []string) {
	w.t.Helper()
	for i := range n {
		dir := mkdir(w.t, filepath.Join(w.dir, fmt.Sprint(i)))
		paths = append(paths, put(w.t, filepath.Join(dir, fmt.Sprintf("%d.jpg", serial)), picture(1000*serial+i)))
	}
	return paths
}

const plenty = 100_000

func TestFilesArriveWhereNoMoreFoldersCanBeWatchedAndTheSettingIsNamedOnce(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	for _, c := range []struct {
		limit string
		n     int
		names string // what the warning says is to be raised
	}{
		{"max_inotify_watches", 10, "max_user_watches"},
		{"max_inotify_instances", 0, "max_user_instances"},
	} {
		t.Run(c.limit, func(t *testing.T) {
			w, log := newWorld(t), &logbook{}
			limit(t, c.limit, c.n)
			defer limit(t, c.limit, plenty)
			paths := w.folders(50, 1)
			r := start(t, fast(w.watcher(func(o *Options) { o.Log = log.logger() })))
			r.caughtUp()
			w.wantOnly(paths...)
			paths = append(paths, w.folders(55, 2)...) // five of them new
			w.awaitArrivals(paths...)
			r.stop()
			w.wantOnly(paths...)
			if got := log.warnings(c.names); len(got) != 1 {
				t.Errorf("%d warnings name %s, want one: %q", len(got), c.names, got)
			}
		})
	}
}

func TestFoldersAreWatchedAgainWhenTheLimitIsRaised(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	w, log := newWorld(t), &logbook{}
	limit(t, "max_inotify_watches", 10)
	w.folders(50, 1)
	watcher := fast(w.watcher(func(o *Options) { o.Log = log.logger() }))
	watcher.events.retries = backoff{first: 50 * time.Millisecond, last: 50 * time.Millisecond}
	r := start(t, watcher)
	r.caughtUp()
	await(t, "the limit is met", func() bool { return len(log.warnings("max_user_watches")) > 0 })
	if n := watches(t); n > 10 {
		t.Fatalf("%d folders are watched, and 10 can be", n)
	}
	limit(t, "max_inotify_watches", plenty)
	await(t, "all folders are watched", func() bool { return watches(t) >= 51 })
	w.awaitArrivals(w.folders(50, 2)...)
}

func TestAPolledRootIsNotWatchedForEventsAndItsFilesArrive(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	w := newWorld(t)
	paths := w.folders(5, 1)
	r := w.run(func(o *Options) { o.Poll = Poll(50 * time.Millisecond) })
	r.caughtUp()
	paths = append(paths, w.folders(6, 2)...)
	w.awaitArrivals(paths...)
	if n := watches(t); n > 0 {
		t.Errorf("%d folders are watched", n)
	}
	r.stop()
	w.wantOnly(paths...)
}

// watches counts the folders that this process watches.
func watches(t *testing.T) (n int) {
	t.Helper()
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range infos {
		data, err := os.ReadFile(path)
		if err == nil { // else it was closed meanwhile
			n += bytes.Count(data, []byte("inotify wd:"))
		}
	}
	return n
}

// queueLength is how many events an inotify instance that is made now may hold.
const queueLength = "/proc/sys/fs/inotify/max_queued_events"

// The events of a burst are far more than the queue holds.
func TestABurstThatOverflowsTheQueueOfEventsArrivesWholeAndOnce(t *testing.T) {
	files := 600
	if *long {
		files = 10_000
	}
	w, log := newWorld(t), &logbook{}
	watcher := w.watcher(func(o *Options) { o.Settle, o.Log = burstSettle, log.logger() })
	r := startWithShortQueue(t, watcher) // not beside other tests: the setting is the machine's
	t.Parallel()
	w.burst(r, 100, files)
	t.Logf("events were lost %d times", len(log.with("events were lost")))
}

// startWithShortQueue starts a watcher with a queue of 128 events.
func startWithShortQueue(t *testing.T, w *Watcher) running {
	t.Helper()
	f, err := os.OpenFile(queueLength, os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs the right to set the length of the queue of events: %v", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil { // another run of this test restores what was
		t.Fatal(err)
	}
	was, err := os.ReadFile(queueLength)
	if err != nil {
		t.Fatal(err)
	}
	set := func(n []byte) error { return os.WriteFile(queueLength, n, 0o644) }
	if err := set([]byte("128")); err != nil {
		t.Skipf("needs the right to set the length of the queue of events: %v", err)
	}
	defer func() {
		if err := set(was); err != nil {
			t.Errorf("%s is not what it was, %s: %v", queueLength, was, err)
		}
	}()
	r := start(t, w)
	r.caughtUp()
	return r
}
