package control

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

var quiet = slog.New(slog.DiscardHandler)

// A shared record is what the bucket is to the gates of several processes, in one process and in fake time.
type shared struct {
	mu       sync.Mutex
	data     []byte
	revision uint64
	gates    []*Gate
	away     bool // nothing can be written or read
	writes   int
}

var errAway = errors.New("the broker is away")

func (r *shared) get(context.Context) ([]byte, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, 0, errAway
	}
	return r.data, r.revision, nil
}

func (r *shared) put(_ context.Context, data []byte, over uint64) (uint64, error) {
	r.mu.Lock()
	if r.away {
		r.mu.Unlock()
		return 0, errAway
	}
	if over != r.revision {
		r.mu.Unlock()
		return 0, queue.ErrConflict
	}
	r.data, r.revision = data, r.revision+1
	r.writes++
	revision, gates := r.revision, r.gates
	r.mu.Unlock()
	for _, g := range gates { // those who follow hear of it a little later
		time.AfterFunc(time.Millisecond, func() { g.mirror(decode(data), revision, true) })
	}
	return revision, nil
}

// gates are those of n processes on one record.
func gates(n int) (*shared, []*Gate) {
	r := &shared{}
	for i := range n {
		r.gates = append(r.gates, newGate("calls", string(rune('a'+i)), r, func(_, _ State) {}, quiet))
	}
	return r, r.gates
}

func bubble(t *testing.T, test func(t *testing.T, g *Gate)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, g := gates(1)
		test(t, g[0])
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// elapse lets the bubble's time pass.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// admit waits until a call is let through.
func admit(t *testing.T, g *Gate, c Call) Ticket {
	t.Helper()
	must(t, g.Wait(t.Context()))
	ticket, ok := g.Enter(t.Context(), c)
	if !ok {
		t.Fatal("waited, and was not let through")
	}
	return ticket
}

// refuse closes an open gate, or reports the probe.
func refuse(t *testing.T, g *Gate, ticket Ticket, c Call, why Why) {
	g.Refused(t.Context(), ticket, Refusal{Call: c, Why: why, Message: "no"})
	synctest.Wait()
}

func wantClosed(t *testing.T, g *Gate, why Why, least time.Duration) {
	t.Helper()
	g.mu.Lock()
	s, left := g.state, time.Until(g.due)
	g.mu.Unlock()
	if s.Why != why || left < least || left > least+least/10+time.Second {
		t.Errorf("closed for %q for %s, want %s for %s and a tenth at most", s.Why, left, why, least)
	}
}

func wantOpen(t *testing.T, g *Gate) {
	t.Helper()
	if s := g.State(); s.Paused() {
		t.Errorf("closed for %q: %s", s.Why, s.Message)
	}
}

// A crowd is a number of callers that each wait to be let through once.
type crowd struct{ admitted atomic.Int32 }

// ask lets n callers ask. They end with the bubble's test.
func (c *crowd) ask(t *testing.T, g *Gate, n int) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for range n {
		go func() {
			for g.Wait(ctx) == nil {
				if _, ok := g.Enter(ctx, Create); ok {
					c.admitted.Add(1)
					return
				}
			}
		}()
	}
}

func (c *crowd) want(t *testing.T, when string, n int32) {
	t.Helper()
	synctest.Wait()
	if got := c.admitted.Load(); got != n {
		t.Errorf("%s: %d let through, want %d", when, got, n)
	}
}

func TestAnOpenGateLetsAllThroughAndWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, g := gates(1)
		var c crowd
		c.ask(t, g[0], 10)
		c.want(t, "at once", 10)
		ticket := admit(t, g[0], Create)
		g[0].Succeeded(t.Context(), ticket, Create)
		if r.writes != 0 {
			t.Errorf("%d writes", r.writes)
		}
	})
}

func TestAGateClosesForAllProcessesAndLetsOneProbeOfThemThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, g := gates(3)
		ticket := admit(t, g[0], Create)
		refuse(t, g[0], ticket, Create, Quota)
		elapse(time.Millisecond)
		var c crowd
		for i := range g {
			wantClosed(t, g[i], Quota, time.Minute-10*time.Millisecond)
			c.ask(t, g[i], 5)
		}
		elapse(time.Minute - 10*time.Millisecond)
		c.want(t, "just before the deadline", 0)
		elapse(7 * time.Second) // jitter
		c.want(t, "after the deadline", 1)
		elapse(probeTime - 8*time.Second)
		c.want(t, "while the probe is out", 1)
		elapse(10 * time.Second)
		c.want(t, "when it is given up", 2)
	})
}

func TestTheProbesSuccessOpensTheGateForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, g := gates(2)
		refuse(t, g[0], admit(t, g[0], Create), Create, Credits)
		elapse(time.Second)
		probe := admit(t, g[1], Create)
		elapse(time.Second)
		var c crowd
		c.ask(t, g[0], 3)
		c.want(t, "while the other's probe is out", 0)
		g[1].Succeeded(t.Context(), probe, Create)
		elapse(time.Second)
		wantOpen(t, g[0])
		wantOpen(t, g[1])
		c.want(t, "in the end", 3)
	})
}

func TestAnAnswerToAnotherCallThanTheProbeChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		early := admit(t, g, Create)
		refuse(t, g, admit(t, g, Create), Create, Credits)
		probe := admit(t, g, Create)
		g.Succeeded(t.Context(), early, Create) // it was let through before the credits ran out
		refuse(t, g, early, Create, Quota)
		if s := g.State(); s.Why != Credits || s.Prober == "" {
			t.Errorf("%+v", s)
		}
		g.Succeeded(t.Context(), probe, Create)
		wantOpen(t, g)
		refuse(t, g, early, Create, Credits)
		wantOpen(t, g) // that was said before the credits came
	})
}

func TestAProbeOfAnotherKindPassesItsTurnOn(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		refuse(t, g, admit(t, g, Create), Create, Quota)
		g.Succeeded(t.Context(), admit(t, g, Put), Put)
		wantClosed(t, g, Quota, passTime)
		refuse(t, g, admit(t, g, Put), Put, Outage)
		wantClosed(t, g, Quota, failTime)
		g.Succeeded(t.Context(), admit(t, g, Create), Create)
		wantOpen(t, g)
	})
}

func TestAnOutageOfStorageEndsWithAPUTAndNotWithTheCreateBeforeIt(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for range breakAfter {
			refuse(t, g, admit(t, g, Put), Put, Outage)
		}
		wantClosed(t, g, Outage, 2*time.Second)
		probe := admit(t, g, Create)
		g.Succeeded(t.Context(), probe, Create)
		if s := g.State(); s.Why != Outage || s.Prober == "" {
			t.Errorf("%+v", s)
		}
		g.Succeeded(t.Context(), probe, Put)
		wantOpen(t, g)
	})
}

func TestAProbeThatIsWithdrawnIsReplacedSoon(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Withdrawn(t.Context(), admit(t, g, Create)) // of an open gate: nothing
		wantOpen(t, g)
		early := admit(t, g, Create)
		refuse(t, g, admit(t, g, Create), Create, Credits)
		g.Withdrawn(t.Context(), early)
		wantClosed(t, g, Credits, time.Minute)
		g.Withdrawn(t.Context(), admit(t, g, Create))
		wantClosed(t, g, Credits, passTime)
		refuse(t, g, admit(t, g, Create), Create, Credits)
		wantClosed(t, g, Credits, 2*time.Minute) // as if nothing had come between
	})
}

func TestAnOutageNeedsARunOfFailuresOfOneKind(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for range 3 {
			for range breakAfter - 1 {
				refuse(t, g, admit(t, g, Create), Create, Outage)
				g.Succeeded(t.Context(), admit(t, g, Put), Put)
			}
			wantOpen(t, g)
			g.Succeeded(t.Context(), admit(t, g, Create), Create)
		}
		for range breakAfter {
			wantOpen(t, g)
			refuse(t, g, admit(t, g, Create), Create, Outage)
		}
		wantClosed(t, g, Outage, 2*time.Second)
		refuse(t, g, admit(t, g, Create), Create, Outage)
		wantClosed(t, g, Outage, 4*time.Second) // a probe needs no run
	})
}

func TestAHoldByHandLetsNothingThroughAndThenWhatWasBefore(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		must(t, g.Pause(t.Context(), "maintenance", time.Hour))
		var c crowd
		c.ask(t, g, 4)
		elapse(time.Hour - time.Second)
		c.want(t, "before its end", 0)
		elapse(time.Second)
		c.want(t, "after it", 4)
		wantOpen(t, g)

		refuse(t, g, admit(t, g, Create), Create, Quota)
		must(t, g.Pause(t.Context(), "", 10*time.Second))
		c.ask(t, g, 4)
		elapse(50 * time.Second)
		c.want(t, "after a hold that was shorter than the closure", 4)
		elapse(20 * time.Second)
		c.want(t, "at the closure's deadline", 5)
	})
}

func TestAHoldWithoutEndIsEndedByResumeAlone(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		must(t, g.Pause(t.Context(), "", 0))
		var c crowd
		c.ask(t, g, 3)
		elapse(100 * 24 * time.Hour)
		c.want(t, "after a hundred days", 0)
		must(t, g.Resume(t.Context()))
		c.want(t, "after resume", 3)
	})
}

func TestResumeOpensWhateverTheReason(t *testing.T) {
	for _, why := range []Why{Quota, Credits, Unauthenticated, Forbidden, Throttled, Spent} {
		t.Run(string(why), func(t *testing.T) {
			bubble(t, func(t *testing.T, g *Gate) {
				refuse(t, g, admit(t, g, Create), Create, why)
				if !g.State().Closed() {
					t.Fatal("open")
				}
				must(t, g.Resume(t.Context()))
				wantOpen(t, g)
				admit(t, g, Create)
			})
		})
	}
}

func TestNewKeysAreTriedAtOnceAndOnce(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Keyed("old")
		ticket := admit(t, g, Create)
		g.Refused(t.Context(), ticket, Refusal{Call: Create, Why: Unauthenticated, Keys: "old"})
		var c crowd
		c.ask(t, g, 4)
		elapse(time.Second)
		c.want(t, "with the old keys", 0)
		g.Keyed("new")
		c.want(t, "with new ones", 1)
		elapse(50 * time.Second)
		c.want(t, "while that is out", 1)
	})
}

func TestAProcessWithRefusedKeysStaysShutWhileOthersWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, g := gates(2)
		g[0].Keyed("old")
		g[1].Keyed("old")
		g[0].Refused(t.Context(), admit(t, g[0], Create), Refusal{Call: Create, Why: Unauthenticated, Keys: "old"})
		elapse(time.Second)
		g[0].Keyed("new")
		g[0].Succeeded(t.Context(), admit(t, g[0], Create), Create)
		elapse(time.Second)
		wantOpen(t, g[0])
		if _, ok := g[1].Enter(t.Context(), Create); ok {
			t.Error("a process with refused keys was let through, and would close the gate for all")
		}
		g[1].Keyed("new")
		admit(t, g[1], Create)
	})
}

func TestAGateClosesForItsProcessWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, g := gates(2)
		ticket := admit(t, g[0], Create)
		r.away = true
		refuse(t, g[0], ticket, Create, Quota)
		wantClosed(t, g[0], Quota, time.Minute)
		elapse(2 * time.Minute)
		if _, ok := g[0].Enter(t.Context(), Create); ok {
			t.Error("a probe was sent that the cluster does not know of")
		}
		r.away = false
		probe := admit(t, g[0], Create)
		elapse(time.Second)
		if s := g[1].State(); s.Why != Quota || s.Prober != "a" {
			t.Errorf("the other process knows %+v", s)
		}
		g[0].Succeeded(t.Context(), probe, Create)
		elapse(time.Second)
		wantOpen(t, g[1])
	})
}

func TestARestartFindsTheGateAsItWasAndMakesNoCallBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, g := gates(1)
		refuse(t, g[0], admit(t, g[0], Create), Create, Quota)
		until := g[0].State().Until
		elapse(40 * time.Second)
		restarted := newGate("calls", "z", r, func(_, _ State) {}, quiet)
		restarted.mirror(decode(r.data), r.revision, false)
		asking := time.Now()
		must(t, restarted.Wait(t.Context()))
		if now := time.Now(); now.Before(until) || now.After(until.Add(time.Millisecond)) {
			t.Errorf("waited %s, until %s; the deadline was %s", now.Sub(asking), now, until)
		}
	})
}

func TestAnOlderRecordDoesNotUndoANewerOne(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.mirror(State{Why: Quota, Until: time.Now().Add(time.Hour), At: time.Now()}, 7, true)
		g.mirror(State{}, 6, true)
		if !g.State().Closed() {
			t.Error("opened by an older record")
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		refuse(t, g, admit(t, g, Create), Create, Quota)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if g.Wait(ctx) == nil {
			t.Error("admitted a caller whose context had ended")
		}
		wantClosed(t, g, Quota, 50*time.Second) // nobody was taken for a probe
	})
}

func TestUntilReturnsWhenTheStateIsWanted(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		done := make(chan error, 1)
		go func() { done <- g.Until(t.Context(), State.Paused) }()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("too early")
		default:
		}
		must(t, g.Pause(t.Context(), "", 0))
		must(t, <-done)
	})
}

// A probe of storage may be a long film, and others are tried while it is on its way.
func TestAProbeThatTookLongOpensTheGateAllTheSame(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for range breakAfter {
			refuse(t, g, admit(t, g, Put), Put, Outage)
		}
		long := admit(t, g, Put)
		elapse(probeTime + time.Second)
		admit(t, g, Put)
		g.Succeeded(t.Context(), long, Put)
		wantOpen(t, g)
	})
}

func TestWhatIsSpentIsCreatesAndNotTheBytesOfWhatWasCreated(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		refuse(t, g, admit(t, g, Create), Create, Spent)
		if _, ok := g.Enter(t.Context(), Create); ok {
			t.Error("a create was let through")
		}
		if _, ok := g.Enter(t.Context(), Put); !ok {
			t.Error("a PUT of a file that has its record was not let through")
		}
		must(t, g.Pause(t.Context(), "", 0))
		if _, ok := g.Enter(t.Context(), Put); ok {
			t.Error("a PUT was let through a gate that is held by hand")
		}
	})
}
