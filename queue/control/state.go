package control

import (
	"time"
)

// A Call is a kind of request. What one kind finds out says nothing about another: the platform may take a create while
// storage takes no bytes.
type Call string

// The calls.
const (
	Create Call = "create" // a Mutation
	Put    Call = "put"    // to storage; counts against no quota
	Query  Call = "query"
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
	Spent           Why = "spent"           // what was granted, by the settings, is used up; the platform is not asked
)

func (w Why) needsSomebody() bool { return w != "" && w != Outage && w != Throttled }

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

// probeTime is how long a probe may take to report before the next call is let through: more than any API call takes.
const probeTime = time.Minute

// passTime is how soon another call may be the probe, if one told nothing: not at once, or all would try in turn.
const passTime = time.Second

// failTime is the same for a probe that failed in another way than what closed the gate.
const failTime = 30 * time.Second

// A State is what the record of a gate says. The zero State is an open gate. It is a value: its methods make the changed
// one, and are pure.
//
// A gate may be closed by an answer, and it may be held by hand; each ends for itself.
type State struct {
	Why     Why    `json:"why,omitempty"`     // empty: no answer has closed the gate
	Code    string `json:"code,omitempty"`    // the platform's
	Message string `json:"message,omitempty"` // what was said, for a person
	Call    Call   `json:"call,omitempty"`    // only a success of this kind opens the gate

	Since time.Time     `json:"since,omitzero"`    // when it was closed, or opened
	At    time.Time     `json:"at,omitzero"`       // when the record was written
	Until time.Time     `json:"until,omitzero"`    // when a probe is due; zero: never
	Wait  time.Duration `json:"wait_ns,omitempty"` // from the last answer until then

	Probes int       `json:"probes,omitempty"` // sent since the gate was closed
	Prober string    `json:"prober,omitempty"` // the process whose probe is out
	Lapses time.Time `json:"lapses,omitzero"`  // when that probe is given up

	Refused string `json:"refused_keys,omitempty"` // the keys that were refused last: see Keyed
	Hold    *Hold  `json:"hold,omitempty"`
	By      string `json:"by"` // the process that wrote the record
}

// A Hold is a pause by hand.
type Hold struct {
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero: until it is lifted by hand
}

// Closed reports whether an answer has closed the gate.
func (s State) Closed() bool { return s.Why != "" }

// Paused reports whether no calls but probes are made.
func (s State) Paused() bool { return s.Closed() || s.Hold != nil }

// NeedsSomebody reports whether a person has to do something before calls are made again.
func (s State) NeedsSomebody() bool { return s.Hold != nil || s.Why.needsSomebody() }

// A Refusal is an answer for which a gate closes.
type Refusal struct {
	Call       Call
	Why        Why
	Code       string        // the platform's, if it has said one
	Message    string        // what was said, for a person
	RetryAfter time.Duration // what the platform asked for, or 0
	Keys       string        // the keys that were refused: see Keyed
}

// refused closes the gate, or keeps it closed after a probe: for twice as long if the answer is the same. jitter is what
// is added to the wait, as a share of it.
func (s State) refused(r Refusal, by string, now time.Time, jitter float64) State {
	first, most := r.Why.waits()
	next := State{
		Why: r.Why, Code: r.Code, Message: r.Message, Call: r.Call, Since: now, At: now,
		Probes: s.Probes, Hold: s.Hold, By: by,
	}
	if r.Why == Unauthenticated {
		next.Refused = r.Keys
	}
	if r.Why == Spent { // only what changes the count opens it
		return next
	}
	next.Wait = first
	if s.Why == r.Why {
		next.Since, next.Wait = s.Since, min(max(2*s.Wait, first), most) // whatever a damaged record says
	}
	if r.RetryAfter > 0 {
		next.Wait = r.RetryAfter
	}
	next.Until = now.Add(next.Wait + time.Duration(jitter*float64(next.Wait)))
	return next
}

// probed notes that a process sends the probe.
func (s State) probed(by string, now time.Time) State {
	s.Prober, s.Lapses, s.By, s.At = by, now.Add(probeTime), by, now
	s.Probes++
	return s
}

// passed notes that the probe told nothing: after a time the next call may be one.
func (s State) passed(by string, now time.Time, d time.Duration) State {
	s.Prober, s.Lapses, s.Until, s.By, s.At = "", time.Time{}, now.Add(d), by, now
	return s
}

// opened opens the gate for answers. With other keys than those that were refused, the refused ones stay noted.
func (s State) opened(keys, by string, now time.Time) State {
	next := State{Since: now, At: now, Hold: s.Hold, By: by}
	if s.Why == Unauthenticated && keys != s.Refused {
		next.Refused = s.Refused
	}
	return next
}

// held closes the gate by hand, for a time or, with 0, until it is lifted by hand.
func (s State) held(message, by string, now time.Time, d time.Duration) State {
	s.Hold, s.By, s.At = &Hold{Message: message, Since: now}, by, now
	if d > 0 {
		s.Hold.Until = now.Add(d)
	}
	return s
}

// lifted ends what was held by hand.
func (s State) lifted(by string, now time.Time) State {
	s.Hold, s.By, s.At = nil, by, now
	if !s.Closed() {
		s.Since = now
	}
	return s
}

// leads reports whether a call is not the one that closed the gate, but comes before it in the same work.
func (s State) leads(c Call) bool { return s.Call == Put && c == Create }

// left is how long it is from a record's writing, or if it is not fresh from here, until a time in it; never longer than
// the record meant, whatever the clocks say.
func (s State) left(until, here time.Time, fresh bool) time.Duration {
	meant := max(until.Sub(s.At), 0)
	if fresh {
		return meant
	}
	return min(max(until.Sub(here), 0), meant)
}
