package watcher

import (
	"path/filepath"
	"syscall"
	"testing"
)

// The user has no inotify instance left (128 by default, shared by all programs).
func TestWithoutFolderEventsTheScanDoes(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	for {
		fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
		if err != nil {
			break
		}
		t.Cleanup(func() { syscall.Close(fd) })
	}
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.run()
	w.awaitArrivals(path)
}
