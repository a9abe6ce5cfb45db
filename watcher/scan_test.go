package watcher

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/authenta/authenta-ingest/watcher/filter"
)

func TestAScanKeepsTheOldestOfWhatItFinds(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var found oldest
		var all []sighting
		limit, n, dropped := 1+r.IntN(20), r.IntN(40), false
		for i := range n {
			g := sightingOf(fmt.Sprintf("/%d", i), 1, float64(r.IntN(10)))
			all = append(all, g)
			dropped = found.keep(g, limit) || dropped
		}
		byAge := func(a, b sighting) int {
			if older(a, b) {
				return -1
			}
			return 1
		}
		slices.SortFunc(all, byAge)
		if want := all[:min(limit, n)]; !slices.Equal(found.take(), want) || dropped != (n > limit) {
			t.Fatalf("seed %d: of %d at most %d: %v, want %v; dropped: %v", seed, n, limit, found.files, want, dropped)
		}
	}
}

func TestMoreHintsThanAreHeldBecomeOne(t *testing.T) {
	t.Parallel()
	h := newHints()
	for i := range maxHints {
		h.add(fmt.Sprint(i))
	}
	h.add("0")
	if paths, all := h.take(); len(paths) != maxHints || all {
		t.Errorf("%d hints, all: %v", len(paths), all)
	}
	for i := range maxHints + 1 {
		h.add(fmt.Sprint(i))
	}
	if paths, all := h.take(); len(paths) != maxHints || !all {
		t.Errorf("%d hints, all: %v", len(paths), all)
	}
	if paths, all := h.take(); len(paths) != 0 || all {
		t.Errorf("%d hints left, all: %v", len(paths), all)
	}
}

func filterOf(t *testing.T, o filter.Options) func(*Options) {
	t.Helper()
	f, err := filter.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Filter = f }
}

func TestAFileCountsOnceItsMarkerIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	marked := filterOf(t, filter.Options{DoneSuffix: ".done"})
	early := put(t, filepath.Join(w.dir, "early.jpg"), picture(1))
	put(t, early+".done", picture(2)) // is no media, whatever it holds
	put(t, filepath.Join(w.dir, "never.jpg"), picture(3))
	r := w.run(marked)
	r.caughtUp()
	late := put(t, filepath.Join(w.dir, "late.jpg"), picture(4))
	sentinel := put(t, filepath.Join(w.dir, "sentinel.jpg"), picture(5))
	put(t, sentinel+".done", nil)
	w.awaitArrivals(sentinel)
	w.wantOnly(early, sentinel)
	put(t, late+".done", nil)
	w.awaitArrivals(late)
	r.stop()
	w.scanned(marked)
	w.wantOnly(early, late, sentinel)
}

func TestAFileCountsWhileItsSizeDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	small := int64(len(picture(0)))
	sized := filterOf(t, filter.Options{MinSize: small, MaxSize: small + 1})
	write := func(name string, size int64) string {
		path := put(t, filepath.Join(w.dir, name), picture(len(name)))
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		return path
	}
	smallest, largest := write("smallest.jpg", small), write("largest.jpg", small+1)
	grows := write("grows.jpg", small-1)
	write("too large.jpg", small+2)
	r := w.run(sized)
	r.caughtUp()
	w.wantOnly(smallest, largest)
	if err := os.Truncate(grows, small); err != nil {
		t.Fatal(err)
	}
	w.awaitArrivals(grows)
	r.stop()
	w.wantOnly(smallest, largest, grows)
}

func TestLinksAreFollowedInsideTheRootAndOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	outside := mkdir(t, filepath.Join(t.TempDir(), "outside"))
	put(t, filepath.Join(outside, "x.jpg"), picture(1))
	store := mkdir(t, filepath.Join(w.dir, ".store/day"))
	put(t, filepath.Join(store, "a.jpg"), picture(2))
	single := put(t, filepath.Join(w.dir, ".store", "single.jpg"), picture(3))
	plain := put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "plain")), "b.jpg"), picture(4))
	for link, to := range map[string]string{
		"today": store, "again": store, "single.jpg": single, "copy of plain": filepath.Dir(plain), "plain/up": w.dir,
		"outside": outside, "outside.jpg": filepath.Join(outside, "x.jpg"), "dangling.jpg": "gone", "self": "self",
	} {
		if err := os.Symlink(to, filepath.Join(w.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	follow := func(o *Options) { o.FollowSymlinks = true }
	w.scanned(follow)
	linked := filepath.Join(w.dir, "again/a.jpg") // the first that leads there
	if len(w.of(linked)) == 0 {
		linked = filepath.Join(w.dir, "today/a.jpg")
	}
	want := []string{plain, linked, filepath.Join(w.dir, "single.jpg")}
	w.wantOnly(want...)
	r := w.run(follow)
	r.caughtUp()
	put(t, filepath.Join(store, "c.jpg"), picture(5))
	want = append(want, filepath.Join(filepath.Dir(linked), "c.jpg"))
	w.awaitArrivals(want[3])
	late := filepath.Join(w.dir, "late.jpg")
	if err := os.Symlink(put(t, filepath.Join(w.dir, ".store", "late.jpg"), picture(6)), late); err != nil {
		t.Fatal(err)
	}
	w.awaitArrivals(late)
	r.stop()
	w.wantOnly(append(want, late)...)
}

// fast has folders that send no events polled all the time.
func fast(w *Watcher) *Watcher {
	w.pollEvery = 20 * time.Millisecond
	return w
}

func TestAFolderThatIsToBePolledNeedsNoEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	below := mkdir(t, filepath.Join(w.dir, "a/b"))
	runDeaf(t, w.watcher(func(o *Options) { o.Poll = Poll(20 * time.Millisecond) }))
	paths := []string{put(t, filepath.Join(below, "a.jpg"), picture(1))}
	w.awaitArrivals(paths...)
	made := filepath.Join(w.dir, "made/c")
	paths = append(paths, put(t, filepath.Join(mkdir(t, made), "b.jpg"), picture(2)))
	w.awaitArrivals(paths...)
	remove(t, made)
	paths = append(paths, put(t, filepath.Join(mkdir(t, made), "c.jpg"), picture(3)))
	w.awaitArrivals(paths...)
	w.wantOnly(paths...)
}

func TestAFolderIsPolledOnceEventsAreFoundNotToTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := fast(w.watcher())
	watcher.events.heard = func(fsnotify.Event) {} // as from a mount whose other end does not say what it does
	r := start(t, watcher)
	r.caughtUp()
	root := watcher.roots[0]
	root.foundByScan("/1")
	root.foundByScan("/2")
	root.foundByHint() // events tell, if late
	for range maxMissed - 1 {
		root.foundByScan("/3")
	}
	if root.silent.Load() {
		t.Error("events are not trusted, and told of the last but one file")
	}
	root.foundByScan("/4")
	w.awaitArrivals(put(t, filepath.Join(w.dir, "a.jpg"), picture(1)))
}
