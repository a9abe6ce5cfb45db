package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Why a gate is closed.
type Why string

// The reasons.
const (
	Quota           Why = "quota"           // the key's calls of this kind are used up
	Credits         Why = "credits"         // the account cannot pay
	Unauthenticated Why = "unauthenticated" // the key is missing, wrong or revoked
	Forbidden       Why = "forbidden"       // the key lacks the permission
	Throttled       Why = "throttled"       // the platform asks to wait
	Outage          Why = "outage"          // the platform, or what is before it, does not answer
)

// Account reports whether somebody has to do something about the account before calls are taken again.
func (w Why) Account() bool { return w != Outage && w != Throttled }

// waits says how long a gate stays closed: at first, and at most after probes that found nothing better.
// An outage says nothing about the account, so it is looked at again soon.
func (w Why) waits() (first, most time.Duration) {
	switch w {
	case Outage:
		return 2 * time.Second, time.Minute
	case Throttled:
		return 10 * time.Second, time.Hour
	}
	return time.Minute, time.Hour
}

// A Closure says why a gate is closed, since when, and when one call will find out whether it still has to be.
type Closure struct {
	Reason  Why
	Said    string // by the platform
	Since   time.Time
	Until   time.Time
	waiting time.Duration // from the last refusal until Until
}

// A Gate closes when the account or the platform cannot take calls of a kind. Whoever wants to make one asks Admit
// first. At the closure's end one caller is admitted as a probe: what it reports opens the gate, or closes it for
// twice as long.
type Gate struct {
	name string
	log  *slog.Logger

	mu       sync.Mutex
	closure  *Closure      // nil: open
	probing  bool          // a caller was admitted after the closure's end and has not reported yet
	failures int           // outages in a row
	changed  chan struct{} // closed and replaced when the gate opens or closes
}

func newGate(name string, log *slog.Logger) *Gate {
	return &Gate{name: name, log: log, changed: make(chan struct{})}
}

const (
	// breakAfter is how many calls in a row must fail for an outage to be assumed: more than the uploads that
	// one hiccup of the network cuts off at a time.
	breakAfter = 5
	// probeTime is how long a probe may take to report before the next caller is admitted.
	probeTime = time.Minute
)

// Closed returns the closure, and whether there is one.
func (g *Gate) Closed() (Closure, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closure == nil {
		return Closure{}, false
	}
	return *g.closure, true
}

// Admit returns when a call may be made. Its error is ctx's.
func (g *Gate) Admit(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, changed := g.admit(time.Now())
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
	return ctx.Err()
}

// admit returns 0 if the caller may go on, and else how long nothing will change by itself.
func (g *Gate) admit(now time.Time) (time.Duration, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closure == nil {
		return 0, nil
	}
	if wait := g.closure.Until.Sub(now); wait > 0 {
		return wait, g.changed
	}
	g.probing = true
	g.closure.Until = now.Add(probeTime)
	return 0, nil
}

// Succeeded reports a call that the platform answered as it should.
func (g *Gate) Succeeded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = 0
	if g.closure == nil || !g.probing { // an answer from before the closure opens nothing
		return
	}
	g.log.Info(g.name+" go on", "paused_for", time.Since(g.closure.Since).Round(time.Second))
	g.closure, g.probing = nil, false
	g.signal()
}

// Refused reports a call that the account or the platform did not take. retryAfter is what the platform asked
// for, or 0.
func (g *Gate) Refused(why Why, said string, retryAfter time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if why == Outage {
		if g.failures++; g.failures < breakAfter && !g.probing {
			return
		}
	}
	first, most := why.waits()
	now := time.Now()
	c := Closure{Reason: why, Said: said, Since: now, waiting: first}
	switch {
	case g.closure != nil && !g.probing: // an answer to a call from before the closure tells nothing new
		return
	case g.closure != nil && g.closure.Reason == why:
		c.Since, c.waiting = g.closure.Since, min(2*g.closure.waiting, most)
	}
	if retryAfter > 0 {
		c.waiting = retryAfter
	}
	c.Until = now.Add(c.waiting)
	g.log.Warn(g.name+" paused", "reason", why, "platform", said, "next_try", c.Until.Format(time.RFC3339))
	g.closure, g.probing = &c, false
	g.signal()
}

func (g *Gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}
