package after_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/authenta/authenta-ingest/watcher/after"
)

// asNobody names the variable that has a run of this binary give up root's rights, and be that user.
const asNobody = "AFTER_TEST_AS_NOBODY"

func TestMain(m *testing.M) {
	if uid, err := strconv.Atoi(os.Getenv(asNobody)); err == nil && os.Geteuid() == 0 {
		for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)} {
			if err != nil {
				fmt.Fprintln(os.Stderr, "give up root's rights:", err)
				os.Exit(2)
			}
		}
	}
	goleak.VerifyTestMain(m)
}

// inChild runs the calling test again in a process of its own, without root's rights, and reports whether this is
// that process.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(asNobody) != "" {
		return true
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(binary, "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), asNobody+"=65534")
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process without root's rights: %v\n%s", err, out)
	}
	return false
}

// TestWithoutPermissionNothingIsDone takes the right to write from one folder after another, and gives it back.
func TestWithoutPermissionNothingIsDone(t *testing.T) {
	if !inChild(t) {
		return
	}
	for _, c := range []struct {
		policy, sidecar, folder string
		fails                   func(string) error
	}{
		{"delete", "off", "root/a/b", nil},
		{"delete", "on", "root/a/b", nil},
		{"delete", "ELSEWHERE", "elsewhere", nil},
		{"keep", "on", "root/a/b", nil},
		{"move:done", "off", "root/a/b", nil},
		{"move:done", "off", "root", nil},
		{"move:ELSEWHERE", "off", "elsewhere", nil},
		{"move:ELSEWHERE", "on", "elsewhere", nil},
		{"move:ELSEWHERE", "on", "elsewhere", farAway},
	} {
		t.Run(c.policy+" "+c.sidecar+" "+c.folder, func(t *testing.T) {
			w := newWorld(t)
			before := w.tree()
			p := plan(t, strings.ReplaceAll(c.policy, "ELSEWHERE", w.elsewhere), "keep", strings.ReplaceAll(c.sidecar, "ELSEWHERE", w.elsewhere))
			p.Step = c.fails
			folder := map[string]string{"root/a/b": filepath.Dir(w.file.Path), "root": w.root, "elsewhere": w.elsewhere}[c.folder]
			chmod(t, folder, 0o500)
			if err := p.Check([]string{w.root}); (err == nil) != (c.folder == "root/a/b") {
				t.Errorf("at the start: %v", err)
			}
			r, err := w.do(p, yes)
			if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), w.file.Path) {
				t.Errorf("%+v, %v", r, err)
			}
			w.want(before)
			chmod(t, folder, 0o700)
			if _, err := w.do(p, yes); err != nil {
				t.Errorf("with the right: %v", err)
			}
		})
	}
	t.Run("copied, but not to be removed", func(t *testing.T) {
		w := newWorld(t)
		p := plan(t, "move:ELSEWHERE", "keep", "off")
		p.OnVerdict.Dir = w.elsewhere
		twice := map[string]string{"root/a/b/clip.mp4": judged, "elsewhere/a/b/clip.mp4": judged}
		p.Step = func(at string) error {
			if at == "after place copy" {
				chmod(t, filepath.Dir(w.file.Path), 0o500)
			}
			return farAway(at)
		}
		for range 2 {
			if r, err := w.do(p, yes); !errors.Is(err, os.ErrPermission) {
				t.Errorf("%+v, %v", r, err)
			}
			w.want(twice)
		}
		chmod(t, filepath.Dir(w.file.Path), 0o700)
		w.must(p, yes, after.Moved)
		w.want(map[string]string{"elsewhere/a/b/clip.mp4": judged})
	})
	t.Run("of another's file, which may not be linked", func(t *testing.T) {
		w := newWorld(t)
		p := plan(t, "move:done", "keep", "off")
		p.Step = plainer
		w.must(p, yes, after.Moved)
	})
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// smallDisk mounts a small file system of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all room of a disk but for some bytes, and returns what gives it back.
func fill(t *testing.T, dir string, leave int64) (makeRoom func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for buf := make([]byte, 4096); err == nil; size += 4096 {
		_, err = f.Write(buf)
	}
	if err := errors.Join(f.Truncate(max(0, size-4096-leave)), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAFullDiskIsTriedAgain moves a large file to a disk that has no room for it, or for its sidecar.
func TestAFullDiskIsTriedAgain(t *testing.T) {
	for name, leave := range map[string]int64{"not for the file": 24 << 10, "not for anything": 0} {
		for _, sidecar := range []string{"off", "on", "ELSEWHERE"} {
			t.Run(name+", sidecar "+sidecar, func(t *testing.T) {
				w := worldOf(t, "clip.mp4", smallDisk(t))
				large := strings.Repeat("0123456789abcdef", 4096)
				write(t, w.file.Path, large)
				w.file.Version, w.file.Digest = versionOf(t, w.file.Path), digest(large)
				p := plan(t, "move:"+w.elsewhere, "keep", strings.ReplaceAll(sidecar, "ELSEWHERE", w.elsewhere))
				makeRoom := fill(t, w.elsewhere, leave)
				for range 2 {
					if r, err := w.do(p, yes); !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("%+v, %v", r, err)
					}
					tree := w.tree()
					delete(tree, "elsewhere/ballast")
					if len(tree) != 1 || tree["root/a/b/clip.mp4"] != large {
						t.Error(len(tree), "files")
					}
				}
				makeRoom()
				w.must(p, yes, after.Moved)
				if tree := w.tree(); tree["elsewhere/a/b/clip.mp4"] != large || exists(w.file.Path) {
					t.Error(len(tree), "files")
				}
			})
		}
	}
}

func TestAReadOnlyDiskIsTriedAgain(t *testing.T) {
	w := worldOf(t, "clip.mp4", smallDisk(t))
	before := w.tree()
	remount := func(flags uintptr) {
		if err := syscall.Mount("tmpfs", w.elsewhere, "tmpfs", syscall.MS_REMOUNT|flags, "size=256k"); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	p := plan(t, "move:"+w.elsewhere, "keep", "on")
	if err := p.Check([]string{w.root}); err == nil {
		t.Error("at the start nothing is said")
	}
	if r, err := w.do(p, yes); !errors.Is(err, syscall.EROFS) {
		t.Errorf("%+v, %v", r, err)
	}
	w.want(before)
	remount(0)
	w.must(p, yes, after.Moved)
}

// TestABindMountOfTheSameDiskIsCopiedTo cannot be told by its device: only the rename says so.
func TestABindMountOfTheSameDiskIsCopiedTo(t *testing.T) {
	w := newWorld(t)
	source := scratch(t)
	mounted := filepath.Join(scratch(t), "mounted")
	if err := os.Mkdir(mounted, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(source, mounted, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mounted, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w.elsewhere = mounted
	w.must(plan(t, "move:"+mounted, "keep", "on"), yes, after.Moved)
	w.want(map[string]string{"elsewhere/a/b/clip.mp4": judged, "elsewhere/a/b/clip.mp4.verdict.json": verdict + "\n"})
}
