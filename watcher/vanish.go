package watcher

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// vanishedFor is how long a file must be gone until it is forgotten: a folder may be moved away and back.
	vanishedFor = 24 * time.Hour
	// vanishedAtOnce is how many files a scan begins to forget, so that a tree that was deleted holds it up for seconds only.
	vanishedAtOnce = 5000
)

// forgetVanished has the registry forget, in a while, the files of the root that are not there any more. Those that could not
// be looked at now, or whose file system is not mounted, are not gone.
func (s *scan) forgetVanished(ctx context.Context) {
	for _, key := range s.files.unseen(s.index, s.number, vanishedAtOnce) {
		if err := s.vanished(ctx, key); err != nil {
			if ctx.Err() == nil {
				s.Log.Debug("vanished files are forgotten later", "error", err)
			}
			return
		}
	}
}

func (s *scan) vanished(ctx context.Context, key queue.FileKey) error {
	e, err := s.files.registry.Entry(ctx, key)
	if err != nil || e == nil {
		return err
	}
	path, err := queue.FilePath(e.URI)
	r := s.rootOf(path)
	switch {
	case err != nil || r == nil:
		s.files.place(key, foreign)
	case r != s.root:
		s.files.place(key, r.index)
	case s.hidden(path), !s.met(e.File.Device), s.exists(path):
		s.files.see(key, e.File, s.index, s.number)
	default:
		if err := s.files.registry.Expire(ctx, key, *e, vanishedFor); err != nil {
			return err
		}
		mark := e.Mark(key)
		mark.Expiring = true
		s.files.note(mark)
	}
	return nil
}

// exists reports whether something is at a path: it came after the scan had passed, or is left out now.
func (s *scan) exists(path string) bool {
	_, err := lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// hidden reports whether a path lies in what cannot be read now.
func (s *scan) hidden(path string) bool {
	for dir := range s.trouble {
		if below(path, dir) {
			return true
		}
	}
	return false
}

// met reports whether the scan was on a file system.
func (s *scan) met(dev uint64) bool {
	_, ok := s.devices[dev]
	return ok
}

// revive has the registry keep the files that are back.
func (s *scan) revive(ctx context.Context) {
	for _, path := range s.revived {
		key := queue.FileKeyOf(path)
		e, err := s.files.registry.Entry(ctx, key)
		if err == nil && e != nil {
			err = s.files.remember(ctx, path, *e)
		}
		if err != nil {
			s.Log.Debug("a file that is back is kept later", "file", path, "error", err)
			return
		}
	}
}
