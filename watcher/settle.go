package watcher

import (
	"io/fs"
	"syscall"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// A version is everything that shows, without reading, that a file was touched.
type version struct {
	queue.FileID
	changed time.Time // the inode's change time, which no program can set back
}

func (v version) same(u version) bool { return v.FileID.Same(u.FileID) && v.changed.Equal(u.changed) }

func versionOf(info fs.FileInfo) version {
	v := version{FileID: queue.FileID{Size: info.Size(), ModTime: info.ModTime().UTC()}}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.Device, v.Inode = uint64(st.Dev), st.Ino
		v.changed = changeTime(st)
	}
	return v
}

// A sighting is what a path was when somebody looked.
type sighting struct {
	path    string
	version version
}

// settling knows the files that may still be being written. It is a calculation on the times it is given, and not
// safe for concurrent use.
type settling struct {
	settle time.Duration
	files  map[string]candidate
	queue  []due // in the order of their times, because the settle time is one for all
}

type candidate struct {
	version version
	since   time.Time // when this version was first seen
}

type due struct {
	path string
	at   time.Time
}

func newSettling(settle time.Duration) *settling {
	return &settling{settle: settle, files: map[string]candidate{}}
}

// see takes note of a sighting. It returns true if the file needs no waiting: it is new here, and was last touched
// longer ago than the settle time.
func (s *settling) see(g sighting, now time.Time) bool {
	c, known := s.files[g.path]
	if known && c.version.same(g.version) {
		return false
	}
	if age := now.Sub(g.version.changed); !known && age >= s.settle {
		return true
	}
	s.wait(g, now)
	return false
}

// wait has a file wait for a whole settle time from now.
func (s *settling) wait(g sighting, now time.Time) {
	s.files[g.path] = candidate{version: g.version, since: now}
	s.queue = append(s.queue, due{g.path, now.Add(s.settle)})
}

// next returns when the next file may have settled; false: none is waited for.
func (s *settling) next() (time.Time, bool) {
	for len(s.queue) > 0 {
		head := s.queue[0]
		if c, ok := s.files[head.path]; ok && !c.since.Add(s.settle).After(head.at) {
			return head.at, true
		}
		s.queue = s.queue[1:] // the file is gone, or has changed and stands further back
	}
	return time.Time{}, false
}

// pop returns a file for which nothing was seen for the settle time, and forgets it. Whoever takes it has to look
// whether it still is that version.
func (s *settling) pop(now time.Time) (sighting, bool) {
	at, ok := s.next()
	if !ok || at.After(now) {
		return sighting{}, false
	}
	path := s.queue[0].path
	s.queue = s.queue[1:]
	c := s.files[path]
	delete(s.files, path)
	return sighting{path: path, version: c.version}, true
}

// empty reports whether no file is waited for.
func (s *settling) empty() bool { return len(s.files) == 0 }
