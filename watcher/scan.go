package watcher

import (
	"cmp"
	"container/heap"
	"context"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/after"
)

const (
	// batch is how many names are read of a folder at a time, so that one of a million files takes no more memory.
	batch = 1024
	// window is how many new files a scan puts in order at a time: some 30 MB of names, and a second look at all folders for
	// each that are more.
	window = 1 << 17
	// flushEvery is how long what was found waits for what may be older, in folders that take long to read.
	flushEvery = time.Second
	// arrived is how old a change must be for its event to have been heard of, if there was one.
	arrived = 10 * time.Second
)

// A scan looks at folders, and hands new files to the loop, oldest change first.
type scan struct {
	root    *root
	number  uint32
	safety  bool     // it makes sure that events tell everything
	shallow bool     // folders that are known already are left alone
	from    sighting // files that are no younger were handed over by the scan before; the zero value is older than all

	found   oldest    // new files
	dropped bool      // for want of room, younger ones than those
	left    *sighting // files that are younger may have been dropped; nil: none was
	flushed time.Time // when found was handed over last
	back    []string  // files that had vanished

	silent  map[string]struct{} // folders that send no events
	trouble map[string]error
	links   map[string]struct{} // to folders
	remote  map[uint64]bool     // by device
	entered map[dirID]struct{}  // the folders it was in; kept only to follow links
}

func (r *root) newScan() *scan {
	return &scan{
		root: r, number: r.scans, flushed: time.Now(), silent: map[string]struct{}{}, trouble: map[string]error{},
		links: map[string]struct{}{}, remote: map[uint64]bool{}, entered: map[dirID]struct{}{},
	}
}

// scanWhole looks at everything. What is new is handed over oldest first, in as many goes as it takes.
func (r *root) scanWhole(ctx context.Context, safety bool) {
	safety = safety && !r.lost.Swap(false)
	for s := r.newScan(); r.arrive(ctx); {
		r.scans++
		s.number, s.safety = r.scans, safety
		s.folder(ctx, r.path, false)
		s.followLinks(ctx)
		s.flush(ctx)
		if ctx.Err() != nil {
			return
		}
		for path := range r.polled {
			if _, still := s.silent[path]; !still {
				r.events.release(path)
			}
		}
		r.polled, r.links = s.silent, s.links
		r.settleTrouble(s.trouble)
		r.events.forgetMoved(r.path)
		if s.left == nil {
			s.forgetVanished(ctx)
			return
		}
		next := r.newScan()
		next.from = *s.left
		s = next
	}
}

// scanPart looks at one folder, which is new or was asked for, and at what is new below it.
func (r *root) scanPart(ctx context.Context, dir string) {
	if r.rootOf(dir) != r || dir != r.path && !r.entered(dir) {
		return
	}
	s := r.newScan()
	s.shallow = true
	s.folder(ctx, dir, false)
	s.finish(ctx)
}

// poll looks at the folders that send no events.
func (r *root) poll(ctx context.Context) {
	switch {
	case r.Poll == PollNever || len(r.polled) == 0:
		return
	case r.moved():
		r.scanWhole(ctx, false)
		return
	case !r.arrive(ctx):
		return
	}
	s := r.newScan()
	s.shallow = true
	for dir := range r.polled {
		if ctx.Err() != nil {
			return
		}
		_, linked := r.links[dir]
		if _, err := lstat(dir); isGone(err) {
			delete(r.polled, dir)
			r.events.release(dir)
			continue
		}
		s.folder(ctx, dir, linked)
	}
	s.finish(ctx)
}

// finish takes over what parts of the root were found to be.
func (s *scan) finish(ctx context.Context) {
	s.flush(ctx)
	r := s.root
	for path := range s.silent {
		r.polled[path] = struct{}{}
	}
	for path, err := range s.trouble {
		r.warn(path, err)
	}
	r.unread.Store(int64(len(r.trouble)))
	news := s.left != nil
	for path := range s.links {
		if _, known := r.links[path]; !known {
			news = true // only a whole scan knows whether it was in there already
		}
	}
	if news {
		r.toScan.addAll()
	}
}

// folder looks at a folder and all in it. The folder is watched before it is read, so that what is written meanwhile is
// seen by one or the other. A link to a folder is entered only on purpose.
func (s *scan) folder(ctx context.Context, path string, link bool) {
	look := lstat
	if link || path == s.root.path {
		look = stat
	}
	st, err := look(path)
	if err != nil || !isFolder(&st) {
		s.cannotRead(path, err)
		return
	}
	if s.root.FollowSymlinks {
		id := dirIDOf(&st)
		if _, was := s.entered[id]; was {
			return
		}
		s.entered[id] = struct{}{}
	}
	remote := s.isRemote(path, uint64(st.Dev))
	heard := s.listen(path, dirIDOf(&st), remote)
	for _, name := range s.read(ctx, path, remote, heard) {
		if s.wanted(name) {
			s.folder(ctx, name, false)
		}
	}
}

// listen has a folder's events heard of, or the folder polled.
func (s *scan) listen(path string, id dirID, remote bool) hearing {
	r := s.root
	heard := deaf
	if r.Poll == PollNever || !r.Poll.always() && !remote && !r.silent.Load() {
		heard = r.events.watch(path, id)
	}
	if heard == deaf {
		s.silent[path] = struct{}{}
	} else {
		delete(r.polled, path)
	}
	return heard
}

// wanted reports whether a folder in a folder is to be looked at by this scan.
func (s *scan) wanted(path string) bool {
	if !s.shallow {
		return true
	}
	_, polled := s.root.polled[path]
	return !polled && !s.root.events.watches(path)
}

// isRemote reports whether a folder is on a file system that others write to.
func (s *scan) isRemote(path string, dev uint64) bool {
	remote, ok := s.remote[dev]
	if !ok {
		remote = isRemote(path)
		s.remote[dev] = remote
	}
	return remote
}

// read looks at the files in a folder, and returns the folders in it.
func (s *scan) read(ctx context.Context, path string, remote bool, heard hearing) (folders []string) {
	dir, err := os.Open(path)
	if err != nil {
		s.cannotRead(path, err)
		return nil
	}
	defer dir.Close()
	for ctx.Err() == nil {
		entries, err := dir.ReadDir(batch)
		for _, e := range entries {
			g := sighting{path: filepath.Join(path, e.Name()), remote: remote}
			if folder := s.entry(dir, e, g, heard); folder {
				folders = append(folders, g.path)
			}
		}
		if time.Since(s.flushed) > flushEvery {
			s.flush(ctx)
		}
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
func (s *scan) entry(dir *os.File, e fs.DirEntry, g sighting, heard hearing) (folder bool) {
	kind := e.Type()
	switch {
	case kind.IsDir():
		return s.root.entered(g.path)
	case kind&fs.ModeSymlink != 0:
		s.link(g)
	case !kind.IsRegular():
	case s.root.counts(g.path):
		st, err := statIn(dir, e.Name())
		switch {
		case err != nil:
			s.cannotRead(g.path, err)
		case isRegular(&st):
			g.version = queue.FileIDOf(&st)
			s.file(g, heard)
		}
	default:
		if drop, ok := after.Hidden(e.Name()); ok {
			s.setAside(g, drop)
		}
	}
	return false
}

// setAside looks at a file that somebody was about to move or delete.
func (s *scan) setAside(g sighting, drop queue.DropID) {
	st, err := lstat(g.path)
	if err == nil {
		g.version = queue.FileIDOf(&st)
		err = s.root.debts.putBack(g, drop)
	}
	if err != nil {
		s.cannotRead(g.path, err)
	}
}

// file takes note of a file, unless it was dealt with.
func (s *scan) file(g sighting, heard hearing) {
	r := s.root
	was := r.files.see(queue.FileKeyOf(g.path), g.version, r.index, s.number)
	if was.done {
		if was.expiring {
			s.back = append(s.back, g.path)
		}
		return
	}
	if s.from.path != "" && !older(s.from, g) || !r.admits(g) {
		return
	}
	g.missed = s.safety && heard == listened && !was.ever && time.Since(g.version.ChangeTime) > arrived
	s.dropped = s.found.keep(g, r.window) || s.dropped
}

// link takes note of a link, which counts if it stays inside the root.
func (s *scan) link(g sighting) {
	to, ok := s.root.target(g.path)
	if !ok {
		return
	}
	st, err := stat(to)
	switch {
	case err != nil:
	case isFolder(&st) && s.root.entered(g.path):
		s.links[g.path] = struct{}{}
	case isRegular(&st) && s.root.counts(g.path):
		g.version, g.remote = queue.FileIDOf(&st), s.isRemote(to, uint64(st.Dev))
		s.file(g, deaf)
	}
}

// followLinks enters the linked folders that the scan was not in by their own paths; of several that lead to one, always the
// same. A loop ends where it began.
func (s *scan) followLinks(ctx context.Context) {
	for followed := map[string]struct{}{}; len(followed) < len(s.links) && ctx.Err() == nil; {
		for _, path := range slices.Sorted(maps.Keys(s.links)) {
			if _, was := followed[path]; !was {
				followed[path] = struct{}{}
				s.folder(ctx, path, true)
			}
		}
	}
}

// flush hands over the files that were found, which may have to wait for the intake.
func (s *scan) flush(ctx context.Context) {
	files := s.found.take()
	for _, g := range files {
		select {
		case s.root.found <- g:
		case <-ctx.Done():
			return
		}
	}
	if s.dropped {
		youngest := files[len(files)-1]
		if s.left == nil || older(youngest, *s.left) {
			s.left = &youngest
		}
	}
	s.root.keep(ctx, s.back)
	s.back, s.dropped, s.flushed = s.back[:0], false, time.Now()
}

// cannotRead notes what could not be looked at. What is gone again is no news.
func (s *scan) cannotRead(path string, err error) {
	if err != nil && !isGone(err) {
		s.trouble[path] = err
	}
}

// settleTrouble takes over what could not be read by a whole scan, and tells what can again.
func (r *root) settleTrouble(now map[string]error) {
	for path, err := range now {
		r.warn(path, err)
	}
	for path := range r.trouble {
		if now[path] == nil {
			delete(r.trouble, path)
			if _, err := lstat(path); err == nil {
				r.Log.Info("can be read again", "path", path)
			}
		}
	}
	r.unread.Store(int64(len(r.trouble)))
}

// warn tells, once, of what cannot be read.
func (r *root) warn(path string, err error) {
	if r.trouble[path] == nil {
		r.Log.Warn("cannot be read, and is left out until it can", "path", path, "error", err)
	}
	r.trouble[path] = err
}

// oldest are the oldest of some sightings, at most so many. When there are more, it is a heap with the youngest on top, which
// is dropped for older ones.
type oldest struct {
	files []sighting
	full  bool
}

// keep adds a sighting, and reports whether one had to be dropped to keep to the limit.
func (o *oldest) keep(g sighting, limit int) (dropped bool) {
	if len(o.files) < limit {
		o.files = append(o.files, g)
		return false
	}
	if !o.full {
		heap.Init(o)
		o.full = true
	}
	if older(g, o.files[0]) {
		o.files[0] = g
		heap.Fix(o, 0)
	}
	return true
}

// take empties it, and returns what it had, oldest first.
func (o *oldest) take() []sighting {
	files := o.files
	*o = oldest{}
	slices.SortFunc(files, compareAge)
	return files
}

func compareAge(a, b sighting) int {
	return cmp.Or(a.version.ChangeTime.Compare(b.version.ChangeTime), cmp.Compare(a.path, b.path))
}

func older(a, b sighting) bool { return compareAge(a, b) < 0 }

func (o *oldest) Len() int           { return len(o.files) }
func (o *oldest) Less(i, j int) bool { return older(o.files[j], o.files[i]) }
func (o *oldest) Swap(i, j int)      { o.files[i], o.files[j] = o.files[j], o.files[i] }
func (o *oldest) Push(any)           { panic("its length does not change") }
func (o *oldest) Pop() any           { panic("its length does not change") }
