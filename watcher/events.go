package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// events hears of changes from the operating system, and turns them into hints. Its reader waits for nobody.
type events struct {
	heard   func(event fsnotify.Event) // must not block
	lost    func()                     // some were, or begin to be heard: everything has to be looked at
	log     *slog.Logger
	retries backoff // of what the system has refused

	mu      sync.Mutex
	source  *fsnotify.Watcher // nil: there is none
	ids     map[string]dirID  // the watched folders
	paths   map[dirID]string
	refused map[string]struct{} // folders that the system does not let us watch
	why     error               // nil: it lets us
	tryAt   time.Time           // when it is asked again
}

func newEvents(log *slog.Logger, heard func(fsnotify.Event), lost func()) *events {
	return &events{
		heard: heard, lost: lost, log: log, retries: backoff{first: time.Minute, last: time.Hour},
		ids: map[string]dirID{}, paths: map[dirID]string{}, refused: map[string]struct{}{},
	}
}

// watch has the changes in a folder heard of, and reports whether they will be.
func (e *events) watch(path string, id dirID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ids[path] == id {
		return true
	}
	if e.source == nil || e.why != nil && time.Now().Before(e.tryAt) {
		e.refused[path] = struct{}{}
		return false
	}
	// A folder that was moved is watched under its old path, and another may have been at this one: the system keeps the
	// watch of the folder, whatever its path is by now.
	if was, ok := e.paths[id]; ok {
		e.forget(was)
	}
	e.forget(path)
	_ = e.source.Remove(path) // what only fsnotify still knows of
	switch err := e.source.Add(path); {
	case err == nil:
		e.ids[path], e.paths[id] = id, path
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fsnotify.ErrClosed): // there is nothing to be heard
	default:
		e.refused[path] = struct{}{}
		e.refuse(err)
		return false
	}
	e.grant(path)
	return true
}

// release says that a folder is none of ours any more.
func (e *events) release(path string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(path)
	e.grant(path)
}

// forget ends the watch of a folder.
func (e *events) forget(path string) {
	id, ok := e.ids[path]
	if !ok {
		return
	}
	_ = e.source.Remove(path) // it may be gone already
	delete(e.ids, path)
	if e.paths[id] == path {
		delete(e.paths, id)
	}
}

// forgetAll ends the watches of a folder and of all in it.
func (e *events) forgetAll(dir string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for path := range e.ids {
		if below(path, dir) {
			e.forget(path)
		}
	}
}

// forgetMoved ends the watches of folders in a folder that are not where they were.
func (e *events) forgetMoved(dir string) {
	e.mu.Lock()
	ids := maps.Clone(e.ids)
	e.mu.Unlock()
	for path, id := range ids {
		if !below(path, dir) {
			continue
		}
		if st, err := stat(path); err != nil || dirIDOf(&st) != id {
			e.release(path)
		}
	}
}

// watches reports whether a folder is watched at this path.
func (e *events) watches(path string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.ids[path]
	return ok
}

// open begins to hear of changes, if the system lets us.
func (e *events) open() {
	source, err := fsnotify.NewWatcher()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.refuse(err)
		return
	}
	e.source = source
}

// run reads events until ctx ends.
func (e *events) run(ctx context.Context) error {
	for e.source == nil { // nobody else sets it
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(e.tryAt)):
		}
		if e.open(); e.source != nil {
			e.lost()
		}
	}
	defer e.source.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-e.source.Events:
			if !ok {
				return errors.New("the event reader stopped")
			}
			e.on(event)
		case err, ok := <-e.source.Errors:
			if !ok {
				return errors.New("the event reader stopped")
			}
			e.log.Debug("folder events were lost; scanning", "error", err)
			e.forgetAll("/") // that a folder was replaced by another may be lost, too
			e.lost()
		}
	}
}

// on hands an event over. A folder that is gone from where it was is no longer watched there: another one may come, and
// be given its inode.
func (e *events) on(event fsnotify.Event) {
	if event.Name == "" {
		return
	}
	if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
		e.mu.Lock()
		e.forget(event.Name)
		e.mu.Unlock()
	}
	e.heard(event)
}

// refuse notes that the system does not let us hear of changes, and says so once. The caller holds the lock.
func (e *events) refuse(err error) {
	wait := e.retries.next()
	e.tryAt = time.Now().Add(wait)
	if e.why == nil {
		e.log.Warn("some folders cannot be watched for events, and are polled", "why", advice(err), "next_try", wait, "error", err)
	}
	e.why = err
}

// grant notes that a folder is watched, or need not be. The caller holds the lock.
func (e *events) grant(path string) {
	delete(e.refused, path)
	if e.why != nil && len(e.refused) == 0 {
		e.why = nil
		e.retries.reset()
		e.log.Info("all folders are watched for events again")
	}
}

// advice says what to do about a refusal.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "there are more folders than this user may watch: raise the sysctl fs.inotify.max_user_watches"
	case errors.Is(err, syscall.EMFILE) && strings.Contains(err.Error(), "inotify"):
		return "this user has no inotify instance left: raise the sysctl fs.inotify.max_user_instances"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open: raise the limit (ulimit -n, LimitNOFILE)"
	}
	return fmt.Sprintf("the system refuses it: %v", err)
}

// A backoff doubles from one wait to the next.
type backoff struct{ first, last, wait time.Duration }

func (b *backoff) next() time.Duration {
	b.wait = min(max(2*b.wait, b.first), b.last)
	return b.wait
}

func (b *backoff) reset() { b.wait = 0 }
