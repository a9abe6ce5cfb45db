package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAnOverwrittenFileArrivesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.awaitArrivals(path)
	put(t, path, picture(2))
	await(t, "the second version arrives", func() bool { return len(w.of(path)) == 2 })
	if got := w.of(path); got[0].id == got[1].id || got[0].digest == got[1].digest {
		t.Errorf("arrived: %+v", got)
	}
}

// What is written in place keeps its inode; the time alone tells.
func TestAFileAlteredInPlaceArrivesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.awaitArrivals(path)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(picture(2)); err != nil {
		t.Fatal(err)
	}
	await(t, "the second version arrives", func() bool { return len(w.of(path)) == 2 })
}

// Another modification time is another version, by design: the content joins its job.
func TestATouchedFileArrivesAgainAndCostsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.awaitArrivals(path)
	if err := os.Chtimes(path, zero, zero); err != nil {
		t.Fatal(err)
	}
	await(t, "the touched file arrives", func() bool { return len(w.of(path)) == 2 })
	if got := w.of(path); got[0].id == got[1].id || got[0].digest != got[1].digest || w.queued() != 1 {
		t.Errorf("arrived: %+v, %d jobs on the queue", got, w.queued())
	}
}

func TestOtherRightsAndAnotherNameAreNoNewVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run()
	r.caughtUp()
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.awaitArrivals(path)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(w.dir, "b.jpg")
	if err := os.Link(path, second); err != nil {
		t.Fatal(err)
	}
	w.awaitArrivals(second)
	third := w.sentinel()
	r.stop()
	w.scanned()
	w.wantOnly(path, second, third)
	if n := w.queued(); n != 2 {
		t.Errorf("%d jobs on the queue, want that of both names, and the sentinel's", n)
	}
}

func TestARenamedFileArrivesUnderItsNewNameAndCostsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	path, next := filepath.Join(w.dir, "a.jpg"), filepath.Join(mkdir(t, filepath.Join(w.dir, "d")), "b.jpg")
	put(t, path, picture(1))
	w.awaitArrivals(path)
	move(t, path, next)
	w.awaitArrivals(next)
	w.wantOnly(path, next)
	if n := w.queued(); n != 1 {
		t.Errorf("%d jobs on the queue, want one for both names", n)
	}
}

func TestEqualFilesJoinOneJobAndEachGetsItsVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var paths []string
	for i := range 20 {
		dir := mkdir(t, filepath.Join(w.dir, fmt.Sprint(i%3)))
		paths = append(paths, put(t, filepath.Join(dir, fmt.Sprintf("%d.jpg", i)), picture(1)))
	}
	w.scanned()
	w.wantOnly(paths...)
	if n := w.queued(); n != 1 {
		t.Errorf("%d jobs on the queue, want one", n)
	}
	w.judgeAll()
	await(t, "each file has its verdict", func() bool { return len(w.verdicts()) >= len(paths) })
	got := map[string]bool{}
	for _, v := range w.verdicts() {
		got[pathOf(t, v.URI)] = true
	}
	if len(got) != len(paths) {
		t.Errorf("verdicts for %d files, want %d", len(got), len(paths))
	}
}

// More copies than a job's record lists wait in their folder, and the rest of the files do not wait for them.
func TestCopiesBeyondWhatAJobHoldsWaitForItsVerdict(t *testing.T) {
	t.Parallel()
	const copies = 105
	w := newWorld(t)
	for i := range copies {
		put(t, filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i)), picture(1))
	}
	w.run()
	await(t, "as many arrive as a job holds", func() bool { return w.remembered() == 100 })
	w.sentinel()
	await(t, "the sentinel is remembered", func() bool { return w.remembered() == 101 })
	w.judgeAll()
	await(t, "all have their verdict", func() bool { return w.remembered() == copies+1 && len(w.verdicts()) == copies+1 })
}

func TestAFileThatIsGoneBeforeItSettledIsNoNews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(func(o *Options) { o.Settle = 500 * time.Millisecond }).caughtUp()
	gone := put(t, filepath.Join(w.dir, "gone.jpg"), picture(1))
	remove(t, gone)
	w.wantOnly(w.sentinel())
}

// What settled is hashed only as it had settled.
func TestAFileAlteredBetweenSettlingAndReadingIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	for name, alter := range map[string]func(){
		"overwritten in place, all the same": func() { overwrite(t, path, picture(2)) },
		"replaced":                           func() { put(t, path, picture(3)) },
		"replaced by a symlink": func() {
			away := filepath.Join(t.TempDir(), "away.jpg")
			move(t, path, away)
			if err := os.Symlink(away, path); err != nil {
				t.Fatal(err)
			}
		},
		"replaced by a folder": func() { remove(t, path); mkdir(t, path) },
	} {
		remove(t, path)
		settled := seen(t, put(t, path, picture(1)))
		// The kernel's clock for files is coarse: until it has moved on, nothing tells what is written now.
		await(t, "the clock of files moves on", func() bool {
			return seen(t, put(t, filepath.Join(t.TempDir(), "x"), nil)).version.ChangeTime.After(settled.version.ChangeTime)
		})
		alter()
		if !w.watcher().take(deadline(t), settled).again {
			t.Errorf("%s: taken as if nothing had happened", name)
		}
	}
	remove(t, path)
	if w.watcher().take(deadline(t), sightingOf(path, 1, 0)).again {
		t.Error("a file that is gone is to be looked at again")
	}
	w.wantOnly()
}
