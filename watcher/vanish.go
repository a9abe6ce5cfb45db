package watcher

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// vanishedFor is how long a file must be gone until it is forgotten: a folder may be moved away and back.
	vanishedFor = 24 * time.Hour
	// vanishedAtOnce is how many files a scan begins to forget, so that a tree that was deleted holds it up for seconds only.
	vanishedAtOnce = 5000
	// noteTime is how long a scan waits for the broker to note what can as well be noted by the next one.
	noteTime = 2 * time.Second
)

// forgetVanished has the registry forget, in a while, the files of the root that are not there any more.
func (s *scan) forgetVanished(ctx context.Context) {
	r := s.root
	for _, key := range r.files.missing(r.index, s.number, vanishedAtOnce) {
		if r.moved() { // with all that is in it
			return
		}
		if err := s.vanished(ctx, key); err != nil {
			if ctx.Err() == nil {
				r.Log.Debug("vanished files are forgotten later", "error", err)
			}
			return
		}
	}
}

func (s *scan) vanished(ctx context.Context, key queue.FileKey) error {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	files := s.root.files
	e, err := files.registry.Entry(ctx, key)
	if err != nil {
		return err
	}
	if e == nil {
		files.note(queue.FileMark{Key: key})
		return nil
	}
	path, err := queue.FilePath(e.URI)
	r := s.root.rootOf(path)
	switch {
	case err != nil || r == nil:
		files.place(key, foreign)
	case r != s.root:
		files.place(key, r.index)
	case s.unread(path), !gone(path, e.File.Device):
		files.see(key, e.File, r.index, s.number)
	default:
		return files.alter(ctx, key, *e, vanishedFor)
	}
	return nil
}

// unread reports whether a path lies in what cannot be read now.
func (s *scan) unread(path string) bool {
	for dir := range s.trouble {
		if below(path, dir) {
			return true
		}
	}
	return false
}

// gone reports whether nothing is at a path, and its file system is there: if that is not mounted, what was in it is not
// gone.
func gone(path string, dev uint64) bool {
	if _, err := lstat(path); !isGone(err) {
		return false
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if st, err := stat(dir); err == nil {
			return uint64(st.Dev) == dev
		} else if !isGone(err) || dir == filepath.Dir(dir) {
			return false
		}
	}
}

// keep has the registry keep files that are back.
func (r *root) keep(ctx context.Context, paths []string) {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	for _, path := range paths {
		key := queue.FileKeyOf(path)
		e, err := r.files.registry.Entry(ctx, key)
		if err == nil && e != nil {
			err = r.files.alter(ctx, key, *e, 0)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			r.Log.Debug("files that are back are kept later", "file", path, "error", err)
			return
		}
	}
}
