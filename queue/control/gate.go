package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// breakAfter is how many calls in a row must fail for an outage to be assumed: more than the uploads that one hiccup of
// the network cuts off at a time.
const breakAfter = 5

// A record is one entry of the bucket, changed by compare-and-set.
type record interface {
	get(context.Context) (data []byte, revision uint64, err error)
	put(ctx context.Context, data []byte, over uint64) (uint64, error)
}

// A Gate closes, for the whole cluster, when the account or the platform cannot take calls of a kind. At the closure's end
// one call of the cluster is let through as a probe: what it reports opens the gate, or closes it for twice as long.
//
// Whoever looks for work asks Wait, and then, immediately before each call, Enter. After a call that was let through,
// exactly one of Succeeded, Refused and Withdrawn reports what became of it.
//
// It mirrors a record, and measures the closure's time by its own clock from when it learned of it: a clock that is set
// or that differs opens nothing early.
type Gate struct {
	name   string
	id     string // of this process
	record record
	tell   func(was, is State) // of a change that this process has written
	log    *slog.Logger

	mu       sync.Mutex
	state    State
	revision uint64
	due      time.Time     // when a probe is due, by the monotonic clock; zero: never
	lapses   time.Time     // when the probe that is out is given up, likewise
	lifts    time.Time     // when the hold ends, likewise; zero: never
	writing  bool          // an Enter is at it
	failures map[Call]int  // outages in a row, of this process's calls
	keys     string        // of this process, as they are now; empty: not known
	tried    string        // the last of them that a probe was sent with
	shut     time.Time     // since when it is paused, as this process has seen it; zero: it is not
	shutFor  time.Duration // how long it was, the times before
	changed  chan struct{} // closed and replaced when anything above changes
}

func newGate(name, id string, r record, tell func(was, is State), log *slog.Logger) *Gate {
	return &Gate{name: name, id: id, record: r, tell: tell, log: log, failures: map[Call]int{}, changed: make(chan struct{})}
}

// A Ticket is what Enter gives for one call, and what is shown with the report on it.
type Ticket struct {
	revision uint64    // of the record when the call was let through
	since    time.Time // of the closure whose probe it is
	probe    bool
}

// Probe reports whether the call was let through a closed gate, to find out.
func (t Ticket) Probe() bool { return t.probe }

// State returns what the gate's record says.
func (g *Gate) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// seen returns the state, and for how long in all this process has seen the gate paused.
func (g *Gate) seen() (State, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	paused := g.shutFor
	if !g.shut.IsZero() {
		paused += time.Since(g.shut)
	}
	return g.state, paused
}

// Wait returns when Enter may let a call through. Its error is ctx's.
func (g *Gate) Wait(ctx context.Context) error {
	return g.await(ctx, g.opensAt)
}

// Until returns when the state is one that is wanted. Its error is ctx's.
func (g *Gate) Until(ctx context.Context, wanted func(State) bool) error {
	return g.await(ctx, func() (time.Time, bool) { return time.Time{}, wanted(g.state) })
}

// await returns at the time that at gives, which is asked again after every change; false: not before one.
func (g *Gate) await(ctx context.Context, at func() (time.Time, bool)) error {
	for ctx.Err() == nil {
		g.mu.Lock()
		until, ever := at()
		changed := g.changed
		g.mu.Unlock()
		wait := time.Until(until)
		if ever && wait <= 0 {
			return nil
		}
		alarm := make(<-chan time.Time)
		if ever {
			alarm = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-alarm:
		}
	}
	return ctx.Err()
}

// opensAt returns when the next call may be let through; false: not before something changes.
func (g *Gate) opensAt() (time.Time, bool) {
	switch {
	case g.writing:
		return time.Time{}, false
	case g.state.Hold != nil && !g.over(g.lifts):
		return g.lifts, !g.lifts.IsZero()
	case !g.state.Closed():
		return time.Time{}, g.keys == "" || g.keys != g.state.Refused
	case g.state.Prober != "":
		return g.lapses, true
	case g.state.Why == Unauthenticated && g.keys != "" && g.keys != g.state.Refused && g.keys != g.tried:
		return time.Time{}, true
	}
	return g.due, !g.due.IsZero()
}

// Keyed tells which keys this process has now, by a short fingerprint. A gate that is closed because other keys were
// refused lets one call try them; one that others have opened with other keys stays closed to a process that still has
// the refused ones.
func (g *Gate) Keyed(fingerprint string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys != fingerprint {
		g.keys = fingerprint
		g.signal()
	}
}

// Enter reports whether a call may be made now: the gate is open, or the call is the one probe of the cluster.
func (g *Gate) Enter(ctx context.Context, c Call) (Ticket, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over(g.lifts) && g.state.Hold != nil {
		g.change(ctx, g.state.lifted(g.id, now()))
	}
	if g.state.Hold == nil && g.state.Why == Spent && c == Put { // what is spent is creates; this file has had its own
		return Ticket{revision: g.revision}, true
	}
	if opens, ever := g.opensAt(); !ever || time.Until(opens) > 0 {
		return Ticket{}, false
	}
	if !g.state.Closed() {
		return Ticket{revision: g.revision}, true
	}
	keys := g.keys
	if !g.change(ctx, g.state.probed(g.id, now())) {
		return Ticket{}, false
	}
	g.tried = keys
	return Ticket{revision: g.revision, since: g.state.Since, probe: true}, true
}

// Lets reports whether Enter would let a call through now, and changes nothing. It is for those who would prepare a call that
// costs them something.
func (g *Gate) Lets(c Call) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.Hold == nil && g.state.Why == Spent && c == Put {
		return true
	}
	opens, ever := g.opensAt()
	return ever && time.Until(opens) <= 0
}

// over reports whether a time has come; the zero time never does.
func (g *Gate) over(t time.Time) bool { return !t.IsZero() && time.Until(t) <= 0 }

// change writes a state over the present one, and returns whether it could. The lock is given up meanwhile.
func (g *Gate) change(ctx context.Context, next State) bool {
	was, over := g.state, g.revision
	g.writing = true
	g.mu.Unlock()
	could := g.replace(ctx, was, next, over)
	g.mu.Lock()
	g.writing = false
	g.signal()
	return could
}

// Now is a ticket for reporting what a call of another gate has found out about this one.
func (g *Gate) Now() Ticket {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Ticket{revision: g.revision}
}

// Holds reports whether a call that was let through may still be made: nothing has closed the gate since, but that others
// were told that all is spent, of which this call has its part.
func (g *Gate) Holds(t Ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return t.probe || !g.state.Paused() || g.state.Hold == nil && g.state.Why == Spent
}

// Succeeded reports a call that was answered as it should be. It opens the gate if it is a probe, and of the kind that
// closed it. A probe that took longer than it was waited for is as good as the one that took its place.
func (g *Gate) Succeeded(ctx context.Context, t Ticket, c Call) {
	g.mu.Lock()
	g.failures[c] = 0
	s, over, keys := g.state, g.revision, g.keys
	ours := t.probe && s.Closed() && s.Since.Equal(t.since)
	mine := g.isProbe(t)
	g.mu.Unlock()
	switch { // an answer to another call than a probe tells nothing
	case ours && s.Call == c:
		g.replace(ctx, s, s.opened(keys, g.id, now()), over)
	case mine && !s.leads(c): // a file that had its record already: the next one may tell
		g.replace(ctx, s, s.passed(g.id, now(), passTime), over)
	}
}

// isProbe reports whether a ticket is that of the probe that is out.
func (g *Gate) isProbe(t Ticket) bool {
	return t.probe && g.state.Prober == g.id && g.revision == t.revision
}

// Withdrawn reports a call that found out nothing about what closed the gate.
func (g *Gate) Withdrawn(ctx context.Context, t Ticket) {
	g.mu.Lock()
	s, over, mine := g.state, g.revision, g.isProbe(t)
	g.mu.Unlock()
	if mine {
		g.replace(ctx, s, s.passed(g.id, now(), passTime), over)
	}
}

// Refused reports a call that the account or the platform did not take. For this process the gate is closed when it
// returns, even if the broker cannot be told.
func (g *Gate) Refused(ctx context.Context, t Ticket, r Refusal) {
	g.mu.Lock()
	probe := g.isProbe(t)
	if r.Why == Outage {
		if g.failures[r.Call]++; g.failures[r.Call] < breakAfter && !probe {
			g.mu.Unlock()
			return
		}
	}
	if !probe && (g.state.Closed() || g.revision != t.revision) { // an answer from before what is known now
		g.mu.Unlock()
		return
	}
	was, over := g.state, g.revision
	next := was.refused(r, g.id, now(), rand.Float64()/10)
	if probe && was.Call != r.Call && !was.leads(r.Call) && !r.Why.needsSomebody() { // nothing about what closed the gate
		next = was.passed(g.id, now(), failTime)
	}
	g.adopt(next, over, true)
	g.mu.Unlock()
	g.replace(ctx, was, next, over)
}

// Resume opens the gate by hand, for whatever reason it is closed.
func (g *Gate) Resume(ctx context.Context) error {
	return g.force(ctx, func(State) State { return State{Since: now(), At: now(), By: g.id} })
}

// Pause closes the gate by hand, for a time or, with 0, until Resume. A closure by an answer stays what it is.
func (g *Gate) Pause(ctx context.Context, message string, d time.Duration) error {
	return g.force(ctx, func(s State) State { return s.held(message, g.id, now(), d) })
}

// lift ends a hold whose time is over, so that those hear of it who do not wait for a call's turn.
func (g *Gate) lift(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.Hold != nil && g.over(g.lifts) && !g.writing {
		g.change(ctx, g.state.lifted(g.id, now()))
	}
}

// openIf opens the gate if it is closed for a reason.
func (g *Gate) openIf(ctx context.Context, why Why) {
	g.mu.Lock()
	s, over, keys := g.state, g.revision, g.keys
	g.mu.Unlock()
	if s.Why == why {
		g.replace(ctx, s, s.opened(keys, g.id, now()), over)
	}
}

// force changes whatever state there is.
func (g *Gate) force(ctx context.Context, next func(State) State) error {
	for {
		data, over, err := g.record.get(ctx)
		if err == nil {
			was := decode(data)
			err = g.write(ctx, was, next(was), over)
		}
		if !errors.Is(err, queue.ErrConflict) {
			if err != nil {
				err = fmt.Errorf("change the gate of %s: %w", g.name, err)
			}
			return err
		}
	}
}

// replace writes a state over the one that it was made of, and returns whether it could. If that one has changed, what
// is there stands.
func (g *Gate) replace(ctx context.Context, was, next State, over uint64) bool {
	err := g.write(ctx, was, next, over)
	switch {
	case err == nil:
		return true
	case errors.Is(err, queue.ErrConflict):
		g.refresh(ctx)
	default:
		g.log.Warn("the cluster could not be told about "+g.name, "error", err)
	}
	return false
}

// write makes the record say what next says.
func (g *Gate) write(ctx context.Context, was, next State, over uint64) error {
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	revision, err := g.record.put(ctx, data, over)
	if err != nil {
		return err
	}
	g.mirror(next, revision, true)
	g.tell(was, next)
	return nil
}

// refresh reads the record again.
func (g *Gate) refresh(ctx context.Context) {
	if data, revision, err := g.record.get(ctx); err == nil {
		g.mirror(decode(data), revision, true)
	}
}

// decode reads a record. One that is missing or damaged is an open gate: the next answer will close it.
func decode(data []byte) State {
	var s State
	if json.Unmarshal(data, &s) != nil {
		return State{}
	}
	return s
}

// mirror takes over what was written, unless something newer is known. fresh: it was written just now.
func (g *Gate) mirror(s State, revision uint64, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if revision > g.revision {
		g.adopt(s, revision, fresh)
	}
}

// adopt makes a state this process's own.
func (g *Gate) adopt(s State, revision uint64, fresh bool) {
	was, here := g.state, time.Now()
	ends := func(until time.Time) time.Time {
		if until.IsZero() {
			return time.Time{}
		}
		return here.Add(s.left(until, here, fresh))
	}
	g.state, g.revision = s, revision
	switch {
	case s.Paused() && g.shut.IsZero():
		g.shut = here
	case !s.Paused() && !g.shut.IsZero():
		g.shut, g.shutFor = time.Time{}, g.shutFor+here.Sub(g.shut)
	}
	g.due, g.lapses, g.lifts = ends(s.Until), ends(s.Lapses), time.Time{}
	if s.Hold != nil {
		g.lifts = ends(s.Hold.Until)
	}
	g.report(was, s)
	g.signal()
}

// report logs what a person wants to know of a change, once.
func (g *Gate) report(was, is State) {
	next := func(t time.Time) string {
		if t.IsZero() {
			return "not before something is done about it"
		}
		return t.Local().Format(time.DateTime)
	}
	switch {
	case was.Paused() && !is.Paused():
		g.log.Info(g.name+" go on", "by", is.By)
	case is.Hold != nil && was.Hold == nil:
		g.log.Warn(g.name+" paused by hand", "message", is.Hold.Message, "until", next(is.Hold.Until), "by", is.By)
	case is.Closed() && was.Why != is.Why:
		g.log.Warn(g.name+" paused", "why", is.Why, "said", is.Message, "next_try", next(is.Until))
	case was.Prober != "" && is.Prober == "" && is.Wait > 0 && is.Until.Sub(is.At) >= is.Wait:
		g.log.Info(g.name+" still paused", "why", is.Why, "next_try", next(is.Until))
	}
}

func (g *Gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// now is the time as records have it.
func now() time.Time { return time.Now().UTC() }
