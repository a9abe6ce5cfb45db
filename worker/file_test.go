package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// write writes a file and returns its path.
func write(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// versionOf is what a watcher remembers of a file.
func versionOf(t testing.TB, path string) queue.FileID {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	id, _, err := queue.FileIDOfOpen(f)
	must(t, err)
	return id
}

func dropOf(t testing.TB, path string) queue.Drop {
	t.Helper()
	return queue.Drop{URI: queue.FileURI(path), Name: filepath.Base(path), File: versionOf(t, path), QueuedAt: time.Now().UTC()}
}

func digestOf(content string) queue.Digest {
	sum := sha256.Sum256([]byte(content))
	return queue.Digest(hex.EncodeToString(sum[:]))
}

const content = "the content that was hashed"

// vices are what may happen to a file between its submission and its upload.
var vices = []struct {
	name    string
	do      func(t *testing.T, path string)
	altered bool // an open file has another content
	reason  queue.Reason
}{
	{"nothing", func(*testing.T, string) {}, false, ""},
	{"touched", func(t *testing.T, path string) {
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
	}, false, queue.Changed},
	{"permissions changed", func(t *testing.T, path string) { must(t, os.Chmod(path, 0o640)) }, false, ""},
	{"appended to", func(t *testing.T, path string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString("!")
		must(t, err)
		must(t, f.Close())
	}, true, queue.Changed},
	{"overwritten in place by the same size, at another time", func(t *testing.T, path string) {
		write(t, path, strings.ToUpper(content))
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
	}, true, queue.Changed},
	{"overwritten in place by the same size, and its old time set again", func(t *testing.T, path string) {
		was := versionOf(t, path)
		write(t, path, strings.ToUpper(content))
		must(t, os.Chtimes(path, time.Time{}, was.ModTime))
	}, true, queue.Changed},
	{"truncated", func(t *testing.T, path string) { must(t, os.Truncate(path, 3)) }, true, queue.Changed},
	{"replaced by the same content", func(t *testing.T, path string) {
		must(t, os.Rename(write(t, path+".new", content), path))
	}, false, queue.Changed},
	{"replaced by a directory", func(t *testing.T, path string) {
		must(t, os.Remove(path))
		must(t, os.Mkdir(path, 0o700))
	}, false, queue.Changed},
	{"replaced by a symlink to another file", func(t *testing.T, path string) {
		must(t, os.Remove(path))
		must(t, os.Symlink(write(t, path+".target", content), path))
	}, false, queue.Changed},
	{"moved behind a symlink", func(t *testing.T, path string) {
		must(t, os.Rename(path, path+".target"))
		must(t, os.Symlink(path+".target", path))
	}, false, ""},
	{"gone", func(t *testing.T, path string) { must(t, os.Remove(path)) }, false, queue.Unreadable},
	{"behind a symlink that leads nowhere", func(t *testing.T, path string) {
		must(t, os.Remove(path))
		must(t, os.Symlink(path+".nowhere", path))
	}, false, queue.Unreadable},
}

func TestOpenCopyOpensOnlyTheVersionThatWasHashed(t *testing.T) {
	t.Parallel()
	for _, v := range vices {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, filepath.Join(t.TempDir(), "a clip, 100%?#.mp4"), content)
			d := dropOf(t, path)
			v.do(t, path)
			f, fault, _ := openCopy(queue.Job{Digest: digestOf(content), Drops: []queue.Drop{d}})
			if f != nil {
				defer f.Close()
			}
			if (f != nil) == (fault != nil) {
				t.Fatalf("file %v, fault %v", f, fault)
			}
			switch {
			case v.reason == "" && fault != nil:
				t.Errorf("%+v", *fault)
			case v.reason != "" && fault == nil:
				t.Errorf("opened")
			case fault != nil && (fault.Reason != v.reason || !strings.Contains(fault.Message, path)):
				t.Errorf("%+v, want %s", *fault, v.reason)
			}
		})
	}
}

func TestAFileIsAlteredOnlyIfItsContentIs(t *testing.T) {
	t.Parallel()
	for _, v := range vices {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, filepath.Join(t.TempDir(), "clip.mp4"), content)
			d := dropOf(t, path)
			f, err := os.Open(path)
			must(t, err)
			defer f.Close()
			v.do(t, path)
			_, err = f.Seek(0, io.SeekEnd) // as after an upload
			must(t, err)
			j := queue.Job{Digest: digestOf(content), Drops: []queue.Drop{d}}
			if got := altered(f, j); got != v.altered {
				t.Errorf("altered: %t", got)
			}
			if got := overwritten(j, ""); got != v.altered {
				t.Errorf("overwritten: %t", got)
			}
			j.Drops[0].Host = "a"
			if got := overwritten(j, "a"); got != v.altered {
				t.Errorf("overwritten, on its machine: %t", got)
			}
			if overwritten(j, "b") {
				t.Error("overwritten, by what another machine has at the same path")
			}
		})
	}
}

func TestAnUnchangedFileIsNotReadAgain(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "clip.mp4"), content)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	if altered(f, queue.Job{Digest: "of something else", Drops: []queue.Drop{dropOf(t, path)}}) {
		t.Error("it was read, or is taken for another version")
	}
}

func TestAClosedFileCountsAsAltered(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "clip.mp4"), content)
	f, err := os.Open(path)
	must(t, err)
	must(t, f.Close())
	if !altered(f, queue.Job{Digest: digestOf(content), Drops: []queue.Drop{dropOf(t, path)}}) {
		t.Error("what cannot be looked at is taken for unchanged")
	}
}

func TestOpenCopyTakesTheFirstThatIsStillThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gone, changed, there := write(t, dir+"/gone", content), write(t, dir+"/changed", content), write(t, dir+"/there", content)
	drops := []queue.Drop{dropOf(t, gone), dropOf(t, changed), dropOf(t, there)}
	must(t, os.Remove(gone))
	write(t, changed, content+"!")
	f, fault, _ := openCopy(queue.Job{Digest: digestOf(content), Drops: drops})
	if fault != nil {
		t.Fatal(*fault)
	}
	defer f.Close()
	if f.Name() != there {
		t.Errorf("opened %s", f.Name())
	}
	must(t, os.Remove(there))
	for _, order := range [][]queue.Drop{{drops[0], drops[1], drops[2]}, {drops[2], drops[1], drops[0]}} {
		if _, fault, _ := openCopy(queue.Job{Digest: digestOf(content), Drops: order}); fault == nil || fault.Reason != queue.Changed {
			t.Errorf("%v: altered says more than gone", fault)
		}
	}
}

func TestWhatIsNoFileCannotBeRead(t *testing.T) {
	t.Parallel()
	if _, fault, _ := openCopy(queue.Job{Drops: []queue.Drop{{URI: "https://host/a.mp4"}}}); fault == nil || fault.Reason != queue.Unreadable {
		t.Errorf("%v", fault)
	}
	if _, fault, _ := openCopy(queue.Job{}); fault == nil || fault.Reason != queue.Unreadable {
		t.Errorf("%v", fault)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
