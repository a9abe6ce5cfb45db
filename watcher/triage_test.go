package watcher

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A file and a triage in fake time. The file's own times are the real ones, long after those of the bubble, so that
// every file has to settle.
func inTriage(t *testing.T, test func(t *testing.T, tr *triage, path string)) {
	t.Helper()
	t.Parallel()
	path := put(t, filepath.Join(t.TempDir(), "a.jpg"), picture(1))
	synctest.Test(t, func(t *testing.T) { test(t, newTriage(5*time.Second, lookAt, quiet), path) })
}

func (t *triage) after(d time.Duration) {
	<-time.After(d)
	t.settle()
}

func TestASettledFileIsReadyOnceAndTheIntakeHasIt(t *testing.T) {
	inTriage(t, func(t *testing.T, tr *triage, path string) {
		tr.see(seen(t, path))
		if tr.after(5*time.Second - 1); len(tr.ready) != 0 || tr.idle() {
			t.Errorf("ready: %v, idle %v, before it has settled", tr.ready, tr.idle())
		}
		if tr.after(1); len(tr.ready) != 1 || tr.idle() {
			t.Fatalf("ready: %v, idle %v, when it has settled", tr.ready, tr.idle())
		}
		tr.ready = nil
		tr.done(result{sighting: sighting{path: path}})
		if tr.after(time.Hour); len(tr.ready) != 0 || !tr.idle() {
			t.Errorf("ready: %v, idle %v, when it is dealt with", tr.ready, tr.idle())
		}
	})
}

func TestAFileThatChangedWithoutAnEventSettlesAnew(t *testing.T) {
	inTriage(t, func(t *testing.T, tr *triage, path string) {
		tr.see(seen(t, path))
		put(t, path, picture(2))
		if tr.after(5 * time.Second); len(tr.ready) != 0 || tr.idle() {
			t.Fatalf("ready: %v, idle %v, want it to wait", tr.ready, tr.idle())
		}
		if tr.after(5 * time.Second); len(tr.ready) != 1 || !tr.ready[0].version.Same(seen(t, path).version) {
			t.Errorf("ready: %v, want what it is now", tr.ready)
		}
	})
}

func TestAFileThatIsGoneWhenItHasSettledIsForgotten(t *testing.T) {
	inTriage(t, func(t *testing.T, tr *triage, path string) {
		tr.see(seen(t, path))
		remove(t, path)
		if tr.after(5 * time.Second); len(tr.ready) != 0 || !tr.idle() {
			t.Errorf("ready: %v, idle %v", tr.ready, tr.idle())
		}
	})
}

func TestWhatTheIntakeHasIsNotHandedToItTwice(t *testing.T) {
	for name, again := range map[string]bool{"changed meanwhile": false, "not dealt with": true} {
		t.Run(name, func(t *testing.T) {
			inTriage(t, func(t *testing.T, tr *triage, path string) {
				tr.see(seen(t, path))
				tr.after(5 * time.Second)
				tr.ready = nil // the intake has it
				if !again {
					put(t, path, picture(2))
					tr.see(seen(t, path))
				}
				if tr.after(time.Hour); len(tr.ready) != 0 {
					t.Fatalf("ready: %v, while the intake has it", tr.ready)
				}
				tr.done(result{sighting: sighting{path: path}, again: again})
				if tr.after(5*time.Second - 1); len(tr.ready) != 0 || tr.idle() {
					t.Errorf("ready: %v, idle %v, before it has settled again", tr.ready, tr.idle())
				}
				if tr.after(1); len(tr.ready) != 1 {
					t.Errorf("ready: %v, when it has settled again", tr.ready)
				}
			})
		})
	}
}

func TestAFileThatIsGoneWhenTheIntakeGivesItBackIsForgotten(t *testing.T) {
	inTriage(t, func(t *testing.T, tr *triage, path string) {
		tr.see(seen(t, path))
		tr.after(5 * time.Second)
		tr.ready = nil
		remove(t, path)
		tr.done(result{sighting: sighting{path: path}, again: true})
		if tr.after(time.Hour); len(tr.ready) != 0 || !tr.idle() {
			t.Errorf("ready: %v, idle %v", tr.ready, tr.idle())
		}
	})
}
