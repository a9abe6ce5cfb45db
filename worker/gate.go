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

// A call is a kind of request. What one kind finds out says nothing about another: the platform may take a create while
// storage takes no bytes.
type call int

const (
	create call = iota + 1 // a Mutation
	put                    // to storage; counts against no quota
	query
)

// A Closure says why a gate is closed, since when, and when one call will find out whether it still has to be.
type Closure struct {
	Reason  Why
	Said    string // by the platform
	Since   time.Time
	Until   time.Time
	by      call          // only its success opens the gate
	waiting time.Duration // from the last refusal until Until
}

// A Gate closes when the account or the platform cannot take calls of a kind. At the closure's end one call is let
// through as a probe: what it reports opens the gate, or closes it for twice as long.
//
// Whoever looks for work asks Wait, and then, immediately before each call, Enter. After a call that was let through,
// exactly one of Succeeded, Refused and Withdrawn reports what became of it.
type Gate struct {
	name string
	log  *slog.Logger

	mu       sync.Mutex
	closure  *Closure      // nil: open
	probing  bool          // a call was let through after the closure's end, and has not reported
	failures map[call]int  // outages in a row
	changed  chan struct{} // closed and replaced when anything above changes
}

func newGate(name string, log *slog.Logger) *Gate {
	return &Gate{name: name, log: log, failures: map[call]int{}, changed: make(chan struct{})}
}

const (
	// breakAfter is how many calls in a row must fail for an outage to be assumed: more than the uploads that
	// one hiccup of the network cuts off at a time.
	breakAfter = 5
	// probeTime is how long a probe may take to report before the next call is let through.
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

// Wait returns when Enter may let a call through. Its error is ctx's.
func (g *Gate) Wait(ctx context.Context) error {
	for ctx.Err() == nil {
		g.mu.Lock()
		wait, changed := time.Duration(0), g.changed
		if g.closure != nil {
			wait = time.Until(g.closure.Until)
		}
		g.mu.Unlock()
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

// Enter reports whether a call may be made now: the gate is open, or the call is the probe.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closure == nil:
		return true
	case time.Until(g.closure.Until) > 0:
		return false
	}
	g.probing = true
	g.closure.Until = time.Now().Add(probeTime)
	g.signal()
	return true
}

// Succeeded reports a call that was answered as it should be. It opens the gate if a call of that kind closed it, and
// returns whether the gate is open then.
func (g *Gate) Succeeded(c call) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures[c] = 0
	if g.closure != nil && g.probing { // an answer from before the closure tells nothing
		switch {
		case g.closure.by == c:
			g.open()
		case g.closure.by == create && c == put: // a file that had its record already: the next one may tell
			g.passOn()
		}
	}
	return g.closure == nil
}

// Relieved opens the gate if calls of a kind that it does not let through itself have closed it.
func (g *Gate) Relieved(c call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closure != nil && g.closure.by == c {
		g.open()
	}
}

func (g *Gate) open() {
	g.log.Info(g.name+" go on", "paused_for", time.Since(g.closure.Since).Round(time.Second))
	g.closure, g.probing = nil, false
	g.signal()
}

// Withdrawn reports a call that found out nothing, because we broke it off ourselves.
func (g *Gate) Withdrawn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.probing {
		g.passOn()
	}
}

// passOn lets the next call be the probe.
func (g *Gate) passOn() {
	g.probing = false
	g.closure.Until = time.Now()
	g.signal()
}

// Refused reports a call that the account or the platform did not take. retryAfter is what the platform asked
// for, or 0.
func (g *Gate) Refused(c call, why Why, said string, retryAfter time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if why == Outage {
		if g.failures[c]++; g.failures[c] < breakAfter && !g.probing {
			return
		}
	}
	if g.closure != nil && !g.probing { // an answer to a call from before the closure tells nothing new
		return
	}
	first, most := why.waits()
	now := time.Now()
	next := Closure{Reason: why, Said: said, Since: now, by: c, waiting: first}
	if g.closure != nil && g.closure.Reason == why {
		next.Since, next.waiting = g.closure.Since, min(2*g.closure.waiting, most)
	}
	if retryAfter > 0 {
		next.waiting = retryAfter
	}
	next.Until = now.Add(next.waiting)
	g.log.Warn(g.name+" paused", "reason", why, "platform", said, "next_try", next.Until.Format(time.RFC3339))
	g.closure, g.probing = &next, false
	g.signal()
}

func (g *Gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}
