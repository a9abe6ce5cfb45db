package watcher

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Rights are taken while the watcher runs, and given back. All else goes on meanwhile.
func TestWhatMayNotBeReadKeepsNothingElseBackAndArrivesWhenItMay(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	for name, closed := range map[string]string{"a file": "d/a.jpg", "a folder": "d", "a folder that may be listed, and no more": "d"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mkdir(t, filepath.Join(w.dir, "d"))
			old := put(t, filepath.Join(w.dir, "d/old.jpg"), picture(1))
			told, counting := w.countFailures()
			r := w.run(counting, func(o *Options) { o.Rescan = 50 * time.Millisecond })
			r.caughtUp()
			path := put(t, filepath.Join(w.dir, "d/a.jpg"), picture(2))
			rights := os.FileMode(0)
			if name == "a folder that may be listed, and no more" {
				rights = 0o600
			}
			chmod(t, filepath.Join(w.dir, closed), rights)
			other := w.sentinel()
			if got := w.of(path); len(got) != 0 {
				t.Skipf("this machine is too busy: %v arrived before it was closed", got)
			}
			chmod(t, filepath.Join(w.dir, closed), 0o700)
			w.awaitArrivals(path)
			r.stop()
			w.scanned(counting)
			if n := told.Load(); n > 1 || n == 1 && closed == "d" {
				t.Errorf("%d failures, want one at most, and for a file alone", n)
			}
			for _, p := range []string{old, path, other} {
				if n := len(w.of(p)); n != 1 {
					t.Errorf("%s arrived %d times", p, n)
				}
			}
		})
	}
}

func TestAFolderThatMayNotBeReadIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w, log := newWorld(t), &logbook{}
	dir := mkdir(t, filepath.Join(w.dir, "closed"))
	chmod(t, dir, 0)
	defer chmod(t, dir, 0o700)
	w.run(func(o *Options) { o.Log, o.Rescan = log.logger(), 20*time.Millisecond }).caughtUp()
	for n := range 3 { // a file takes several scans to settle
		w.awaitArrivals(put(t, filepath.Join(w.dir, string(rune('a'+n))+".jpg"), picture(n)))
	}
	if got := log.warnings(dir); len(got) != 1 {
		t.Errorf("%d warnings, want one: %q", len(got), got)
	}
}

func chmod(t testing.TB, path string, rights os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, rights); err != nil {
		t.Fatal(err)
	}
}
