package watcher

import (
	"slices"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// zero is the beginning of the made-up times.
var zero = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }

// sightingOf makes up a sighting of a file of a size, last touched at a time.
func sightingOf(path string, size int64, changed float64) sighting {
	return sighting{path: path, version: queue.FileID{
		Device: 1, Inode: 2, Size: size, ModTime: zero, ChangeTime: at(changed),
	}}
}

func popAll(s *settling, now time.Time) []sighting {
	var all []sighting
	for g, ok := pop(s, now); ok; g, ok = pop(s, now) {
		all = append(all, g)
	}
	return all
}

// pop takes a file that has settled, as it was last seen.
func pop(s *settling, now time.Time) (sighting, bool) {
	g, ok := s.due(now)
	if ok {
		s.forget(g.path)
	}
	return g, ok
}

func TestAFileIsCompleteOnceNothingChangedForTheSettleTime(t *testing.T) {
	t.Parallel()
	type look struct {
		at, changed float64
		size        int64
	}
	for name, c := range map[string]struct {
		looks      []look
		now        float64 // when it is asked for
		atOnce     bool    // the last look needs no waiting
		wantPopped bool
	}{
		"just written":                           {[]look{{0, 0, 1}}, 4.999, false, false},
		"settled to the moment":                  {[]look{{0, 0, 1}}, 5, false, true},
		"long ago":                               {[]look{{0, -5.1, 1}}, 100, true, false},
		"not quite long ago":                     {[]look{{0, -5.099, 1}}, 4.999, false, false},
		"not quite long ago, waited for":         {[]look{{0, -5.099, 1}}, 5, false, true},
		"grown":                                  {[]look{{0, 0, 1}, {3, 3, 2}}, 7.999, false, false},
		"grown, settled":                         {[]look{{0, 0, 1}, {3, 3, 2}}, 8, false, true},
		"grown again and again":                  {[]look{{0, 0, 1}, {4, 4, 2}, {8, 8, 3}, {12, 12, 4}}, 16, false, false},
		"shrunk":                                 {[]look{{0, 0, 9}, {3, 3, 2}}, 7, false, false},
		"same size, touched":                     {[]look{{0, 0, 1}, {3, 3, 1}}, 7, false, false},
		"seen twice, unchanged":                  {[]look{{0, 0, 1}, {4, 0, 1}}, 5, false, true},
		"changed, the event is late":             {[]look{{0, 0, 1}, {9, 2, 2}}, 13.999, false, false},
		"changed, the event is late, waited for": {[]look{{0, 0, 1}, {9, 2, 2}}, 14, false, true},
		"back to what it was":                    {[]look{{0, 0, 1}, {2, 2, 2}, {4, 0, 1}}, 8.999, false, false},
		"a clock ahead":                          {[]look{{0, 3600, 1}}, 5, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSettling(5 * time.Second)
			atOnce := false
			var last sighting
			for _, l := range c.looks {
				last = sightingOf("/a", l.size, l.changed)
				atOnce = s.see(last, at(l.at), true) == settled
			}
			if atOnce != c.atOnce {
				t.Errorf("needs no waiting: %v, want %v", atOnce, c.atOnce)
			}
			g, popped := pop(s, at(c.now))
			if popped != c.wantPopped {
				t.Fatalf("complete at %gs: %v, want %v", c.now, popped, c.wantPopped)
			}
			if popped && !g.version.Same(last.version) {
				t.Errorf("version %+v, want the last that was seen: %+v", g.version, last.version)
			}
			if again := popAll(s, at(1000)); popped && len(again) > 0 {
				t.Errorf("complete again without having been seen: %v", again)
			}
		})
	}
}

func TestAChangeTimeThatCannotBeTrustedSparesNoWaiting(t *testing.T) {
	t.Parallel()
	s := newSettling(5 * time.Second)
	if got := s.see(sightingOf("/a", 1, -1000), at(0), false); got != awaited {
		t.Errorf("phase %d, want it to be awaited", got)
	}
	if _, ok := pop(s, at(5)); !ok {
		t.Error("it has not settled")
	}
}

func TestAnEventHasAFileWaitThoughNothingIsSeenOfIt(t *testing.T) {
	t.Parallel()
	s := newSettling(5 * time.Second)
	s.see(sightingOf("/a", 1, 0), at(0), true)
	s.touch("/a", at(3))
	s.touch("/b", at(3))
	if got := popAll(s, at(7.999)); len(got) != 0 {
		t.Errorf("complete: %v, want none yet", got)
	}
	if got := popAll(s, at(8)); len(got) != 1 || got[0].path != "/a" {
		t.Errorf("complete: %v, want a", got)
	}
}

func TestOfAFileThatKeepsChangingIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newSettling(5 * time.Second)
	told := 0
	for i := range 1000 {
		s.see(sightingOf("/a", int64(i), float64(i)), at(float64(i)), true)
		since, slow := s.slow("/a", at(float64(i)), 600*time.Second)
		if slow {
			told++
		}
		if slow != (i == 600) || slow && !since.Equal(at(0)) {
			t.Errorf("after %d s: slow %v, since %v", i, slow, since)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

func TestChangeTimesAreNotTrustedWhileTheClockHasJustBeenSet(t *testing.T) {
	t.Parallel()
	c := clock{settle: 5 * time.Second}
	for i, r := range []struct {
		wall, ran float64 // seconds
		want      bool
	}{
		{0, 0, true}, {3600, 3600, true},
		{3601.04, 3601, true},                                             // drifts
		{7203, 3603, false}, {7204, 3604, false}, {7207.9, 3607.9, false}, // was set ahead by an hour
		{7208.1, 3608.1, true},
		{3610, 3610, true}, // was set back: files seem younger than they are
		{3611, 3611, true},
	} {
		if got := c.trusted(at(r.wall), time.Duration(r.ran*float64(time.Second))); got != r.want {
			t.Errorf("reading %d: trusted %v, want %v", i, got, r.want)
		}
	}
}

func TestNextIsWhenTheFirstFileSettles(t *testing.T) {
	t.Parallel()
	s := newSettling(5 * time.Second)
	want := func(seconds float64) {
		t.Helper()
		if got, ok := s.next(); !ok || !got.Equal(at(seconds)) {
			t.Errorf("next at %v, %v, want %v", got, ok, at(seconds))
		}
	}
	if _, ok := s.next(); ok || !(s.len() == 0) {
		t.Error("one settles, where none was seen")
	}
	s.see(sightingOf("/a", 1, 0), at(0), true)
	want(5)
	s.see(sightingOf("/b", 1, 1), at(1), true)
	want(5)
	s.see(sightingOf("/a", 2, 2), at(2), true) // stands behind b now
	want(6)
	if got := popAll(s, at(6)); len(got) != 1 || got[0].path != "/b" {
		t.Errorf("complete: %v, want b", got)
	}
	want(7)
	if got := popAll(s, at(7)); len(got) != 1 || got[0].path != "/a" {
		t.Errorf("complete: %v, want a", got)
	}
	if _, ok := s.next(); ok || !(s.len() == 0) {
		t.Error("one settles, where all have")
	}
}

func TestWaitBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newSettling(5 * time.Second)
	g := sightingOf("/a", 1, -100) // long ago
	s.wait(g, at(0))
	s.wait(g, at(3))
	if s.see(g, at(4), true) == settled {
		t.Error("a file that has to wait needs no waiting")
	}
	if got := popAll(s, at(7.999)); len(got) != 0 {
		t.Errorf("complete: %v, want none yet", got)
	}
	if got := popAll(s, at(8)); len(got) != 1 || !(s.len() == 0) {
		t.Errorf("complete: %v, want a", got)
	}
}

func TestFilesSettleInTheOrderInWhichTheyWereSeen(t *testing.T) {
	t.Parallel()
	s := newSettling(5 * time.Second)
	for _, p := range []string{"/c", "/a", "/b"} {
		s.see(sightingOf(p, 1, 0), at(0), true)
	}
	var got []string
	for _, g := range popAll(s, at(5)) {
		got = append(got, g.path)
	}
	if !slices.Equal(got, []string{"/c", "/a", "/b"}) {
		t.Errorf("complete: %v", got)
	}
}
