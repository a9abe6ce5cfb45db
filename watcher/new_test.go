package watcher

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNewSetsDefaultsOnItsOwnCopy(t *testing.T) {
	t.Parallel()
	o := Options{Dirs: []string{"."}, Exclude: []string{"testdata/../x"}}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if w.Settle != 5*time.Second || w.Rescan != 5*time.Minute || w.Log == nil {
		t.Errorf("settle %s, rescan %s, log %v", w.Settle, w.Rescan, w.Log)
	}
	if !slices.Equal(w.Dirs, []string{here}) || !slices.Equal(w.Exclude, []string{filepath.Join(here, "x")}) {
		t.Errorf("folders %q without %q", w.Dirs, w.Exclude)
	}
	if o.Dirs[0] != "." || o.Exclude[0] != "testdata/../x" || o.Settle != 0 {
		t.Errorf("the caller's options were changed: %+v", o)
	}
}

func TestNewKeepsWhatIsSet(t *testing.T) {
	t.Parallel()
	w, err := New(Options{Settle: time.Minute, Rescan: time.Hour, Log: quiet})
	if err != nil || w.Settle != time.Minute || w.Rescan != time.Hour || w.Log != quiet {
		t.Errorf("%+v, %v", w.Options, err)
	}
}

func TestScansAreSpreadByAQuarter(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{1, 3, time.Second, 5 * time.Minute} {
		w := newRoot(&Watcher{Options: Options{Rescan: every}}, 0, "/")
		for range 1000 {
			if in := w.rescanIn(); in < every*3/4 || in > every*5/4+1 {
				t.Fatalf("every %s: in %s", every, in)
			}
		}
	}
}

func TestCheckDirSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := put(t, filepath.Join(dir, "file"), []byte("x"))
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "gone"), link); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "does not exist",
		file:                          "is not a folder",
		filepath.Join(dir, "s"):       "is not a folder",
		filepath.Join(file, "below"):  "not a directory",
		link:                          "does not exist",
		"":                            "does not exist",
		"a\x00b":                      "invalid argument",
	} {
		if err := CheckDir(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("folder %q: %v, want %q and the path", path, err, want)
		}
	}
	if err := CheckDir(dir); err != nil {
		t.Errorf("a folder: %v", err)
	}
}

func TestCheckDirSaysThatAFolderMayNotBeRead(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	if err := CheckDir(dir); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a folder without the right to read: %v", err)
	}
	mkdir(t, filepath.Join(dir, "below"))
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	if err := CheckDir(filepath.Join(dir, "below")); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a folder out of reach: %v", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestNewRefusesAFolderThatCannotBeWatched(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	if w, err := New(Options{Dirs: []string{t.TempDir(), missing}}); err == nil || w != nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("watcher %v, %v, want an error that names the folder", w, err)
	}
	if _, err := New(Options{Exclude: []string{missing}}); err != nil {
		t.Errorf("a folder to leave out that does not exist: %v", err)
	}
}

func TestAFolderThatIsALinkIsWatchedWhereItLeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(w.dir, link); err != nil {
		t.Fatal(err)
	}
	first := put(t, filepath.Join(w.dir, "first.jpg"), picture(1))
	r := w.run(func(o *Options) { o.Dirs = []string{link} })
	r.caughtUp()
	w.wantOnly(first)
	w.awaitArrivals(put(t, filepath.Join(w.dir, "second.jpg"), picture(2)))
}
