package watcher

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/after"
)

const (
	// batch is how many names are read of a folder at a time, so that one of a million files takes no more memory.
	batch = 1024
	// window is how many new files a scan puts in order at a time: some 10 MB of names.
	window = 1 << 15
	// flushEvery is how long what was found waits for what may be older, in folders that take long to read.
	flushEvery = 5 * time.Second
	// arrived is how old a change must be for its event to have been heard of, if there was one.
	arrived = 10 * time.Second
)

// A scan looks at folders, and hands new files to the loop, oldest change first.
type scan struct {
	*root
	number  uint32
	safety  bool      // it makes sure that events tell everything
	shallow bool      // known folders in a folder are left alone
	found   oldest    // new files
	flushed time.Time // when they were handed over last
	left    bool      // there are more than it could hold
	polled  map[string]struct{}
	trouble map[string]error
	devices map[uint64]bool    // the file systems that it has met; true: remote
	folders map[dirID]struct{} // those it was in; kept only to follow links
	links   []string           // to folders
	revived []string           // files that are back
}

func (r *root) newScan() *scan {
	return &scan{
		root: r, number: r.scans, flushed: time.Now(), polled: map[string]struct{}{}, trouble: map[string]error{},
		devices: map[uint64]bool{}, folders: map[dirID]struct{}{},
	}
}

// scanWhole looks at everything. What is new is handed over oldest first, in as many goes as it takes: each finds the
// rest of the one before.
func (r *root) scanWhole(ctx context.Context, safety bool) {
	for ctx.Err() == nil && r.there(ctx) {
		r.scans++
		s := r.newScan()
		s.safety = safety && !r.lost.Swap(false)
		s.folder(ctx, r.path)
		s.followLinks(ctx)
		s.flush(ctx)
		if ctx.Err() != nil {
			return
		}
		r.polled = s.polled
		r.settleTrouble(s.trouble, r.path)
		r.events.forgetMoved(r.path)
		s.revive(ctx)
		if !s.left {
			s.forgetVanished(ctx)
			return
		}
		r.drained(ctx)
	}
}

// scanPart looks at one folder, which is new or was asked for.
func (r *root) scanPart(ctx context.Context, dir string) {
	if !r.there(ctx) || r.rootOf(dir) != r {
		return
	}
	s := r.newScan()
	s.folder(ctx, dir)
	s.finish(ctx, dir)
}

// poll looks at the folders that send no events.
func (r *root) poll(ctx context.Context) {
	if r.Poll == PollNever || len(r.polled) == 0 || !r.there(ctx) {
		return
	}
	s := r.newScan()
	s.shallow = true
	for dir := range r.polled {
		if ctx.Err() != nil {
			return
		}
		if _, err := lstat(dir); errors.Is(err, fs.ErrNotExist) {
			delete(r.polled, dir)
			r.events.release(dir)
			continue
		}
		s.folder(ctx, dir)
	}
	s.finish(ctx, "")
}

// finish takes over what a part of the root was found to be. dir is the part; empty: several.
func (s *scan) finish(ctx context.Context, dir string) {
	s.flush(ctx)
	for path := range s.polled {
		s.root.polled[path] = struct{}{}
	}
	if dir != "" {
		s.settleTrouble(s.trouble, dir)
	}
	s.revive(ctx)
	if s.left {
		s.unseen.addAll()
	}
}

// folder looks at a folder and all in it. The folder is watched before it is read, so that what is written meanwhile is
// seen by one or the other.
func (s *scan) folder(ctx context.Context, path string) {
	st, err := lstat(path)
	if path == s.path || err == nil && isLink(&st) { // a link to a folder is followed on purpose
		st, err = stat(path)
	}
	if err != nil || !isFolder(&st) {
		s.cannotRead(path, err)
		return
	}
	id := dirIDOf(&st)
	if s.FollowSymlinks {
		if _, ok := s.folders[id]; ok {
			return
		}
		s.folders[id] = struct{}{}
	}
	remote := s.isRemote(path, id.dev)
	if s.sendsEvents(path, &st, remote) {
		delete(s.root.polled, path)
	} else {
		s.polled[path] = struct{}{}
	}
	for _, name := range s.read(ctx, path, remote) {
		if s.wanted(name) {
			s.folder(ctx, name)
		}
	}
}

// wanted reports whether a folder in a folder is to be looked at by this scan.
func (s *scan) wanted(path string) bool {
	if !s.shallow {
		return true
	}
	_, polled := s.root.polled[path]
	return !polled && !s.events.watches(path)
}

// isRemote reports whether a folder is on a file system that others write to.
func (s *scan) isRemote(path string, dev uint64) bool {
	remote, ok := s.devices[dev]
	if !ok {
		remote = isRemote(path)
		s.devices[dev] = remote
	}
	return remote
}

// read looks at the files in a folder, and returns the folders in it.
func (s *scan) read(ctx context.Context, path string, remote bool) (folders []string) {
	dir, err := os.Open(path)
	if err != nil {
		s.cannotRead(path, err)
		return nil
	}
	defer dir.Close()
	for ctx.Err() == nil {
		entries, err := dir.ReadDir(batch)
		for _, e := range entries {
			if folder := s.entry(dir, e, remote); folder {
				folders = append(folders, filepath.Join(path, e.Name()))
			}
		}
		s.flushInTime(ctx)
		if err == io.EOF {
			return folders
		}
		if err != nil {
			s.cannotRead(path, err)
			return folders
		}
	}
	return nil
}

// entry looks at a name in a folder, and reports whether it is a folder to be entered.
func (s *scan) entry(dir *os.File, e fs.DirEntry, remote bool) (folder bool) {
	path := filepath.Join(dir.Name(), e.Name())
	if drop, ok := after.Hidden(e.Name()); ok && e.Type().IsRegular() {
		s.setAside(path, drop)
		return false
	}
	switch {
	case e.IsDir():
		return s.entered(path)
	case e.Type()&fs.ModeSymlink != 0:
		if s.FollowSymlinks {
			s.link(path)
		}
	case e.Type().IsRegular() && s.counts(path):
		st, err := statIn(dir, e.Name())
		switch {
		case err != nil:
			s.cannotRead(path, err)
		case isRegular(&st):
			s.file(sighting{path: path, version: queue.FileIDOf(&st), remote: remote})
		}
	}
	return false
}

// setAside looks at a file that somebody was about to move or delete.
func (s *scan) setAside(path string, drop queue.DropID) {
	st, err := lstat(path)
	if err == nil {
		err = s.debts.putBack(sighting{path: path, version: queue.FileIDOf(&st)}, drop)
	}
	if err != nil {
		s.cannotRead(path, err)
	}
}

// file takes note of a file, unless it was dealt with.
func (s *scan) file(g sighting) {
	done, ever, expiring := s.files.see(queue.FileKeyOf(g.path), g.version, s.index, s.number)
	if done {
		if expiring {
			s.revived = append(s.revived, g.path)
		}
		return
	}
	if !s.admits(g) {
		return
	}
	g.missed = s.safety && !ever && !g.remote && time.Since(g.version.ChangeTime) > arrived && s.events.watches(filepath.Dir(g.path))
	if s.found.keep(g, window) {
		s.left = true
	}
}

// link takes note of a link, which counts if it stays inside the root.
func (s *scan) link(path string) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil || !below(target, s.path) {
		return
	}
	st, err := stat(target)
	switch {
	case err != nil:
	case isFolder(&st) && s.entered(path):
		s.links = append(s.links, path)
	case isRegular(&st) && s.counts(path):
		s.file(sighting{path: path, version: queue.FileIDOf(&st), remote: s.isRemote(target, uint64(st.Dev))})
	}
}

// followLinks enters the linked folders that the scan was not in by their own paths. A loop ends where it began.
func (s *scan) followLinks(ctx context.Context) {
	for len(s.links) > 0 && ctx.Err() == nil {
		path := s.links[0]
		s.links = s.links[1:]
		s.folder(ctx, path)
	}
}

func (s *scan) flushInTime(ctx context.Context) {
	if time.Since(s.flushed) > flushEvery {
		s.flush(ctx)
	}
}

// flush hands over the files that were found, which may have to wait for the intake.
func (s *scan) flush(ctx context.Context) {
	slices.SortFunc(s.found, func(a, b sighting) int { return a.version.ChangeTime.Compare(b.version.ChangeTime) })
	for _, g := range s.found {
		select {
		case s.Watcher.found <- g:
		case <-ctx.Done():
			return
		}
	}
	s.found, s.flushed = s.found[:0], time.Now()
}

// cannotRead notes what could not be looked at. What is gone again is no news.
func (s *scan) cannotRead(path string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		s.trouble[path] = err
	}
}

// settleTrouble tells, once, what cannot be read below a folder, and what can again.
func (r *root) settleTrouble(now map[string]error, dir string) {
	for path, err := range now {
		if r.trouble[path] == nil {
			r.Log.Warn("cannot be read, and is left out until it can", "path", path, "error", err)
		}
		r.trouble[path] = err
	}
	for path := range r.trouble {
		if now[path] == nil && below(path, dir) {
			delete(r.trouble, path)
			if _, err := lstat(path); err == nil {
				r.Log.Info("can be read again", "path", path)
			}
		}
	}
	r.unread.Store(int64(len(r.trouble)))
}

// oldest is a heap of sightings with the youngest on top, which is dropped for older ones.
type oldest []sighting

// keep adds a sighting, and reports whether one had to be dropped to keep to the limit.
func (o *oldest) keep(g sighting, limit int) (dropped bool) {
	if len(*o) < limit {
		heap.Push(o, g)
		return false
	}
	if older(g, (*o)[0]) {
		(*o)[0] = g
		heap.Fix(o, 0)
	}
	return true
}

func older(a, b sighting) bool {
	return cmp.Or(a.version.ChangeTime.Compare(b.version.ChangeTime), cmp.Compare(a.path, b.path)) < 0
}

func (o oldest) Len() int           { return len(o) }
func (o oldest) Less(i, j int) bool { return older(o[j], o[i]) }
func (o oldest) Swap(i, j int)      { o[i], o[j] = o[j], o[i] }
func (o *oldest) Push(g any)        { *o = append(*o, g.(sighting)) }
func (o *oldest) Pop() any          { g := (*o)[len(*o)-1]; *o = (*o)[:len(*o)-1]; return g }
