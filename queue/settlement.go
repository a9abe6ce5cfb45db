package queue

import (
	"fmt"
	"time"
)

// A Settlement is the one answer owed for a job that was handed out. The zero value is invalid.
type Settlement struct {
	kind      settlementKind
	delay     time.Duration
	judgement Judgement
	notYet    time.Time // when there was no judgement
	fault     Fault
	by, to    string // machines
}

type settlementKind int

const (
	done settlementKind = iota + 1
	retryAfter
	handOver
	conclude
	reject
	pass
	offer
)

// Done says that nothing is owed any more: somebody else has moved the job on.
func Done() Settlement { return Settlement{kind: done} }

// RetryAfter gives the job back, to be handed out again no earlier than after d. It costs no attempt.
func RetryAfter(d time.Duration) Settlement { return Settlement{kind: retryAfter, delay: d} }

// NoSoonerThan puts off a job that is given back for at least d. Other settlements stay as they are.
func (s Settlement) NoSoonerThan(d time.Duration) Settlement {
	s.delay = max(s.delay, d)
	return s
}

// HandOver says that the platform has the bytes: the job's result is awaited from now on.
func HandOver() Settlement { return Settlement{kind: handOver} }

// Conclude says that the platform has judged.
func Conclude(j Judgement) Settlement { return Settlement{kind: conclude, judgement: j} }

// After says of a conclusion when there was no result yet, as the platform said last; without it, that is the time of the
// upload. By that it is measured how long results wait.
func (s Settlement) After(notYet time.Time) Settlement {
	s.notYet = notYet
	return s
}

// Reject says that this content cannot be judged, by its own fault.
func Reject(f Fault) Settlement { return Settlement{kind: reject, fault: f} }

// Pass says that this machine can read none of the job's files, and that it waits for workers of another one from now on.
func Pass(by, to string) Settlement { return Settlement{kind: pass, by: by, to: to} }

// String names the settlement, for logs and tests.
func (s Settlement) String() string {
	switch s.kind {
	case done:
		return "done"
	case retryAfter:
		return fmt.Sprintf("retry after %s", s.delay)
	case handOver:
		return "hand over"
	case conclude:
		return "conclude " + string(s.judgement.Outcome)
	case reject:
		return "reject " + string(s.fault.Reason)
	case pass:
		return "pass to " + s.to
	case offer:
		return "offer"
	}
	return "invalid"
}
