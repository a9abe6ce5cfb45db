package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
)

// An effect is what an error of the platform does: to the gates, and to the file.
type effect struct {
	polls   bool // the polls' gate closes
	uploads bool // the uploads' gate closes
	why     Why
	fails   queue.Reason // empty: the file waits
}

// effectOf says what an error of an API call does. It is the table of answers, and pure.
func effectOf(c call, e *authenta.Error) effect {
	own := effect{polls: c == query, uploads: c != query}
	closes := func(why Why) effect { own.why = why; return own }
	switch e.Kind {
	case authenta.KindQuota: // if nothing can be fetched, nothing is paid for
		return effect{polls: c == query, uploads: true, why: Quota}
	case authenta.KindThrottled:
		return closes(Throttled)
	case authenta.KindCredits:
		return effect{uploads: true, why: Credits}
	case authenta.KindUnauthenticated:
		return effect{polls: true, uploads: true, why: Unauthenticated}
	case authenta.KindForbidden:
		return closes(Forbidden)
	case authenta.KindNotFound:
		if c == query { // the platform has lost the record
			return effect{fails: queue.AnalysisFailed}
		}
		return effect{fails: queue.Rejected}
	case authenta.KindRejected:
		switch {
		case c == query: // a poll is never the file's fault
			return closes(Outage)
		case e.Status == 413:
			return effect{fails: queue.TooLarge}
		}
		return effect{fails: queue.Rejected}
	}
	return closes(Outage)
}

// refused turns an error of an API call into the gates' business and the file's settlement.
func (w *Worker) refused(ctx context.Context, c call, err error) queue.Settlement {
	if errors.Is(err, errClosed) {
		return queue.RetryAfter(backoff())
	}
	if ctx.Err() != nil { // we broke it off ourselves
		w.gateOf(c).Withdrawn()
		return queue.RetryAfter(0)
	}
	e, ok := errors.AsType[*authenta.Error](err)
	if !ok {
		e = &authenta.Error{Kind: authenta.KindUnavailable, Message: err.Error()}
	}
	f := effectOf(c, e)
	ofPolls, ofUploads := c, c
	if f.why == Unauthenticated { // each gate finds out for itself whether the keys are right again
		ofPolls, ofUploads = query, create
	}
	if f.polls {
		w.polling.Refused(ofPolls, f.why, err.Error(), e.RetryAfter)
	}
	if f.uploads {
		w.uploading.Refused(ofUploads, f.why, err.Error(), e.RetryAfter)
	}
	if f.fails != "" {
		w.answered(c)
		return queue.Reject(queue.Fault{Reason: f.fails, Code: e.Code, Message: message(e)})
	}
	return queue.RetryAfter(backoff())
}

// errClosed says that a call was not made, because its gate is closed or its turn did not come before the end.
var errClosed = errors.New("not called")

// enter waits for a call's turn and asks its gate. Nothing is created while polls are paused for the account's sake: what
// is paid for has to be fetched.
func (w *Worker) enter(ctx context.Context, c call) error {
	switch c {
	case create:
		if w.mutations.Wait(ctx) != nil {
			return errClosed
		}
		if p, closed := w.polling.Closed(); closed && p.Reason.Account() && time.Until(p.Until) > 0 {
			return errClosed
		}
	case query:
		if w.queries.Wait(ctx) != nil {
			return errClosed
		}
	}
	if !w.gateOf(c).Enter() {
		return errClosed
	}
	return nil
}

// answered reports a call that the platform answered, be it about this file only.
func (w *Worker) answered(c call) {
	if w.gateOf(c).Succeeded(c) && c == query {
		w.uploading.Relieved(query)
	}
}

func (w *Worker) gateOf(c call) *Gate {
	if c == query {
		return w.polling
	}
	return w.uploading
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
