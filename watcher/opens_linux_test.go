package watcher

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// opens counts how often the files of a folder are opened, whoever does it.
type opens struct {
	t  testing.TB
	fd int
}

func countOpens(t testing.TB, dir string) opens {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	// With the closings between them, two openings in a row are two events.
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_OPEN|syscall.IN_CLOSE_NOWRITE); err != nil {
		t.Fatal(err)
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
