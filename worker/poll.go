package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/worker/pace"
)

const (
	// doubtful is the chance below which one worker asks for one result at a time, so that the answer tells the others
	// whether it is too early.
	doubtful = 0.9
	// leastWait and mostWait bound the time between two asks for a medium whose processing has not begun: that takes
	// credits, and nothing tells when they come.
	leastWait, mostWait = 30 * time.Second, 10 * time.Minute
)

// poll asks for the result of an uploaded medium, when it is time to.
func (w *Worker) poll(ctx context.Context, t *queue.Task) queue.Settlement {
	ctx = ofJob(ctx, t)
	w.memory.load(ctx, t.Model)
	m := w.memory.recall(t.Job)
	if !t.Asked.IsZero() && w.Cluster.Uploads.State().Why == control.Credits {
		return w.pollAsProbe(ctx, t)
	}
	step, chance := w.memory.next(m, w.crowd())
	early := time.Now().Before(m.due) // the broker's clock has jumped
	late := !early && m.age() > w.PollTimeout
	// What was put off until now is asked about although more may have been learned meanwhile: it is due with others.
	if due := !early && !m.due.IsZero(); !late && !due && !step.Ripe(m.age()) {
		return w.later(m)
	}
	if late {
		return w.pollAlone(ctx, t, m, time.Time{})
	}
	switch said, off := w.ask(ctx, m, step, chance); {
	case off != nil:
		return *off
	case said.status.Final():
		return w.pollAlone(ctx, t, m, said.at)
	case said.status != "":
		return w.notYet(ctx, t, m, said, false)
	}
	return w.pollAlone(ctx, t, m, time.Time{})
}

// ask returns what the list says of a medium: what a page has said just now, or what a look for this medium and others says.
// Where the list does not help it says nothing. With a settlement, no call can be made now.
func (w *Worker) ask(ctx context.Context, m medium, step pace.Step, chance float64) (sighting, *queue.Settlement) {
	fresh := time.Now().Add(-max(step.Grid/2, gatherTime))
	if last := m.since.Add(m.asked); fresh.Before(last) {
		fresh = last
	}
	if said, ok := w.list.said(m.id, fresh); ok {
		return said, nil
	}
	if pages := w.crowd().Pages(); pages == 0 || polls*(1-chance) <= float64(pages) { // it would save nothing, were all slots to ask
		return sighting{}, nil
	}
	a := w.byList(ctx, &question{id: m.id, trace: queue.TraceOf(ctx), chance: chance, fresh: fresh, answer: make(chan answer, 1)})
	return a.sighting, a.off
}

// pollAlone gets the medium's record. known is when a page said that the result is there; zero: none did.
func (w *Worker) pollAlone(ctx context.Context, t *queue.Task, m medium, known time.Time) queue.Settlement {
	count := w.certainly
	if _, chance := w.memory.next(m, w.crowd()); known.IsZero() && chance < doubtful {
		count = w.perhaps
		select {
		case w.scout <- struct{}{}:
			defer func() { <-w.scout }()
		case <-ctx.Done():
			return queue.RetryAfter(0)
		}
		if step, _ := w.memory.next(m, w.crowd()); !step.Ripe(m.age()) && m.age() <= w.PollTimeout { // others were told that it is too early
			return w.later(m)
		}
	}
	got, turn, err := w.get(ctx, t, count)
	if err != nil {
		return w.unanswered(ctx, m, turn, err)
	}
	if !got.Status.Final() {
		return w.notYet(ctx, t, m, sighting{got.Status, time.Now()}, true)
	}
	if known.IsZero() {
		known = time.Now()
	}
	w.memory.found(m, known)
	return w.concluded(m, got)
}

// concluded is what a final record says.
func (w *Worker) concluded(m medium, got authenta.Media) queue.Settlement {
	w.memory.ended(m)
	if got.Status == authenta.StatusProcessed {
		return queue.Conclude(judge(got)).After(w.empty(m))
	}
	return queue.Reject(queue.Fault{
		Reason: queue.AnalysisFailed, Code: string(got.Status),
		Message: fmt.Sprintf("the platform could not judge media %s", m.id),
	})
}

// overdue reports whether a medium's result has been awaited for too long. Part of that this process must have seen for
// itself: what the ledger's times tell may be wrong by a jump of the clock, so that the first ask is never the last.
func (w *Worker) overdue(m medium) bool {
	return m.age() > w.PollTimeout && m.known() > min(w.PollTimeout, pace.Longest)/2
}

// empty is when it was last known that a medium has no result; zero: it is not known, or polls were paused since.
func (w *Worker) empty(m medium) time.Time {
	at := m.empty()
	if at.Before(w.Cluster.Polls.State().Since) {
		return time.Time{}
	}
	return at
}

// notYet deals with a medium that has no result. Neither the time in which its processing has not begun, nor that in
// which nobody could ask, counts against it: the first ask after a pause is never the last.
func (w *Worker) notYet(ctx context.Context, t *queue.Task, m medium, s sighting, single bool) queue.Settlement {
	unbegun := s.status == authenta.StatusInited
	paused := m.since.Before(w.Cluster.Polls.State().Since) && m.told.Before(w.Cluster.Polls.State().Since)
	m = w.memory.vain(m, s.at, single)
	switch {
	case unbegun && (m.age() >= w.LateAfter || w.Cluster.Uploads.State().Why == control.Credits):
		return w.unbegun(ctx, t, m)
	case single && !unbegun && !paused && w.overdue(m):
		w.memory.ended(m)
		return queue.Reject(queue.Fault{
			Reason: queue.Timeout, Code: string(s.status),
			Message: fmt.Sprintf("no result of media %s after %s", m.id, m.age().Round(time.Second)),
		})
	}
	return w.later(m)
}

// unbegun puts off a medium that the platform has and has not begun with, which takes credits.
func (w *Worker) unbegun(ctx context.Context, t *queue.Task, m medium) queue.Settlement {
	if t.Asked.IsZero() {
		w.Log.Warn("the platform has a file and has not begun with it; the account may lack credits", "file", t.Drops[0].URI, "mid", t.MediaID)
	}
	w.memory.stalled(m)
	if err := t.Apply(ctx, queue.NotThereYet{At: w.now()}); err != nil {
		return w.letGo(t, err)
	}
	return queue.RetryAfter(min(max(w.now().Sub(t.UploadedAt)/4, leastWait), mostWait))
}

// later gives a medium back until it is due.
func (w *Worker) later(m medium) queue.Settlement {
	step, _ := w.memory.next(m, w.crowd())
	now, age := w.now(), m.age()
	wait := max(step.At(now.Add(-age)).Sub(now), time.Millisecond)
	if age < w.PollTimeout {
		wait = min(wait, w.PollTimeout-age+time.Millisecond)
	}
	w.memory.schedule(m, time.Now().Add(wait))
	return queue.RetryAfter(wait)
}

// unanswered deals with a call that told nothing of the medium. Long after its time, a platform that answers, and not
// about this record, has said enough.
func (w *Worker) unanswered(ctx context.Context, m medium, t turn, err error) queue.Settlement {
	e, ok := errors.AsType[*authenta.Error](err)
	if ok && e.Kind == authenta.KindRejected && w.overdue(m) {
		t.unfit(ctx)
		return queue.Reject(queue.Fault{Reason: queue.Timeout, Code: e.Code, Message: message(e)})
	}
	s := t.refused(ctx, err)
	if ok { // a call was made
		s = s.NoSoonerThan(min(m.age()/4, time.Minute))
	}
	return s
}

// pollAsProbe asks about a medium that waits for credits, as the probe of the uploads' gate.
func (w *Worker) pollAsProbe(ctx context.Context, t *queue.Task) queue.Settlement {
	got, off := w.getAsProbe(ctx, t)
	m := w.memory.recall(t.Job)
	switch {
	case off != nil:
		return *off
	case got.Status.Final():
		return w.concluded(m, got)
	case got.Status == authenta.StatusInited:
		return w.unbegun(ctx, t, m)
	}
	return w.later(m)
}

// getAsProbe gets the record of a medium that may wait for credits, while the uploads' gate is closed for lack of them, as
// its probe: that its processing has begun says that there are some, as a create that is taken would. With a settlement,
// it is not the probe's time, or the call told nothing.
func (w *Worker) getAsProbe(ctx context.Context, t *queue.Task) (authenta.Media, *queue.Settlement) {
	uploads := turn{w: w, call: control.Create}
	off := queue.RetryAfter(min(max(time.Until(w.Cluster.Uploads.State().Until), 0), leastWait) + 5*backoff())
	var ok bool
	if uploads.ticket, ok = w.Cluster.Uploads.Enter(ctx, control.Create); !ok {
		return authenta.Media{}, &off
	}
	got, turn, err := w.get(ctx, t, w.certainly)
	switch {
	case err != nil:
		uploads.withdrawn(ctx)
		off = turn.refused(ctx, err)
		return got, &off
	case got.Status != authenta.StatusInited && got.Status != "":
		uploads.answered(ctx)
	case uploads.ticket.Probe():
		uploads.again(ctx)
	}
	return got, nil
}

// crowd is what else there is to be asked about.
func (w *Worker) crowd() pace.Crowd {
	return pace.Crowd{
		Awaited: int(w.room.awaiting.Load()), Due: w.list.unfinished(), Workers: w.Cluster.Size(), Page: w.list.pageSize(),
		First: w.FirstPoll, Tight: w.Cluster.Budget.Tight(),
	}
}

// get makes one Query call for the record of a job's medium, if the gate and the budget let it. After an error the turn is still to be
// reported on.
func (w *Worker) get(ctx context.Context, t *queue.Task, count func(context.Context) error) (authenta.Media, turn, error) {
	turn, err := w.enter(ctx, control.Query, count)
	if err != nil {
		return authenta.Media{}, turn, err
	}
	within, span := asking(ctx, t)
	m, err := w.Client.Get(within, authenta.MediaID(t.MediaID))
	if calledFor(span, m, err); err == nil {
		turn.answered(ctx)
	}
	return m, turn, err
}
