package worker

import (
	"context"
	"errors"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// A turn is a call that may be made now. What becomes of it is to be reported, exactly once: answered, refused or
// withdrawn. That of a create goes on to its PUT.
type turn struct {
	w      *Worker
	call   control.Call
	ticket control.Ticket
	other  control.Ticket // of the other gate, as it was when the call was let through
	keys   string         // the account's, likewise
}

// errClosed says that a call was not made, because its gate is closed, its turn did not come before the end, or it is not
// worth its price now.
var errClosed = errors.New("not called")

// enter waits for a call's turn and asks its gate, and the budget, which counts it.
func (w *Worker) enter(ctx context.Context, c control.Call, count func(context.Context) error) (turn, error) {
	t := turn{w: w, call: c}
	var err error
	switch c {
	case control.Create:
		err = w.Cluster.Mutations.Wait(ctx)
	case control.Query:
		err = w.Cluster.Queries.Wait(ctx)
	}
	if err != nil || c != control.Query && !canBeFetched(w.Cluster.Polls.State()) {
		return t, errClosed
	}
	t.keys, t.other = w.fingerprint(), t.otherGate().Now()
	var ok bool
	if t.ticket, ok = t.gate().Enter(ctx, c); !ok {
		return t, errClosed
	}
	switch err := count(ctx); {
	case errors.Is(err, control.ErrSpent):
		t.gate().Refused(ctx, t.ticket, control.Refusal{Call: c, Why: control.Spent, Message: err.Error()})
		return t, errClosed
	case err != nil:
		t.withdrawn(ctx)
		if !errors.Is(err, control.ErrReserved) {
			w.Log.Warn("a call is not made, because it could not be counted", "call", c, "error", err)
		}
		return t, errClosed
	}
	return t, nil
}

// uncounted is for calls that count against no quota.
func uncounted(context.Context) error { return nil }

// certainly counts a Query that is not in vain, or cannot be put off.
func (w *Worker) certainly(ctx context.Context) error { return w.Cluster.Budget.Query(ctx, true) }

// perhaps counts a Query that may be in vain.
func (w *Worker) perhaps(ctx context.Context) error { return w.Cluster.Budget.Query(ctx, false) }

func (t turn) gate() *control.Gate {
	if t.call == control.Query {
		return t.w.Cluster.Polls
	}
	return t.w.Cluster.Uploads
}

func (t turn) otherGate() *control.Gate {
	if t.call == control.Query {
		return t.w.Cluster.Uploads
	}
	return t.w.Cluster.Polls
}

// stands reports whether a turn that was given may still be taken.
func (t turn) stands() bool { return t.gate().Holds(t.ticket) }

// answered reports that the call was answered as it should be.
func (t turn) answered(ctx context.Context) {
	t.w.answered.Store(time.Now().UnixNano())
	ctx, cancel := report(ctx)
	defer cancel()
	t.gate().Succeeded(ctx, t.ticket, t.call)
}

// withdrawn reports that the call told nothing about the account.
func (t turn) withdrawn(ctx context.Context) {
	ctx, cancel := report(ctx)
	defer cancel()
	t.gate().Withdrawn(ctx, t.ticket)
}

// then is the turn for the next call of the same work.
func (t turn) then(c control.Call) turn {
	t.call = c
	return t
}

// report is the context for telling the cluster about a call, even if the work on it has to end.
func report(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), noteTime)
}

// refused turns an error of an API call into the gates' business and the file's settlement.
func (t turn) refused(ctx context.Context, err error) queue.Settlement {
	if errors.Is(err, errClosed) {
		if t.gate().State().Why == control.Spent { // not before more is granted
			return queue.RetryAfter(spentPause * 6)
		}
		return queue.RetryAfter(backoff())
	}
	if ctx.Err() != nil { // we broke it off ourselves
		t.withdrawn(ctx)
		return queue.RetryAfter(0)
	}
	e, ok := errors.AsType[*authenta.Error](err)
	if !ok {
		e = &authenta.Error{Kind: authenta.KindUnavailable, Message: err.Error()}
	}
	if e.Kind == authenta.KindUnauthenticated && e.Status == 0 { // nobody has refused anything: this process has no keys
		t.w.Log.Warn("no call can be made without keys", "error", err)
		t.withdrawn(ctx)
		return queue.RetryAfter(backoff())
	}
	f := effectOf(t.call, e)
	if f.fails != "" {
		t.unfit(ctx)
		return queue.Reject(queue.Fault{Reason: f.fails, Code: e.Code, Message: message(e)})
	}
	t.close(ctx, f, e)
	return queue.RetryAfter(backoff())
}

// unfit reports an answer about the file only. That ends an outage; whether the account can take more it does not tell:
// the platform may look at the file first.
func (t turn) unfit(ctx context.Context) {
	if s := t.gate().State(); !s.Closed() || s.Why == control.Outage && s.Call == t.call {
		t.answered(ctx)
		return
	}
	t.withdrawn(ctx)
}

// close has the gates closed that an error closes. Where it closes both, each finds out for itself when to open.
func (t turn) close(ctx context.Context, f effect, e *authenta.Error) {
	ctx, cancel := report(ctx)
	defer cancel()
	r := control.Refusal{Why: f.why, Code: e.Code, Message: e.Error(), RetryAfter: e.RetryAfter, Keys: t.keys}
	polls, uploads := t.w.Cluster.Polls, t.w.Cluster.Uploads
	if f.polls {
		r.Call = control.Query
		polls.Refused(ctx, t.on(polls), r)
	}
	if f.uploads {
		if r.Call = t.call; t.call == control.Query {
			r.Call = control.Create
		}
		uploads.Refused(ctx, t.on(uploads), r)
	}
	if g := t.gate(); g == polls && !f.polls || g == uploads && !f.uploads {
		t.withdrawn(ctx)
	}
}

// again keeps the turn's gate closed for what it was closed for.
func (t turn) again(ctx context.Context) {
	ctx, cancel := report(ctx)
	defer cancel()
	was := t.gate().State()
	t.gate().Refused(ctx, t.ticket, control.Refusal{Call: was.Call, Why: was.Why, Code: was.Code, Message: was.Message})
}

// on is the turn's ticket for a gate.
func (t turn) on(g *control.Gate) control.Ticket {
	if g == t.gate() {
		return t.ticket
	}
	return t.other
}
