package watcher

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

func staging(o *Options) { o.Stage = true }

// large is a picture of more than one chunk.
func large(n int) []byte { return append(picture(n), bytes.Repeat([]byte{byte(n)}, 3<<20)...) }

// stagedOf reads the staged bytes of the drop of a path.
func (w *world) stagedOf(path string) []byte {
	w.t.Helper()
	for _, job := range records[queue.Job](w, "KV_authenta-ledger") {
		for _, d := range job.Drops {
			if pathOf(w.t, d.URI) != path {
				continue
			}
			o, err := w.OpenStaged(deadline(w.t), d.Staged)
			if err != nil {
				w.t.Fatal(err)
			}
			defer o.Close()
			data, err := io.ReadAll(o)
			if err != nil {
				w.t.Fatal(err)
			}
			return data
		}
	}
	w.t.Fatalf("%s has not arrived", path)
	return nil
}

func TestWhatIsTakenInIsStagedIfThatIsWanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	small, big := put(t, filepath.Join(w.dir, "a.jpg"), picture(1)), put(t, filepath.Join(w.dir, "b.jpg"), large(2))
	w.scanned(staging)
	w.wantOnly(small, big)
	for path, want := range map[string][]byte{small: picture(1), big: large(2)} {
		if got := w.stagedOf(path); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes are staged, want %d", path, len(got), len(want))
		}
	}
}

// TestAFileThatIsAlteredWhileItIsStagedIsTakenInAsItIsThen alters a file once its first chunk is written.
func TestAFileThatIsAlteredWhileItIsStagedIsTakenInAsItIsThen(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]func(path string) error{
		"grown":       func(path string) error { return os.WriteFile(path, append(large(1), large(2)...), 0o600) },
		"overwritten": func(path string) error { return os.WriteFile(path, large(3), 0o600) },
		"truncated":   func(path string) error { return os.WriteFile(path, large(3)[:2<<20], 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			path := put(t, filepath.Join(w.dir, "a.jpg"), large(1))
			var once sync.Once
			w.Queue = w.open(func(point string) {
				if strings.HasPrefix(point, "after $O.authenta-media.C.") {
					once.Do(func() {
						if err := alter(path); err != nil {
							t.Error(err)
						}
					})
				}
			})
			said := &logbook{}
			w.run(staging, func(o *Options) { o.Log = said.logger() })
			w.awaitArrivals(path)
			w.wantOnly(path)
			now, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(w.stagedOf(path), now) || w.of(path)[0].digest != digestOf(now) {
				t.Errorf("what is staged is not what the file is now; error %v", err)
			}
			if lines := said.with("level=WARN"); len(lines) > 0 {
				t.Errorf("warned: %q", lines)
			}
		})
	}
}

func TestAFileThatIsGoneBeforeItIsStagedIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	watcher := w.watcher(staging)
	open := watcher.bytesOf(seen(t, path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context()); !isGone(err) {
		t.Errorf("error %v", err)
	}
}

// TestWhileTheBucketIsFullFilesWait stages two of which one fits, and then has room for the other.
func TestWhileTheBucketIsFullFilesWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q, err := queue.Open(deadline(t), w.conn, queue.Options{Platform: "https://platform.example", Log: quiet, StageBytes: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w.Queue = q
	paths := []string{put(t, filepath.Join(w.dir, "a.jpg"), large(1)), put(t, filepath.Join(w.dir, "b.jpg"), large(2))}
	said := &logbook{}
	r := w.run(staging, func(o *Options) { o.Log = said.logger() })
	const words = "INGEST_STAGE_BYTES is 5 MB"
	await(t, "one waits", func() bool { return len(said.warnings(words)) > 0 && len(w.arrivals()) == 1 })
	first := w.arrivals()[0]
	if err := w.Unstage(deadline(t), string(first.id)); err != nil { // as its verdict does
		t.Fatal(err)
	}
	r.caughtUp()
	w.wantOnly(paths...)
	other := slices.DeleteFunc(w.arrivals(), func(a arrival) bool { return a.id == first.id })[0]
	if got := w.stagedOf(other.path); digestOf(got) != other.digest {
		t.Errorf("%d other bytes are staged", len(got))
	}
	if lines := said.warnings("no more files are taken in"); len(lines) != 1 {
		t.Errorf("it is said %d times: %q", len(lines), lines)
	}
}
