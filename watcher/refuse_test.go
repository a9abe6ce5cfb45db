package watcher

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// countFailures counts the failures that watchers with this option publish. On the stream some would not be seen: the
// broker swallows a message whose id it has just had.
func (w *world) countFailures() (*atomic.Int32, func(*Options)) {
	var n atomic.Int32
	q := w.open(func(at string) {
		if strings.HasPrefix(at, "before failures.") {
			n.Add(1)
		}
	})
	return &n, func(o *Options) { o.Queue = q }
}

func TestWhatNoModelTakesFailsOnceAsUnsupported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := map[string]string{} // path to content type
	for name, c := range map[string]struct{ data, contentType string }{
		"empty.mp4":    {"", ""},
		"text.jpg":     {"this is no picture\n", "text/plain"},
		"zip.mov":      {"PK\x03\x04\x14\x00\x00\x00\x08\x00", "application/zip"},
		"drawing.svg":  {`<svg xmlns="http://www.w3.org/2000/svg"/>`, "image/svg+xml"},
		"no extension": {"%PDF-1.7\n", "application/pdf"},
	} {
		want[put(t, filepath.Join(w.dir, name), []byte(c.data))] = c.contentType
	}
	told, counting := w.countFailures()
	r := w.run(counting)
	r.caughtUp()
	path := w.sentinel()
	r.stop()
	w.scanned(counting)
	if n := told.Load(); int(n) != len(want) {
		t.Errorf("told %d times, want once a file, of %d", n, len(want))
	}
	for _, f := range w.failures() {
		path := pathOf(t, f.URI)
		contentType, ok := want[path]
		if !ok {
			t.Errorf("failure %+v, want none or no second", f)
		}
		delete(want, path)
		if f.Reason != queue.Unsupported || f.Retryable || f.ContentType != contentType || f.Name != filepath.Base(path) ||
			f.ID == "" || f.Model != "" || f.Digest != "" || f.Attempts != 0 || f.FailedAt.IsZero() || f.Message == "" {
			t.Errorf("failure %+v", f)
		}
		if strings.HasSuffix(path, "empty.mp4") != strings.Contains(f.Message, "empty") {
			t.Errorf("%s: %q", path, f.Message)
		}
	}
	for path := range want {
		t.Errorf("no failure for %s", path)
	}
	if got := w.arrivals(); len(got) != 1 || got[0].path != path {
		t.Errorf("arrived: %v, want the sentinel alone", got)
	}
}

func TestAKindWithoutAModelIsUnsupported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put(t, filepath.Join(w.dir, "clip.mp4"), sample(t, "interview.mp4"))
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.scanned(func(o *Options) { o.Models.Videos = nil })
	failed := w.failures()
	if len(failed) != 1 || failed[0].Reason != queue.Unsupported || failed[0].ContentType != "video/mp4" {
		t.Errorf("failures %+v", failed)
	}
	if got := w.arrivals(); len(got) != 1 || got[0].path != path {
		t.Errorf("arrived: %v", got)
	}
}

func TestARefusedFileArrivesOnceItIsMedia(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run().caughtUp()
	path := put(t, filepath.Join(w.dir, "a.jpg"), nil)
	await(t, "the empty file fails", func() bool { return len(w.failures()) == 1 })
	put(t, path, picture(1))
	w.awaitArrivals(path)
	if n := len(w.failures()); n != 1 {
		t.Errorf("%d failures, want 1", n)
	}
}

func TestAnUnreadableFileFailsOnceAndArrivesWhenItMayBeRead(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	told, counting := w.countFailures()
	w.scanned(counting)
	w.scanned(counting)
	if n := told.Load(); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	failed := w.failures()
	if len(failed) != 1 || failed[0].Reason != queue.Unreadable || !failed[0].Retryable || pathOf(t, failed[0].URI) != path ||
		!strings.Contains(failed[0].Message, "permission denied") {
		t.Errorf("failures %+v", failed)
	}
	w.run().caughtUp()
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	w.awaitArrivals(path)
	if got := w.arrivals(); got[0].id == failed[0].ID || len(w.failures()) != 1 {
		t.Errorf("arrived as drop %s, failures %+v: one drop, two answers", got[0].id, w.failures())
	}
}

func TestAFolderThatMayNotBeReadKeepsNothingElseBack(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	closed := mkdir(t, filepath.Join(w.dir, "b"))
	hidden := put(t, filepath.Join(closed, "b.jpg"), picture(1))
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	a := put(t, filepath.Join(w.dir, "a.jpg"), picture(2))
	c := put(t, filepath.Join(w.dir, "c.jpg"), picture(3))
	w.scanned()
	w.wantOnly(a, c)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	w.scanned()
	w.wantOnly(a, hidden, c)
}

// The file could not be read, and when it can, it is no media: these are two answers.
func TestTwoFailuresOfAFileHaveTwoDrops(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), []byte("text"))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	w.scanned()
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	w.scanned()
	failed := w.failures()
	if len(failed) != 2 || failed[0].ID == failed[1].ID || failed[0].Reason != queue.Unreadable || failed[1].Reason != queue.Unsupported {
		t.Errorf("failures %+v", failed)
	}
}

func TestAFileThatMakesTheIntakePanicIsRefusedOnceAndTheOthersAreTakenIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad, good := put(t, filepath.Join(w.dir, "bad.jpg"), picture(1)), put(t, filepath.Join(w.dir, "good.jpg"), picture(2))
	panicking := w.open(func(at string) {
		if at == "before $KV.authenta-ledger."+string(queue.KeyOf(digestOf(picture(1)), "AC-1")) {
			panic("cannot be")
		}
	})
	for range 2 {
		w.scanned(func(o *Options) { o.Queue = panicking })
	}
	if got := w.arrivals(); len(got) != 1 || got[0].path != good {
		t.Errorf("arrived: %v", got)
	}
	failed := w.failures()
	if len(failed) != 1 || pathOf(t, failed[0].URI) != bad || failed[0].Reason != queue.Crash || !strings.Contains(failed[0].Message, "cannot be") {
		t.Errorf("failures %+v", failed)
	}
}
