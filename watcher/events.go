package watcher

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// hints is a set of paths about which something may have changed. Adding never blocks, so that no event is lost for
// a slow reader.
type hints struct {
	mu    sync.Mutex
	paths map[string]struct{}
	more  chan struct{} // holds one when the set is not empty
}

func newHints() *hints {
	return &hints{paths: map[string]struct{}{}, more: make(chan struct{}, 1)}
}

func (h *hints) add(path string) {
	h.mu.Lock()
	h.paths[path] = struct{}{}
	h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default:
	}
}

// take empties the set.
func (h *hints) take() map[string]struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.paths
	h.paths = map[string]struct{}{}
	return taken
}

// folderEvents turns the operating system's events into hints.
type folderEvents struct {
	w  *Watcher
	fs *fsnotify.Watcher // nil: there are none, and the scans do all

	mu     sync.Mutex
	warned bool
}

func newFolderEvents(w *Watcher) *folderEvents {
	f := &folderEvents{w: w}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		f.warn("(all)", err)
		return f
	}
	f.fs = notify
	return f
}

// add watches one folder. If that cannot be, its files are found by the scans alone.
func (f *folderEvents) add(dir string) {
	if f.fs == nil {
		return
	}
	err := f.fs.Add(dir)
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, fsnotify.ErrClosed) {
		return
	}
	f.warn(dir, err)
}

// warn tells once that a folder is not watched.
func (f *folderEvents) warn(dir string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.warned {
		f.warned = true
		f.w.Log.Warn("a folder cannot be watched for events; new files in it are found by the scan alone "+
			"(if this says 'no space left' or 'too many', raise fs.inotify.max_user_watches or max_user_instances)",
			"folder", dir, "scan_every", f.w.Rescan, "error", err)
	}
}

// run reads events until ctx ends.
func (f *folderEvents) run(ctx context.Context) error {
	if f.fs == nil {
		<-ctx.Done()
		return nil
	}
	defer f.fs.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-f.fs.Events:
			if !ok {
				return errors.New("the event reader stopped")
			}
			f.on(event)
		case err, ok := <-f.fs.Errors:
			if !ok {
				return errors.New("the event reader stopped")
			}
			f.w.Log.Debug("folder events were lost; scanning", "error", err)
			for _, dir := range f.w.Dirs {
				f.w.unseen.add(dir)
			}
		}
	}
}

// on takes an event as a hint. A folder that appears is watched, and then scanned.
func (f *folderEvents) on(event fsnotify.Event) {
	if event.Has(fsnotify.Create) {
		if info, err := os.Lstat(event.Name); err == nil && info.IsDir() {
			if !f.w.leftOut(event.Name, true) {
				f.add(event.Name)
				f.w.unseen.add(event.Name)
			}
			return
		}
	}
	if !event.Has(fsnotify.Remove) && !f.w.leftOut(event.Name, false) {
		f.w.hints.add(event.Name)
	}
}
