package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
)

// kind is which of the account's two quotas a call counts against.
type kind int

const (
	mutation kind = iota + 1
	query
)

// An effect is what an error of the platform does: to the gates, and to the file.
type effect struct {
	closes []kind // gates, by what they let through
	why    Why
	fails  queue.Reason // empty: the file waits
}

// effectOf says what an API error of a call of the given kind does. It is the table of answers, and pure.
func effectOf(k kind, e *authenta.Error) effect {
	switch e.Kind {
	case authenta.KindQuota:
		if k == query { // no paying for what cannot be fetched
			return effect{closes: []kind{query, mutation}, why: Quota}
		}
		return effect{closes: []kind{mutation}, why: Quota}
	case authenta.KindThrottled:
		return effect{closes: []kind{k}, why: Throttled}
	case authenta.KindCredits:
		return effect{closes: []kind{mutation}, why: Credits}
	case authenta.KindUnauthenticated:
		return effect{closes: []kind{mutation, query}, why: Unauthenticated}
	case authenta.KindForbidden:
		return effect{closes: []kind{k}, why: Forbidden}
	case authenta.KindNotFound:
		if k == query {
			return effect{fails: queue.AnalysisFailed} // the platform has lost the record
		}
		return effect{fails: queue.Rejected}
	case authenta.KindRejected:
		if e.Status == 413 {
			return effect{fails: queue.TooLarge}
		}
		if k == query { // a poll is never the file's fault
			return effect{closes: []kind{k}, why: Outage}
		}
		return effect{fails: queue.Rejected}
	}
	return effect{closes: []kind{k}, why: Outage}
}

// refused turns an error of an API call into the gates' business and the file's settlement.
func (w *Worker) refused(ctx context.Context, k kind, err error) queue.Settlement {
	if ctx.Err() != nil { // we broke it off ourselves
		return queue.RetryAfter(0)
	}
	e, ok := errors.AsType[*authenta.Error](err)
	if !ok { // not sent at all: no key could be read, say
		e = &authenta.Error{Kind: authenta.KindUnavailable, Message: err.Error()}
	}
	f := effectOf(k, e)
	for _, closed := range f.closes {
		w.gate(closed).Refused(f.why, err.Error(), e.RetryAfter)
	}
	if f.fails != "" {
		return queue.Reject(queue.Fault{Reason: f.fails, Code: e.Code, Message: message(e)})
	}
	return queue.RetryAfter(backoff())
}

func (w *Worker) gate(k kind) *Gate {
	if k == mutation {
		return w.uploading
	}
	return w.polling
}

// backoff is how long a file waits after an answer that was not its fault: some seconds, with jitter so that files
// that failed together do not come back together. How long its gate is closed is the gate's business: a file that is
// given back to the queue is not taken from it before the gate opens.
func backoff() time.Duration { return time.Second + rand.N(2*time.Second) }

// message is what the platform said, or what went wrong where it said nothing.
func message(e *authenta.Error) string {
	if e.Message != "" {
		return e.Message
	}
	return e.Error()
}
