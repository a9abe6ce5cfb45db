package watcher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// opens counts how often the files of some folders are opened, whoever does it.
type opens struct {
	t  testing.TB
	fd int
}

func countOpens(t testing.TB, dirs ...string) opens {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	// With the closings between them, two openings in a row are two events.
	for _, dir := range dirs {
		if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_OPEN|syscall.IN_CLOSE_NOWRITE); err != nil {
			t.Fatal(err)
		}
	}
	return opens{t, fd}
}

// take returns how often each file was opened since the last call.
func (o opens) take() map[string]int {
	o.t.Helper()
	count := map[string]int{}
	buf := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(o.fd, buf)
		if err != nil || n <= 0 {
			return count
		}
		for b := buf[:n]; len(b) >= syscall.SizeofInotifyEvent; {
			mask, length := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
			name := strings.TrimRight(string(b[syscall.SizeofInotifyEvent:][:length]), "\x00")
			if mask&syscall.IN_OPEN != 0 && mask&syscall.IN_ISDIR == 0 {
				count[name]++
			}
			b = b[syscall.SizeofInotifyEvent+length:]
		}
	}
}

func TestEachFileIsOpenedOnceAndNotAgainAfterRestartsAndScans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := []string{"note.jpg"}
	put(t, filepath.Join(w.dir, "note.jpg"), []byte("text"))
	for i := range 20 {
		names = append(names, fmt.Sprintf("%d.jpg", i))
		put(t, filepath.Join(w.dir, names[i+1]), picture(i%10))
	}
	o := countOpens(t, w.dir)
	w.scanned()
	got := o.take()
	for _, name := range names {
		if got[name] != 1 {
			t.Errorf("%s was opened %d times, want once", name, got[name])
		}
	}
	w.scanned()
	runDeaf(t, w.watcher(func(o *Options) { o.Rescan = 50 * time.Millisecond }))
	for i := range 3 { // each is found by a scan
		w.awaitArrivals(put(t, filepath.Join(w.dir, fmt.Sprintf("later%d.jpg", i)), picture(100+i)))
	}
	got = o.take()
	for _, name := range names {
		if got[name] > 0 {
			t.Errorf("%s was opened again, %d times", name, got[name])
		}
	}
}

// Opening a pipe may wait for ever, and opening a device do anything.
func TestWhatIsNoRegularFileIsNeverOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := []string{"pipe.jpg", "device.jpg", "link-to-pipe.jpg"}
	untaken := func(dir string) {
		if err := syscall.Mkfifo(filepath.Join(dir, names[0]), 0o644); err != nil {
			t.Fatal(err)
		}
		err := syscall.Mknod(filepath.Join(dir, names[1]), syscall.S_IFCHR|0o644, 1<<8|3) // as /dev/null
		if err != nil && !errors.Is(err, syscall.EPERM) {
			t.Fatal(err)
		}
		if err := os.Symlink(names[0], filepath.Join(dir, names[2])); err != nil {
			t.Fatal(err)
		}
	}
	before, later := mkdir(t, filepath.Join(w.dir, "before")), mkdir(t, filepath.Join(w.dir, "later"))
	untaken(before)
	opened := countOpens(t, before, later)
	r := w.run(func(o *Options) { o.Rescan = 50 * time.Millisecond })
	r.caughtUp()
	untaken(later)
	path := put(t, filepath.Join(later, "a.jpg"), picture(1))
	w.awaitArrivals(path)
	r.stop()
	got := opened.take()
	for _, name := range names {
		if got[name] > 0 {
			t.Errorf("%s was opened %d times", name, got[name])
		}
	}
	if got["a.jpg"] != 1 {
		t.Errorf("a.jpg was opened %d times, want once", got["a.jpg"])
	}
}
