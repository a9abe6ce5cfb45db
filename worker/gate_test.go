package worker

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// A crowd is a number of callers that each wait to be admitted once.
type crowd struct{ admitted atomic.Int32 }

// ask lets n callers ask. They end with the bubble's test.
func (c *crowd) ask(t *testing.T, g *Gate, n int) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for range n {
		go func() {
			for g.Wait(ctx) == nil {
				if g.Enter() {
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
		t.Errorf("%s: %d admitted, want %d", when, got, n)
	}
}

// admit waits until a call is let through.
func admit(t *testing.T, g *Gate) {
	t.Helper()
	must(t, g.Wait(t.Context()))
	if !g.Enter() {
		t.Fatal("waited, and was not let through")
	}
}

// elapse lets the bubble's time pass.
func elapse(d time.Duration) { <-time.After(d) }

func wantClosed(t *testing.T, g *Gate, why Why, wait time.Duration) {
	t.Helper()
	c, closed := g.Closed()
	if !closed || c.Reason != why || time.Until(c.Until) != wait {
		t.Errorf("closed %t for %s for %s, want %s for %s", closed, c.Reason, time.Until(c.Until), why, wait)
	}
}

func wantOpen(t *testing.T, g *Gate) {
	t.Helper()
	if c, closed := g.Closed(); closed {
		t.Errorf("closed for %s: %s", c.Reason, c.Said)
	}
}

func bubble(t *testing.T, test func(t *testing.T, g *Gate)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, newGate("calls", quiet)) })
}

func TestAnOpenGateAdmitsAll(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		var c crowd
		c.ask(t, g, 10)
		c.want(t, "at once", 10)
	})
}

func TestAClosedGateAdmitsNobodyUntilItsDeadlineAndThenExactlyOne(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Refused(create, Quota, "API limit reached", 0)
		wantClosed(t, g, Quota, time.Minute)
		var c crowd
		c.ask(t, g, 10)
		elapse(time.Minute - 1)
		c.want(t, "just before the deadline", 0)
		elapse(time.Nanosecond)
		c.want(t, "at the deadline", 1)
		elapse(probeTime - 1)
		c.want(t, "while the probe is out", 1)
		g.Succeeded(create)
		c.want(t, "after its success", 10)
		wantOpen(t, g)
	})
}

func TestTheSameAnswerDoublesTheWaitUpToTheCap(t *testing.T) {
	for why, want := range map[Why][]time.Duration{
		Quota:           {1 * time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour},
		Credits:         {1 * time.Minute, 2 * time.Minute},
		Unauthenticated: {1 * time.Minute, 2 * time.Minute},
		Forbidden:       {1 * time.Minute, 2 * time.Minute},
		Throttled:       {10 * time.Second, 20 * time.Second, 40 * time.Second},
	} {
		t.Run(string(why), func(t *testing.T) {
			bubble(t, func(t *testing.T, g *Gate) {
				since := time.Now()
				for i, wait := range want {
					g.Refused(create, why, "no", 0)
					wantClosed(t, g, why, wait)
					if c, _ := g.Closed(); !c.Since.Equal(since) {
						t.Errorf("since %s after %d probes", c.Since, i)
					}
					admit(t, g) // the probe
				}
			})
		})
	}
}

func TestAnotherReasonStartsAnew(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for range 3 {
			g.Refused(create, Quota, "no", 0)
			admit(t, g)
		}
		start := time.Now()
		g.Refused(create, Credits, "no", 0)
		wantClosed(t, g, Credits, time.Minute)
		if c, _ := g.Closed(); !c.Since.Equal(start) {
			t.Errorf("since %s", c.Since)
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for _, asked := range []time.Duration{7 * time.Second, time.Second, time.Hour} {
			g.Refused(create, Throttled, "wait", asked)
			wantClosed(t, g, Throttled, asked)
			asking := time.Now()
			admit(t, g)
			if waited := time.Since(asking); waited != asked {
				t.Errorf("admitted after %s, asked for %s", waited, asked)
			}
		}
	})
}

func TestWithoutAProbeOutAnswersFromBeforeTheClosureChangeNothing(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Refused(create, Quota, "no", 0)
		elapse(10 * time.Second)
		g.Succeeded(create)
		wantClosed(t, g, Quota, 50*time.Second)
		for range 2 * breakAfter {
			for _, why := range []Why{Quota, Credits, Throttled, Outage} {
				g.Refused(create, why, "no", time.Hour)
			}
		}
		wantClosed(t, g, Quota, 50*time.Second)
	})
}

func TestAProbeThatNeverReportsIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Refused(create, Credits, "no", 0)
		var c crowd
		c.ask(t, g, 4)
		elapse(time.Minute)
		for n := range int32(4) {
			c.want(t, "after lost probes", n+1)
			elapse(probeTime)
		}
		g.Succeeded(create)
		wantOpen(t, g)
	})
}

func TestAnOutageNeedsARunOfFailures(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for range 3 {
			for range breakAfter - 1 {
				g.Refused(create, Outage, "502", 0)
			}
			wantOpen(t, g)
			g.Succeeded(create)
		}
		for range breakAfter {
			g.Refused(create, Outage, "502", 0)
		}
		wantClosed(t, g, Outage, 2*time.Second)
	})
}

func TestAnOutageIsProbedSoonAndAtLeastOnceAMinute(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for range breakAfter {
			g.Refused(create, Outage, "502", 0)
		}
		for _, wait := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			wantClosed(t, g, Outage, wait*time.Second)
			admit(t, g)
			g.Refused(create, Outage, "502", 0)
		}
		admit(t, g)
		g.Succeeded(create)
		wantOpen(t, g)
		g.Refused(create, Outage, "502", 0)
		wantOpen(t, g) // the run begins anew
	})
}

func TestAProbeThatMeetsAnOutageClosesTheGateAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Refused(create, Quota, "no", 0)
		admit(t, g)
		g.Refused(create, Outage, "502", 0)
		wantClosed(t, g, Outage, 2*time.Second)
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Refused(create, Quota, "no", 0)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := g.Wait(ctx); err != context.DeadlineExceeded || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if err := g.Wait(ctx); err == nil {
			t.Error("admitted a caller whose context had ended")
		}
		g.Succeeded(create)
		wantClosed(t, g, Quota, 50*time.Second) // nobody was taken for a probe
	})
}

func TestAnEndedContextIsNotAdmittedByAnOpenGate(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if g.Wait(ctx) == nil {
			t.Error("admitted")
		}
	})
}

func TestOnlyASuccessOfTheKindThatClosedItOpensAGate(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Refused(create, Credits, "no", 0)
		admit(t, g)
		if g.Succeeded(put) {
			t.Error("a PUT says nothing about credits")
		}
		admit(t, g) // the next one may tell
		if !g.Succeeded(create) {
			t.Error("still closed")
		}
		wantOpen(t, g)
	})
}

func TestASuccessOfOneKindDoesNotEndTheFailuresOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		for range breakAfter {
			wantOpen(t, g)
			g.Succeeded(create)
			g.Refused(put, Outage, "503", 0)
		}
		wantClosed(t, g, Outage, 2*time.Second)
	})
}

func TestAProbeThatIsWithdrawnIsReplacedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Withdrawn() // of an open gate: nothing
		wantOpen(t, g)
		g.Refused(create, Credits, "no", 0)
		g.Withdrawn() // of a call from before the closure: nothing
		wantClosed(t, g, Credits, time.Minute)
		admit(t, g)
		var c crowd
		c.ask(t, g, 3)
		c.want(t, "while the probe is out", 0)
		g.Withdrawn()
		c.want(t, "after it was withdrawn", 1)
	})
}

func TestAGateThatQueriesClosedForUploadsOpensWhenTheyAreRelieved(t *testing.T) {
	bubble(t, func(t *testing.T, g *Gate) {
		g.Refused(query, Quota, "no", 0)
		g.Relieved(create)
		wantClosed(t, g, Quota, time.Minute)
		g.Relieved(query)
		wantOpen(t, g)
		g.Relieved(query)
		wantOpen(t, g)
	})
}
