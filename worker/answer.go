package worker

import (
	"math/rand/v2"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// An effect is what an error of the platform does: to the gates, and to the file.
type effect struct {
	polls   bool // the polls' gate closes
	uploads bool // the uploads' gate closes
	why     control.Why
	fails   queue.Reason // empty: the file waits
}

// effectOf says what an error of an API call does. It is the table of answers, and pure. That nothing is uploaded while
// nothing can be fetched follows from the polls' gate being closed.
func effectOf(c control.Call, e *authenta.Error) effect {
	own := func(why control.Why) effect {
		return effect{polls: c == control.Query, uploads: c != control.Query, why: why}
	}
	switch e.Kind {
	case authenta.KindQuota:
		return own(control.Quota)
	case authenta.KindThrottled:
		return own(control.Throttled)
	case authenta.KindCredits:
		return effect{uploads: true, why: control.Credits}
	case authenta.KindUnauthenticated:
		return effect{polls: true, uploads: true, why: control.Unauthenticated}
	case authenta.KindForbidden:
		return own(control.Forbidden)
	case authenta.KindNotFound:
		if c == control.Query { // the platform has lost the record
			return effect{fails: queue.AnalysisFailed}
		}
		return effect{fails: queue.Rejected}
	case authenta.KindRejected:
		switch {
		case c == control.Query: // a poll is never the file's fault
			return own(control.Outage)
		case e.Status == 413:
			return effect{fails: queue.TooLarge}
		}
		return effect{fails: queue.Rejected}
	}
	return own(control.Outage)
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
