package watcher

import (
	"path/filepath"
	"testing"
	"time"
)

// New folders come more often than the safety scan is due.
func TestNewFoldersDoNotPutOffTheScanOfAllOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	empty := mkdir(t, filepath.Join(w.dir, "empty"))
	watcher := w.watcher(func(o *Options) { o.Rescan = 200 * time.Millisecond })
	runDeaf(t, watcher)
	<-watcher.CaughtUp()
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	await(t, "the scan finds the file", func() bool {
		watcher.roots[0].toScan.add(empty)
		return len(w.of(path)) == 1
	})
}

// The state folder is the watched one. What is refused in it makes the broker write, and that is refused again.
func TestAWatchedFolderThatIsToBeLeftOutIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.scanned(func(o *Options) { o.Exclude = o.Dirs })
	w.wantOnly()
}

// The entry is damaged: not for ever is the file to wait.
func TestADamagedEntryDoesNotKeepAFileBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.scanned()
	stream, err := w.js.Stream(deadline(t), "KV_authenta-files")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := stream.GetMsg(deadline(t), stream.CachedInfo().State.LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.Publish(deadline(t), entry.Subject, []byte("{")); err != nil {
		t.Fatal(err)
	}
	w.scanned()
	if n := w.queued(); n != 1 {
		t.Errorf("%d jobs on the queue, want one", n)
	}
}

// A scan sees what the intake has just then, and the events of one file come in several portions.
func TestAFileThatIsSeenUnchangedWhileItIsTakenIsDealtWithOnce(t *testing.T) {
	inTriage(t, func(t *testing.T, tr *triage, path string) {
		tr.see(seen(t, path))
		tr.after(5 * time.Second)
		tr.ready = nil // the intake has it
		tr.see(seen(t, path))
		if tr.done(result{sighting: sighting{path: path}}); !tr.idle() {
			t.Error("it waits again")
		}
	})
}
