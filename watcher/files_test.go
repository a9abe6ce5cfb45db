package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// picture makes the bytes of a picture, different for each n.
func picture(n int) []byte { return fmt.Appendf([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), "%08d", n) }

// put has a file appear complete, as a rename from beside does.
func put(t testing.TB, path string, data []byte) string {
	t.Helper()
	away := filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(away, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func mkdir(t testing.TB, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// seen is what a path is now.
func seen(t testing.TB, path string) sighting {
	t.Helper()
	g, ok := lookAt(sighting{path: path})
	if !ok {
		t.Fatalf("%s is no regular file", path)
	}
	return g
}

func lookAt(g sighting) (sighting, bool) {
	st, err := lstat(g.path)
	g.version = queue.FileIDOf(&st)
	return g, err == nil && isRegular(&st)
}

// overwrite changes a file's bytes in place, and leaves its size, time and inode as they were.
func overwrite(t testing.TB, path string, data []byte) {
	t.Helper()
	before := seen(t, path)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(data)
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err == nil {
		err = os.Chtimes(path, before.version.ModTime, before.version.ModTime)
	}
	if err != nil {
		t.Fatal(err)
	}
	if after := seen(t, path); !after.version.Alike(before.version) {
		t.Fatalf("version %+v, want it as before: %+v", after.version, before.version)
	}
}

// samples are real files, of the end-to-end tests.
const samples = "../cmd/authenta-ingest/testdata/media"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
