package control

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func here(context.Context) error { return nil }

// callers call as often as a pacer lets them, until the bubble's test ends.
func callers(t *testing.T, p *Pacer, n int, calls *atomic.Int64) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for range n {
		go func() {
			for p.Wait(ctx) == nil {
				calls.Add(1)
			}
		}()
	}
}

func TestTheSharesOfAllProcessesAddUpToTheRate(t *testing.T) {
	t.Parallel()
	for _, total := range []float64{0.5, 5, 100} {
		for _, n := range []int{1, 2, 3, 7} {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				for range n {
					p := newPacer(total, here)
					p.share(n)
					callers(t, p, 10, &calls)
				}
				elapse(time.Minute) // what may come at once has come
				before := calls.Load()
				elapse(10 * time.Minute)
				got := float64(calls.Load()-before) / 600
				if got > total*1.01 || got < total*0.97 {
					t.Errorf("%d processes at %g/s make %.2f calls a second", n, total, got)
				}
			})
		}
	}
}

func TestANewShareHoldsFromTheNextCallOnWhoeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		p := newPacer(10, here)
		callers(t, p, 100, &calls) // a hundred wait, ten seconds' worth
		elapse(10 * time.Second)
		p.share(10)
		before := calls.Load()
		elapse(10 * time.Second)
		if got := calls.Load() - before; got < 9 || got > 12 {
			t.Errorf("%d calls in ten seconds at 1/s", got)
		}
		p.share(1)
		before = calls.Load()
		elapse(10 * time.Second)
		if got := calls.Load() - before; got < 88 || got > 103 { // whoever has the turn waits out a second at the old rate
			t.Errorf("%d calls in ten seconds at 10/s", got)
		}
	})
}

func TestAProcessThatTheClusterDoesNotKnowOfMakesNoCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		known := make(chan struct{})
		p := newPacer(10, func(ctx context.Context) error {
			select {
			case <-known:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		var calls atomic.Int64
		callers(t, p, 3, &calls)
		elapse(time.Hour)
		if n := calls.Load(); n != 0 {
			t.Errorf("%d calls", n)
		}
		close(known)
		elapse(time.Second)
		if calls.Load() == 0 {
			t.Error("no call")
		}
	})
}
