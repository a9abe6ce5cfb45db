package watcher

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFilesThatAreThereAlreadyArriveOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var paths []string
	for _, name := range []string{"portrait.jpg", "interview.mp4", "collage.png", "a/b/c/street.webm", "a/phone.mov"} {
		path := filepath.Join(w.dir, name)
		mkdir(t, filepath.Dir(path))
		paths = append(paths, put(t, path, sample(t, filepath.Base(name))))
	}
	w.scanned()
	w.wantOnly(paths...)
	for _, path := range paths {
		data := sample(t, filepath.Base(path))
		a := w.of(path)[0]
		model := map[string]string{".jpg": "AC-1", ".png": "AC-1"}[filepath.Ext(path)]
		if model == "" {
			model = "DF-1"
		}
		if a.digest != digestOf(data) || a.size != int64(len(data)) || string(a.model) != model {
			t.Errorf("%v, digest %s", a, a.digest)
		}
	}
	if n := w.queued(); n != len(paths) {
		t.Errorf("%d jobs on the queue, want %d", n, len(paths))
	}
}

func TestANewFileArrivesWithoutAScan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	path := put(t, filepath.Join(w.dir, "new.jpg"), picture(1))
	w.awaitArrivals(path)
	w.wantOnly(path)
}

func TestEveryModelOfAKindGetsItsOwnDrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	two := func(o *Options) { o.Models.Images = append(o.Models.Images, "FD-1") }
	w.scanned(two)
	w.scanned(two)
	got := w.of(path)
	if len(got) != 2 || got[0].model != "AC-1" || got[1].model != "FD-1" || got[0].id == got[1].id {
		t.Errorf("arrived: %v", got)
	}
	entry, err := w.entry(path)
	if err != nil || len(entry.Drops) != 2 {
		t.Errorf("remembered: %+v, %v", entry, err)
	}
}

// The file is written in pieces, with pauses shorter than the settle time. On a machine so busy that a pause grew
// longer, what was submitted meanwhile was right, and another file is tried.
func TestOnlyTheWholeOfASlowlyWrittenFileArrives(t *testing.T) {
	t.Parallel()
	const settle = 500 * time.Millisecond
	w := newWorld(t)
	w.run(func(o *Options) { o.Settle = settle }).caughtUp()
	data := sample(t, "interview.mp4")
	for try := range 5 {
		path := filepath.Join(w.dir, fmt.Sprintf("slow%d.mp4", try))
		if longest := appendSlowly(t, path, append(data, byte(try))); longest >= settle {
			t.Logf("a pause took %s", longest)
			continue
		}
		w.awaitArrivals(path)
		w.sentinel()
		if got := w.of(path); len(got) != 1 || got[0].digest != digestOf(append(data, byte(try))) {
			t.Errorf("arrived: %v, want the whole file, %d bytes, once", got, len(data)+1)
		}
		return
	}
	t.Skip("this machine is too busy")
}

// appendSlowly writes a file in twelve pieces and returns the longest time between two.
func appendSlowly(t *testing.T, path string, data []byte) (longest time.Duration) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for left, n := data, len(data)/12+1; len(left) > 0; left = left[min(n, len(left)):] {
		<-tick.C
		if _, err := f.Write(left[:min(n, len(left))]); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(last))
		last = time.Now()
	}
	return longest
}

func TestAFileRenamedIntoPlaceArrivesUnderItsLastName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	partial := put(t, filepath.Join(w.dir, "clip.mp4.part"), sample(t, "interview.mp4"))
	whole := filepath.Join(w.dir, "clip.mp4")
	other := w.sentinel()
	w.wantOnly(other)
	move(t, partial, whole)
	w.awaitArrivals(whole)
	w.wantOnly(other, whole)
}

func TestACopiedFileArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(func(o *Options) { o.Settle = time.Second }).caughtUp()
	data := bytes.Repeat(sample(t, "interview.mp4"), 100)
	path := filepath.Join(w.dir, "copy.mp4")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := io.CopyBuffer(f, io.MultiReader(bytes.NewReader(data)), make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Skipf("this machine is too busy: the copy took %s", took)
	}
	w.awaitArrivals(path)
	w.wantOnly(path)
	if got := w.of(path)[0]; got.digest != digestOf(data) {
		t.Errorf("digest %s, want %s", got.digest, digestOf(data))
	}
}

func TestAFolderMovedInIsTakenWithAllBelowIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	away := filepath.Join(t.TempDir(), "tree")
	var paths []string
	for i, name := range []string{"a.jpg", "b/c.jpg", "b/d/e.jpg", "f/g/h/i/j.jpg"} {
		mkdir(t, filepath.Dir(filepath.Join(away, name)))
		put(t, filepath.Join(away, name), picture(i))
		paths = append(paths, filepath.Join(w.dir, "tree", name))
	}
	move(t, away, filepath.Join(w.dir, "tree"))
	w.awaitArrivals(paths...)
	// What comes into these folders later is seen as well.
	for i, name := range []string{"tree/k.jpg", "tree/b/d/l.jpg", "tree/f/g/h/i/m.jpg"} {
		paths = append(paths, put(t, filepath.Join(w.dir, name), picture(100+i)))
	}
	w.awaitArrivals(paths...)
	w.wantOnly(paths...)
}

func TestAFolderDeletedAndMadeAgainIsStillWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := mkdir(t, filepath.Join(w.dir, "a/b"))
	first := put(t, filepath.Join(dir, "first.jpg"), picture(0))
	w.run().caughtUp()
	want := []string{first}
	for i := range 5 {
		remove(t, filepath.Join(w.dir, "a"))
		mkdir(t, dir)
		want = append(want, put(t, filepath.Join(dir, fmt.Sprintf("%d.jpg", i)), picture(i+1)))
		if i%2 == 0 { // at once, or when the watch is there
			w.awaitArrivals(want[len(want)-1])
		}
	}
	again := put(t, first, picture(100))
	await(t, "the first name arrives again", func() bool { return len(w.of(again)) == 2 })
}

func TestTheScanAloneFindsWhatEventsMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watcher(func(o *Options) { o.Rescan = 20 * time.Millisecond })
	runDeaf(t, watcher)
	path := put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "a/b")), "new.jpg"), picture(1))
	w.awaitArrivals(path)
	put(t, path, picture(2))
	await(t, "the second version arrives", func() bool { return len(w.of(path)) == 2 })
}

func TestNothingIsWrittenToTheFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := func() (all []string) {
		err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				all = append(all, fmt.Sprintf("%+v", seen(t, path)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	put(t, filepath.Join(w.dir, "note.txt"), []byte("text"))
	before := fmt.Sprint(list())
	w.scanned()
	if after := fmt.Sprint(list()); after != before {
		t.Errorf("before %s\nafter %s", before, after)
	}
}

// What is asked of the registry for a new folder does not grow with the number of known files elsewhere.
func TestANewFolderDoesNotHaveAllKnownFilesLookedUp(t *testing.T) {
	t.Parallel()
	const files = 300
	w := newWorld(t)
	for i := range files {
		put(t, filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i)), picture(1+i))
	}
	w.run().caughtUp()
	before := w.conn.Stats().OutMsgs
	made := mkdir(t, filepath.Join(w.dir, "new"))
	put(t, filepath.Join(made, "a.jpg"), picture(0))
	await(t, "the new file is remembered", func() bool { return w.remembered() > files })
	if n := w.conn.Stats().OutMsgs - before; n > files/2 {
		t.Errorf("%d requests for one new file in a new folder", n)
	}
}

// While a file is being emptied, its size is zero already, and its times are still the old ones: for as long as the system
// takes to free its pages, milliseconds for each megabyte. It is not to be taken for an empty file that was left so long ago.
func TestAFileThatIsOverwrittenDoesNotFailAsEmpty(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// On a busy machine the writer itself may rest for long, and then the file was empty for as long.
	w.run(func(o *Options) { o.Rescan, o.Settle = time.Millisecond, 700*time.Millisecond }).caughtUp()
	path := filepath.Join(w.dir, "a.jpg")
	for n := range 8 {
		data := append(picture(n), make([]byte, 8<<20)...)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		w.awaitEntry(path)
	}
	for _, f := range w.failures() {
		t.Errorf("failure %s: %s", f.Reason, f.Message)
	}
}
