package watcher

import (
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// settling knows the files that may still be being written. It is a calculation on the times it is given, and not
// safe for concurrent use.
type settling struct {
	settle time.Duration
	files  map[string]candidate
	queue  []due // in the order of their times, because the settle time is one for all
}

type candidate struct {
	version queue.FileID
	since   time.Time // when this version was first seen, or an event last told of it
	first   time.Time // when any version was
	remote  bool
	warned  bool
}

type due struct {
	path string
	at   time.Time
}

func newSettling(settle time.Duration) *settling {
	return &settling{settle: settle, files: map[string]candidate{}}
}

// A phase is what a sighting says of a file.
type phase int

const (
	settled   phase = iota // it needs no waiting: it is new here, and was last touched longer ago than the settle time
	awaited                // it is waited for from now on
	changing               // it was waited for, and has changed
	unchanged              // it is waited for, and has not changed
)

// slack is how much later than it should be a change may be dated: clocks are set, and file systems count in ticks.
const slack = 100 * time.Millisecond

// see takes note of a sighting. Unless the file's change time can be trusted, it has to be waited for.
func (s *settling) see(g sighting, now time.Time, trusted bool) phase {
	c, known := s.files[g.path]
	switch {
	case known && c.version.Same(g.version):
		return unchanged
	case known:
		s.wait(g, now)
		return changing
	case trusted && now.Sub(g.version.ChangeTime) >= s.settle+slack:
		return settled
	}
	s.wait(g, now)
	return awaited
}

// wait has a file wait for a whole settle time from now.
func (s *settling) wait(g sighting, now time.Time) {
	c := s.files[g.path]
	if c.first.IsZero() {
		c.first = now
	}
	c.version, c.since, c.remote = g.version, now, g.remote
	s.files[g.path] = c
	s.queue = append(s.queue, due{g.path, now.Add(s.settle)})
}

// touch has a file that is waited for wait for a whole settle time from now.
func (s *settling) touch(path string, now time.Time) {
	if c, ok := s.files[path]; ok && c.since.Before(now) {
		c.since = now
		s.files[path] = c
		s.queue = append(s.queue, due{path, now.Add(s.settle)})
	}
}

// slow returns since when a file that is waited for has been changing, once, when that is longer than limit.
func (s *settling) slow(path string, now time.Time, limit time.Duration) (since time.Time, ok bool) {
	c := s.files[path]
	if c.warned || now.Sub(c.first) < limit {
		return time.Time{}, false
	}
	c.warned = true
	s.files[path] = c
	return c.first, true
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

// due returns a file for which nothing was seen for the settle time. It has to be looked at whether it still is that version,
// and then be forgotten, or wait again.
func (s *settling) due(now time.Time) (sighting, bool) {
	at, ok := s.next()
	if !ok || at.After(now) {
		return sighting{}, false
	}
	path := s.queue[0].path
	c := s.files[path]
	return sighting{path: path, version: c.version, remote: c.remote}, true
}

func (s *settling) forget(path string) { delete(s.files, path) }

func (s *settling) len() int { return len(s.files) }

// A clock notices when the wall clock is set, after which the age of a file is not what it seems, for as long as one may
// seem to have settled that has not.
type clock struct {
	settle time.Duration
	wall   time.Time     // when it was last read
	ran    time.Duration // how long the process had run by then, which no setting changes
	until  time.Duration // when change times can be trusted again
}

// trusted reports whether a file that by the wall clock has changed a settle time ago has.
func (c *clock) trusted(wall time.Time, ran time.Duration) bool {
	if jump := wall.Sub(c.wall) - (ran - c.ran); !c.wall.IsZero() && jump > slack/2 {
		c.until = ran + c.settle
	}
	c.wall, c.ran = wall, ran
	return ran >= c.until
}
