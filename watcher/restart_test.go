package watcher

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// Its size and time are what they were, and its inode's change time is not.
func TestAFileOverwrittenWithItsOldTimeSetAgainIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	note := put(t, filepath.Join(w.dir, "note.jpg"), []byte("text 0123456789 0123456789"))
	w.scanned()
	overwrite(t, path, picture(2))
	overwrite(t, note, picture(3))
	w.scanned()
	w.scanned()
	if got := w.of(path); len(got) != 2 || got[0].digest == got[1].digest {
		t.Errorf("arrived: %v, want both versions", got)
	}
	if got := w.of(note); len(got) != 1 || len(w.failures()) != 1 {
		t.Errorf("arrived: %v, %d failures, want the note's second version, and one failure", got, len(w.failures()))
	}
}

func TestWhatChangedWhileNobodyWatchedArrivesAtTheNextStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	b := put(t, filepath.Join(w.dir, "b.jpg"), picture(2))
	w.scanned()
	put(t, a, picture(3))
	c := put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "d")), "c.jpg"), picture(4))
	w.scanned()
	if len(w.of(a)) != 2 || len(w.of(b)) != 1 || len(w.of(c)) != 1 {
		t.Errorf("arrived: %v", w.arrivals())
	}
}

// The watcher ends before and after each of its durable writes; after that, not one more leaves. Whatever had been
// written, the next one takes the file as the same drop, and there is one answer.
func TestAStopAtAnyDurableWriteLosesNothingAndTakesNothingTwice(t *testing.T) {
	t.Parallel()
	points := []string{
		"before $KV.authenta-ledger", "after $KV.authenta-ledger", "before jobs.upload", "after jobs.upload",
		"before $KV.authenta-files", "after $KV.authenta-files", "before failures.none", "after failures.none",
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			data := picture(1)
			refused := strings.Contains(point, "failures")
			if refused {
				data = []byte("text")
			}
			path := put(t, filepath.Join(w.dir, "a.jpg"), data)
			w.stopAt(point)
			entry, err := w.entry(path)
			if remembered := entry != nil; err != nil || remembered != (point == "after $KV.authenta-files") {
				t.Fatalf("the registry has %+v, %v", entry, err)
			}
			w.scanned()
			w.scanned()
			entry, err = w.entry(path)
			if err != nil || entry == nil || len(entry.Drops) != 1 {
				t.Fatalf("the registry has %+v, %v", entry, err)
			}
			if refused {
				if failed := w.failures(); len(failed) != 1 || failed[0].ID != entry.Drops[0] || len(w.arrivals()) != 0 {
					t.Errorf("failures %+v, arrived %v", failed, w.arrivals())
				}
				return
			}
			w.wantOnly(path)
			if n := w.queued(); n != 1 {
				t.Errorf("%d jobs on the queue", n)
			}
			w.judgeAll()
			await(t, "there is a verdict", func() bool { return len(w.verdicts()) > 0 })
			w.scanned()
			if v := w.verdicts(); len(v) != 1 || v[0].ID != entry.Drops[0] {
				t.Errorf("verdicts %+v, want one for %v", v, entry.Drops)
			}
		})
	}
}

// stopAt runs a watcher whose context ends at a durable write.
func (w *world) stopAt(point string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var (
		once    sync.Once
		reached bool
	)
	q := w.open(func(at string) {
		if strings.HasPrefix(at, point) {
			once.Do(func() { reached = true; cancel() })
		}
	})
	watcher := w.watcher(func(o *Options) { o.Queue = q })
	if err := watcher.Run(ctx); err != nil || !reached {
		w.t.Fatalf("Run: %v, stopped there: %v", err, reached)
	}
}

// The job had its answer before the watcher had remembered the file.
func TestACrashAfterSubmitThatIsJudgedMeanwhileGivesTheSameAnswerAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.stopAt("before $KV.authenta-files")
	w.judgeAll()
	await(t, "there is a verdict", func() bool { return len(w.verdicts()) > 0 })
	w.scanned()
	ids := map[queue.DropID]bool{}
	for _, v := range w.verdicts() {
		ids[v.ID] = true
	}
	if len(ids) != 1 || len(w.of(path)) != 1 {
		t.Errorf("verdicts %+v, arrived %v", w.verdicts(), w.arrivals())
	}
}

func TestManyStopsInTheMiddleOfManyFilesLoseNone(t *testing.T) {
	t.Parallel()
	const files = 100
	w := newWorld(t)
	var paths []string
	for i := range files {
		paths = append(paths, put(t, filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i)), picture(i)))
	}
	for stop := range 6 {
		ctx, cancel := context.WithCancel(context.Background())
		var (
			mu    sync.Mutex
			count int
		)
		q := w.open(func(string) {
			mu.Lock()
			defer mu.Unlock()
			if count++; count == 20+17*stop {
				cancel()
			}
		})
		watcher := w.watcher(func(o *Options) { o.Queue = q })
		if err := watcher.Run(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	w.scanned()
	w.wantOnly(paths...)
	if n := w.queued(); n != files {
		t.Errorf("%d jobs on the queue, want %d", n, files)
	}
}

// Some file systems number their inodes anew at a mount; after INGEST_RESULT_TTL the ledger has forgotten the file, and only
// the registry knows its drop.
func TestAKnownFileWithAnotherInodeIsNotPaidForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.scanned()
	entry, err := w.entry(path)
	if err != nil || entry == nil {
		t.Fatal(entry, err)
	}
	entry.File.Inode++
	if err := w.Registry("").Remember(deadline(t), queue.FileKeyOf(path), *entry); err != nil {
		t.Fatal(err)
	}
	w.forget("KV_authenta-ledger", "authenta-jobs")
	w.scanned()
	after, err := w.entry(path)
	if err != nil || len(after.Drops) != 1 || after.Drops[0] != entry.Drops[0] {
		t.Fatalf("remembered %+v, %v, want the same drop", after, err)
	}
	if n := w.queued(); n != 0 {
		t.Errorf("%d jobs on the queue, want none", n)
	}
}

// Its record may have expired since: that it is written again must not make it look young.
func TestAnEntryThatIsWrittenAgainForTheSameVersionIsAsOldAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.scanned()
	was, err := w.entry(path)
	if err != nil || was == nil || was.Since.IsZero() {
		t.Fatal(was, err)
	}
	renumbered := *was
	renumbered.File.Inode++ // by a mount
	if err := w.Registry("").Remember(deadline(t), queue.FileKeyOf(path), renumbered); err != nil {
		t.Fatal(err)
	}
	w.scanned()
	is, err := w.entry(path)
	if err != nil || is.File != was.File || !is.Since.Equal(was.Since) || !slices.Equal(is.Jobs, was.Jobs) {
		t.Errorf("entry %+v, %v, want %+v", is, err, was)
	}
}
