package watcher

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// Any sequence of sightings, told against a model that is too slow to be wrong: for each file that is waited for, which
// version, and since when.
func TestSettlingNeverTakesWhatWasSeenToChange(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	for round := range uint64(2000) {
		if err := settleAtRandom(rand.New(rand.NewPCG(seed, round))); err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
	}
}

type waiting struct {
	version queue.FileID
	since   time.Time
}

func settleAtRandom(r *rand.Rand) error {
	const settle = 10 * time.Second
	var (
		s     = newSettling(settle)
		model = map[string]waiting{}
		now   = zero
	)
	take := func() error {
		for g, ok := pop(s, now); ok; g, ok = pop(s, now) {
			w, known := model[g.path]
			switch {
			case !known:
				return fmt.Errorf("%s is complete at %v without having been seen since it was", g.path, now.Sub(zero))
			case !g.version.Same(w.version):
				return fmt.Errorf("%s is complete as %+v, and was last seen as %+v", g.path, g.version, w.version)
			case now.Sub(w.since) < settle:
				return fmt.Errorf("%s is complete at %v, and was seen to change at %v", g.path, now.Sub(zero), w.since.Sub(zero))
			}
			delete(model, g.path)
		}
		var first time.Time
		for path, w := range model {
			due := w.since.Add(settle)
			if !due.After(now) {
				return fmt.Errorf("%s is not complete at %v, and was last seen to change at %v", path, now.Sub(zero), w.since.Sub(zero))
			}
			if first.IsZero() || due.Before(first) {
				first = due
			}
		}
		if next, ok := s.next(); ok != (len(model) > 0) || !next.Equal(first) {
			return fmt.Errorf("next at %v (%v), want %v (%v)", next, ok, first, len(model) > 0)
		}
		if s.len() != len(model) {
			return fmt.Errorf("%d are waited for, want %d", s.len(), len(model))
		}
		return nil
	}
	for range 1 + r.IntN(60) {
		switch r.IntN(4) {
		case 0:
			now = now.Add(time.Duration(r.Int64N(int64(settle) / 2)))
		case 1:
			now = now.Add(time.Duration(r.IntN(3)) * settle / 2) // on the spot, too
		}
		g := sightingOf(fmt.Sprintf("/%d", r.IntN(4)), r.Int64N(2), now.Sub(zero).Seconds()-float64(r.IntN(15)))
		w, known := model[g.path]
		if r.IntN(5) == 0 {
			s.wait(g, now)
			model[g.path] = waiting{g.version, now}
		} else if s.see(g, now, true) == settled {
			if known || now.Sub(g.version.ChangeTime) < settle {
				return fmt.Errorf("%s needs no waiting at %v: known %v, changed at %v", g.path, now.Sub(zero), known, g.version.ChangeTime.Sub(zero))
			}
		} else if !known || !w.version.Same(g.version) {
			model[g.path] = waiting{g.version, now}
		}
		if r.IntN(3) == 0 {
			if err := take(); err != nil {
				return err
			}
		}
	}
	now = now.Add(settle)
	if err := take(); err != nil {
		return err
	}
	if len(model) > 0 || len(s.files) > 0 || len(s.queue) > 0 {
		return fmt.Errorf("left behind: %v, %v, %v", model, s.files, s.queue)
	}
	return nil
}
