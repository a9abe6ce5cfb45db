package watcher

import (
	"cmp"
	"container/heap"
	"time"
)

// settling knows the files that may still be being written. It is a calculation on the times it is given, and not
// safe for concurrent use.
type settling struct {
	settle time.Duration
	files  map[string]*candidate
	queue  queueOfCandidates
	turns  uint64
}

// A candidate is a file that is waited for.
type candidate struct {
	sighting
	first  time.Time // when it was first waited for
	due    time.Time // when it has settled, if nothing happens
	warned bool
	place  int    // in the queue
	turn   uint64 // among those that are due at the same time
}

func newSettling(settle time.Duration) *settling {
	return &settling{settle: settle, files: map[string]*candidate{}}
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
	case trusted && g.version.Size > 0 && now.Sub(g.version.ChangeTime) >= s.settle+slack:
		return settled // while a file is truncated, it is empty for a moment, and its times are still the old ones
	}
	s.wait(g, now)
	return awaited
}

// wait has a file wait for a whole settle time from now; after failed tries, for longer.
func (s *settling) wait(g sighting, now time.Time) {
	c, known := s.files[g.path]
	if !known {
		c = &candidate{first: now}
		s.files[g.path] = c
	}
	s.turns++
	c.sighting, c.due, c.turn = g, now.Add(s.settle), s.turns
	if g.tries > 0 {
		c.due = now.Add(max(s.settle, min(s.settle<<min(g.tries, 10), maxPutOff)))
	}
	if known {
		heap.Fix(&s.queue, c.place)
	} else {
		heap.Push(&s.queue, c)
	}
}

// maxPutOff is how long a file that could not be dealt with waits at most for the next try: about as long as a scan would
// take to find it.
const maxPutOff = 5 * time.Minute

// touch has a file that is waited for wait for a whole settle time from now.
func (s *settling) touch(path string, now time.Time) {
	if c, ok := s.files[path]; ok {
		c.due = now.Add(s.settle)
		heap.Fix(&s.queue, c.place)
	}
}

// slow returns since when a file that is waited for has been changing, once, when that is longer than limit.
func (s *settling) slow(path string, now time.Time, limit time.Duration) (since time.Time, ok bool) {
	c, ok := s.files[path]
	if !ok || c.warned || now.Sub(c.first) < limit {
		return time.Time{}, false
	}
	c.warned = true
	return c.first, true
}

// next returns when the next file may have settled; false: none is waited for.
func (s *settling) next() (time.Time, bool) {
	if len(s.queue) == 0 {
		return time.Time{}, false
	}
	return s.queue[0].due, true
}

// due returns a file for which nothing was seen for the settle time. It has to be looked at whether it still is that version,
// and then be forgotten, or wait again.
func (s *settling) due(now time.Time) (sighting, bool) {
	at, ok := s.next()
	if !ok || at.After(now) {
		return sighting{}, false
	}
	g := s.queue[0].sighting
	g.since = s.queue[0].first
	return g, true
}

// forget waits for a file no more, and returns since when it did.
func (s *settling) forget(path string) (first time.Time) {
	c, ok := s.files[path]
	if !ok {
		return time.Time{}
	}
	heap.Remove(&s.queue, c.place)
	delete(s.files, path)
	return c.first
}

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

// A queueOfCandidates is a heap, the next due on top.
type queueOfCandidates []*candidate

func (q queueOfCandidates) Len() int { return len(q) }

func (q queueOfCandidates) Less(i, j int) bool {
	return cmp.Or(q[i].due.Compare(q[j].due), cmp.Compare(q[i].turn, q[j].turn)) < 0
}

func (q queueOfCandidates) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queueOfCandidates) Push(c any) {
	c.(*candidate).place = len(*q)
	*q = append(*q, c.(*candidate))
}

func (q *queueOfCandidates) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return c
}
