package watcher

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// untaken makes all that is no file of ours in a folder.
func untaken(t *testing.T, dir string) {
	t.Helper()
	away := mkdir(t, filepath.Join(t.TempDir(), "away"))
	target := put(t, filepath.Join(away, "target.jpg"), picture(1))
	for link, to := range map[string]string{
		"link.jpg": target, "folder": away, "dangling.jpg": filepath.Join(away, "gone.jpg"), "self.jpg": "self.jpg", "up": "..",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.jpg"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir) // a socket's path is short
	socket, err := net.Listen("unix", "s.jpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	for i, name := range []string{".hidden.jpg", "~draft.jpg", "a.mp4.part", "b.tmp", "c.crdownload", ".d/e.jpg", ".d/f/g.jpg", "h.part/i.jpg", "ours/j.jpg", "ours/k/l.jpg"} {
		path := filepath.Join(dir, name)
		mkdir(t, filepath.Dir(path))
		put(t, path, picture(10+i))
	}
}

func TestLinksPipesSocketsHiddenAndPartialFilesAreNotTakenWhenFound(t *testing.T) {
	w := newWorld(t)
	untaken(t, w.dir)
	path := put(t, filepath.Join(w.dir, "z.jpg"), picture(0))
	w.scanned(func(o *Options) { o.Exclude = []string{filepath.Join(w.dir, "ours")} })
	w.wantOnly(path)
}

func TestLinksPipesSocketsHiddenAndPartialFilesAreNotTakenWhenTheyCome(t *testing.T) {
	w := newWorld(t)
	mkdir(t, filepath.Join(w.dir, "ours/k"))
	r := w.run(func(o *Options) { o.Exclude = []string{filepath.Join(w.dir, "ours")} })
	r.caughtUp()
	untaken(t, w.dir)
	path := w.sentinel()
	r.stop()
	w.wantOnly(path)
}

func TestAFolderThatIsNamedIsWatchedThoughHidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := mkdir(t, filepath.Join(w.dir, ".inbox"))
	w.run(func(o *Options) { o.Dirs = []string{dir} }).caughtUp()
	path := put(t, filepath.Join(dir, "a.jpg"), picture(1))
	w.awaitArrivals(path)
}

func TestFoldersWithinEachOtherTakeAFileOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	below := mkdir(t, filepath.Join(w.dir, "a/b"))
	r := w.run(func(o *Options) { o.Dirs = []string{w.dir, below, w.dir + "/a/../"} })
	path := put(t, filepath.Join(below, "a.jpg"), picture(1))
	other := w.sentinel()
	w.awaitArrivals(path)
	r.stop()
	w.wantOnly(path, other)
}

// Whoever may write to the folder swaps a file that has settled for a pipe, once for each intake.
func TestAPipeInAFilesPlaceBlocksNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	settled := seen(t, path)
	remove(t, path)
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool, 1)
	go func() { ended <- w.watcher().take(deadline(t), settled).again }()
	select {
	case again := <-ended:
		if !again {
			t.Error("taken as if nothing had happened")
		}
	case <-time.After(patience / 10):
		t.Error("hangs")
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // sets it free
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		<-ended
	}
}

// The folder for sorted files, or the state folder, is made after the start.
func TestAFolderToLeaveOutIsLeftOutWhenItIsMadeLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ours := filepath.Join(w.dir, "ours")
	r := w.run(func(o *Options) { o.Exclude = []string{ours} })
	r.caughtUp()
	mkdir(t, ours)
	other := w.sentinel() // the event has been seen
	put(t, filepath.Join(ours, "a.jpg"), picture(1))
	put(t, filepath.Join(w.dir, "b.jpg"), picture(2))
	other2 := filepath.Join(w.dir, "b.jpg")
	w.awaitArrivals(other2)
	r.stop()
	w.wantOnly(other, other2)
}

// As before, where the way to the folder leads over a link: what does not exist yet cannot be resolved.
func TestAFolderToLeaveOutIsLeftOutBehindALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(w.dir, link); err != nil {
		t.Fatal(err)
	}
	watcher := w.watcher(func(o *Options) {
		o.Dirs, o.Exclude = []string{link}, []string{filepath.Join(link, "ours")}
	})
	put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "ours")), "a.jpg"), picture(1))
	r := start(t, watcher)
	r.caughtUp()
	r.stop()
	w.wantOnly()
}
