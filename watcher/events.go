package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// events hears of changes from the operating system, and hands them on. It knows which folder is watched under which path,
// because inotify watches folders and fsnotify paths: a folder that was moved, or one that was made again, is watched in one
// of the two only.
type events struct {
	heard   func(event fsnotify.Event) // must not block
	lost    func()                     // some were, or begin to be heard: everything has to be looked at
	log     *slog.Logger
	retries backoff // of what the system has refused

	mu      sync.Mutex        // not held while anything is waited for
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

// A hearing says whether what happens in a folder is heard of.
type hearing int

const (
	deaf      hearing = iota // it is not
	listening                // it is, from now on
	listened                 // it was, before
)

// watch has the changes in a folder heard of, if that can be.
func (e *events) watch(path string, id dirID) hearing {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.source == nil || e.why != nil && time.Now().Before(e.tryAt) && e.ids[path] != id {
		e.refused[path] = struct{}{}
		return deaf
	}
	was := listening
	if e.ids[path] == id {
		was = listened // or so it seems: the system ends watches that nobody tells us of, as of what is unmounted
	} else {
		e.forget(e.paths[id]) // where it was before it was moved
		e.forget(path)        // what was here before
		_ = e.source.Remove(path)
	}
	switch err := e.source.Add(path); {
	case err == nil:
		e.ids[path], e.paths[id] = id, path
	case isLimit(err):
		e.refused[path] = struct{}{}
		e.refuse(err)
		return deaf
	default: // it is gone, or nobody may look into it
		e.forget(path)
		was = deaf
	}
	e.grant(path)
	return was
}

// isLimit reports whether the system refuses to watch any more folders, and not this one.
func isLimit(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// forget ends the watch of a folder. The caller holds the lock.
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

// forgetBelow ends the watches of a folder and of all in it.
func (e *events) forgetBelow(dir string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for path := range e.ids {
		if below(path, dir) {
			e.forget(path)
		}
	}
}

// forgetMoved ends the watches of folders below another that are not where they were.
func (e *events) forgetMoved(dir string) {
	e.mu.Lock()
	ids := maps.Clone(e.ids)
	e.mu.Unlock()
	for path, id := range ids {
		if !below(path, dir) {
			continue
		}
		if st, err := stat(path); err == nil && dirIDOf(&st) == id {
			continue
		}
		e.mu.Lock()
		if e.ids[path] == id {
			e.forget(path)
		}
		e.mu.Unlock()
	}
}

// refusal is why a folder of those below another, or that one, is not watched; nil: the system has refused none.
func (e *events) refusal(dir string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.why == nil {
		return nil
	}
	for path := range e.refused {
		if below(path, dir) {
			return e.why
		}
	}
	return nil
}

// release says that a folder need not be watched any more.
func (e *events) release(path string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.grant(path)
}

// watches reports whether a folder is watched at this path, as far as is known.
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

// run hears of changes until ctx ends.
func (e *events) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if e.source == nil { // nobody else sets it
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Until(e.tryAt)):
			}
			if e.open(); e.source == nil {
				continue
			}
			e.lost()
		}
		if e.read(ctx) { // all watches are made anew: that a folder was replaced by another may be lost, too
			e.open()
			e.lost()
		}
	}
	if e.source != nil {
		e.read(ctx)
	}
	return nil
}

// read hears of changes until ctx ends, or some are lost, which it reports. It closes the source.
func (e *events) read(ctx context.Context) (lost bool) {
	source := e.source
	overflow, drained := make(chan struct{}, 1), make(chan struct{})
	go func() { // by itself, because fsnotify holds its lock while it hands over an error
		defer close(drained)
		for err := range source.Errors {
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				e.log.Debug("folder events", "error", err) // that a watch has ended by itself, for the most part
				continue
			}
			select {
			case overflow <- struct{}{}:
			default:
			}
		}
	}()
	defer func() {
		_ = source.Close() // it was only read from
		<-drained
		e.mu.Lock()
		defer e.mu.Unlock()
		e.source = nil
		clear(e.ids)
		clear(e.paths)
	}()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-overflow:
			e.log.Debug("folder events were lost; scanning")
			return true
		case event, ok := <-source.Events:
			if !ok {
				return true
			}
			e.on(event)
		}
	}
}

// on hands an event on. A folder that is gone from where it was is no longer watched there, nor are those in it: others may
// come, and be given their inodes.
func (e *events) on(event fsnotify.Event) {
	switch {
	case event.Has(fsnotify.Rename) && e.watches(event.Name):
		e.forgetBelow(event.Name)
	case event.Has(fsnotify.Remove): // it was empty
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
	if e.why != nil && e.source != nil && len(e.refused) == 0 {
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
