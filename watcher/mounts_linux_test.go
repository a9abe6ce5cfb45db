package watcher

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// scanOften has scans find what no event tells of: that a mount has come, or gone.
func scanOften(o *Options) { o.Rescan = 50 * time.Millisecond }

// newDisk makes a file system, and returns the folder at which it stays mounted.
func newDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

// mount has a disk appear at a folder, too.
func mount(t *testing.T, disk, dir string) {
	t.Helper()
	if err := syscall.Mount(disk, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
}

// unmount takes a disk from a folder, though a scan be in it.
func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		t.Error(err)
	}
}

// A mountedWorld has a disk for a root. While that is away, there is an empty folder in its place.
type mountedWorld struct {
	*world
	disk, root, other string   // other is a root that stays
	want              []string // what has to have arrived, once
}

func newMountedWorld(t *testing.T) *mountedWorld {
	t.Helper()
	w := &mountedWorld{world: newWorld(t), disk: newDisk(t)}
	w.root, w.other = mkdir(t, filepath.Join(w.dir, "root")), mkdir(t, filepath.Join(w.dir, "other"))
	mount(t, w.disk, w.root)
	return w
}

func (w *mountedWorld) roots(o *Options) { o.Dirs = []string{w.root, w.other} }

// add has a file appear in the root, by whichever folder that is reached, and wants it to arrive.
func (w *mountedWorld) add(dir, name string) {
	w.t.Helper()
	hidden := filepath.Join(mkdir(w.t, dir), ".new") // on the same disk
	if err := os.WriteFile(hidden, picture(len(w.want)), 0o644); err != nil {
		w.t.Fatal(err)
	}
	move(w.t, hidden, filepath.Join(dir, name))
	w.want = append(w.want, filepath.Join(w.root, name))
}

// awaitLast waits until the last of the files that are wanted has arrived.
func (w *mountedWorld) awaitLast() {
	w.t.Helper()
	w.awaitEntry(w.want[len(w.want)-1])
}

// scansPass returns when there have been some scans: a file takes longer to settle than from one to the next.
func (w *mountedWorld) scansPass() {
	w.t.Helper()
	for range 2 {
		path := put(w.t, fmt.Sprintf("%s/%d.jpg", w.other, len(w.want)), picture(len(w.want)))
		w.want = append(w.want, path)
		w.awaitLast()
	}
}

func TestARootThatIsUnmountedIsTakenUpAgainWhenItIsBack(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	for name, away := range map[string]func(t *testing.T, w *mountedWorld){
		"for some scans": func(_ *testing.T, w *mountedWorld) { w.scansPass() },
		"for a moment":   func(*testing.T, *mountedWorld) {},
		"another disk is mounted meanwhile": func(t *testing.T, w *mountedWorld) {
			mount(t, newDisk(t), w.root)
			w.add(w.root, "another.jpg")
			w.awaitLast()
			w.scansPass()
			unmount(t, w.root)
		},
		"it comes back under another number": func(t *testing.T, w *mountedWorld) {
			w.scansPass()
			copied := newDisk(t)
			if out, err := exec.Command("cp", "-a", w.disk+"/.", copied).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			w.disk = copied
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMountedWorld(t)
			w.add(w.root, "before.jpg")
			r := w.run(scanOften, w.roots)
			r.caughtUp()
			known := w.remembered()
			unmount(t, w.root)
			away(t, w)
			if n := w.remembered(); n < known {
				t.Errorf("%d files are remembered of %d, and their disk is only away", n, known)
			}
			w.add(w.disk, "meanwhile.jpg")
			mount(t, w.disk, w.root)
			defer unmount(t, w.root)
			w.awaitLast()
			w.add(w.root, "after.jpg")
			w.awaitLast()
			w.scansPass()
			r.stop()
			w.wantOnly(w.want...)
		})
	}
}

func TestARootThatIsUnmountedIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	w, log := newMountedWorld(t), &logbook{}
	w.add(w.root, "before.jpg")
	w.run(scanOften, w.roots, func(o *Options) { o.Log = log.logger() }).caughtUp()
	unmount(t, w.root)
	await(t, "it is warned of", func() bool { return len(log.warnings(w.root)) > 0 })
	w.scansPass()
	if got := log.warnings(w.root); len(got) != 1 {
		t.Errorf("%d warnings, want one: %q", len(got), got)
	}
}

// The disk is mounted below a root, over a folder that is watched, and goes and comes.
func TestAMountBelowARootIsLookedInto(t *testing.T) {
	t.Parallel()
	if !inNamespaces(t) {
		return
	}
	w := newMountedWorld(t)
	unmount(t, w.root)
	r := w.run(scanOften)
	r.caughtUp()
	for n := range 3 {
		mount(t, w.disk, w.root)
		w.add(w.disk, fmt.Sprintf("by-scan%d.jpg", n))
		w.awaitLast()
		w.add(w.root, fmt.Sprintf("later%d.jpg", n))
		w.awaitLast()
		unmount(t, w.root)
		w.scansPass()
	}
	r.stop()
	w.wantOnly(w.want...)
}

// Nobody unmounts anything: the root is deleted, or moved away, and made again.
func TestARootThatIsMadeAgainIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	for name, goes := range map[string]func(t *testing.T, dir string){
		"removed": func(t *testing.T, dir string) { remove(t, dir) },
		"moved":   func(t *testing.T, dir string) { move(t, dir, filepath.Join(t.TempDir(), "moved")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &mountedWorld{world: newWorld(t)}
			w.root, w.other = mkdir(t, filepath.Join(w.dir, "root")), mkdir(t, filepath.Join(w.dir, "other"))
			w.add(w.root, "before.jpg")
			r := w.run(scanOften, w.roots)
			r.caughtUp()
			goes(t, w.root)
			w.scansPass()
			w.add(w.root, "after.jpg")
			w.awaitLast()
			w.add(w.root, "later.jpg")
			w.awaitLast()
			r.stop()
			w.wantOnly(w.want...)
		})
	}
}
