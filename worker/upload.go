package worker

import (
	"context"
	"errors"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// upload takes a job from wherever it is to where the platform has its bytes. Each step is in the ledger before it
// leaves this machine, and a step whose end is unknown is looked up before it is taken again.
func (w *Worker) upload(ctx context.Context, t *queue.Task) (s queue.Settlement) {
	ctx, end := uploading(ctx, t)
	defer end(&s)
	return w.bring(ctx, t)
}

// bring does so.
func (w *Worker) bring(ctx context.Context, t *queue.Task) queue.Settlement {
	if !t.Sending.IsZero() {
		if s, settled := w.lookForBytes(ctx, t); settled {
			return s
		}
	}
	if !t.Creating.IsZero() {
		if s, settled := w.lookForRecord(ctx, t); settled {
			return s
		}
	}
	if t.State == queue.Queued && t.Creating.IsZero() {
		if s, settled := w.lookInGaps(ctx, t); settled {
			return s
		}
	}
	from, fault, settled := w.open(ctx, t.Job)
	switch {
	case settled != nil:
		return *settled
	case fault != nil:
		return w.elsewhere(ctx, t, *fault)
	}
	defer from.Close()
	if t.State == queue.Reserved && w.runsOut(t.Job) {
		if err := t.Apply(ctx, queue.Abandoned{}); err != nil {
			return w.letGo(t, err)
		}
	}
	turn, s, ok := w.reserve(ctx, t, from.copied)
	if !ok {
		return s
	}
	return w.send(ctx, t, turn, from)
}

// runsOut reports whether a job's upload URL has too little of its life left for a PUT.
func (w *Worker) runsOut(j queue.Job) bool { return j.URLExpires.Sub(w.now()) < spareLife }

// lookForBytes finds out whether the bytes of a PUT that was not answered have arrived. The platform may notice them
// late, so that "not there" counts only when it is said again after a while that this process has seen pass: by the
// ledger's times alone, a jump of the clock would have them paid twice.
func (w *Worker) lookForBytes(ctx context.Context, t *queue.Task) (queue.Settlement, bool) {
	broke := w.Cluster.Uploads.State().Why == control.Credits // it may have them, and wait to be paid
	m, off := w.getUnsure(ctx, t, broke)
	switch {
	case off != nil:
		return *off, true
	case m.Status != authenta.StatusInited && m.Status != "":
		return w.takeOver(ctx, t)
	case t.Asked.IsZero() || broke: // the time in which nothing is begun does not count
		if err := t.Apply(ctx, queue.NotThereYet{At: w.now()}); err != nil {
			return w.letGo(t, err), true
		}
	}
	if known := w.memory.known(authenta.MediaID(t.MediaID), t.Asked); known < w.LateAfter {
		return queue.RetryAfter(w.LateAfter - known), true
	}
	if err := t.Apply(ctx, queue.SendFailed{}); err != nil {
		return w.letGo(t, err), true
	}
	return queue.Settlement{}, false
}

// takeOver has the job await the result of bytes whose PUT was not answered. If nobody saw that PUT end, because its process
// was killed, and the file was overwritten since it was hashed, then they may be others, and the job goes on without them.
func (w *Worker) takeOver(ctx context.Context, t *queue.Task) (queue.Settlement, bool) {
	if w.memory.intact(authenta.MediaID(t.MediaID)) || !overwritten(t.Job, w.Host) {
		return queue.HandOver(), true
	}
	if err := t.Apply(ctx, queue.Abandoned{}); err != nil {
		return w.letGo(t, err), true
	}
	return queue.Settlement{}, false
}

// getUnsure gets the record of a PUT that was not answered.
func (w *Worker) getUnsure(ctx context.Context, t *queue.Task, broke bool) (authenta.Media, *queue.Settlement) {
	if broke {
		return w.getAsProbe(ctx, t)
	}
	m, turn, err := w.get(ctx, t, w.certainly)
	if err != nil {
		s := turn.refused(ctx, err)
		return m, &s
	}
	return m, nil
}

// lookForRecord looks in the platform's list for the media record of a create that was not answered. A record that
// has its bytes is adopted. One that has none cannot be filled, unless the list tells its upload URL, and has cost
// nothing: another takes its place.
func (w *Worker) lookForRecord(ctx context.Context, t *queue.Task) (queue.Settlement, bool) {
	m, settled := w.findLost(ctx, t.Job)
	switch {
	case settled != nil:
		return *settled, true
	case m == nil:
		return queue.Settlement{}, false
	case m.Status != authenta.StatusInited:
		if err := t.Apply(ctx, queue.Adopted{MediaID: string(m.ID), At: w.now()}); err != nil {
			return w.letGo(t, err), true
		}
		return queue.HandOver(), true
	case m.UploadURL != "":
		if err := t.Apply(ctx, w.created(*m, false)); err != nil {
			return w.letGo(t, err), true
		}
		if err := t.Apply(ctx, queue.SendFailed{}); err != nil { // nothing was sent yet
			return w.letGo(t, err), true
		}
	}
	return queue.Settlement{}, false
}

// reserve makes sure that there is a media record with an upload URL, and that the ledger knows that the bytes are
// about to be sent to it, and whether they are those of a copy. The turn is that of the PUT.
func (w *Worker) reserve(ctx context.Context, t *queue.Task, copied bool) (turn, queue.Settlement, bool) {
	if t.State != queue.Reserved {
		return w.create(ctx, t, copied)
	}
	turn, err := w.enter(ctx, control.Put, uncounted)
	if err != nil {
		return turn, turn.refused(ctx, err), false
	}
	if err := t.Apply(ctx, queue.SendStarted{Copied: copied, At: w.now()}); err != nil {
		turn.withdrawn(ctx)
		return turn, w.letGo(t, err), false
	}
	return turn, queue.Settlement{}, true
}

// create makes a media record.
func (w *Worker) create(ctx context.Context, t *queue.Task, copied bool) (turn, queue.Settlement, bool) {
	count := func(ctx context.Context) error { return w.Cluster.Budget.Create(ctx, t.Key) }
	turn, err := w.enter(ctx, control.Create, count)
	if err != nil {
		return turn, turn.refused(ctx, err), false
	}
	if err := t.Apply(ctx, queue.CreateStarted{Name: nameOf(t.Drops[0], t.Digest), At: w.now()}); err != nil {
		turn.withdrawn(ctx)
		return turn, w.letGo(t, err), false
	}
	if !turn.stands() { // the disk took its time, and somebody has closed the gate meanwhile
		w.note(t, queue.CreateRefused{})
		return turn, queue.RetryAfter(backoff()), false
	}
	within, span := calling(ctx, "create")
	m, err := w.Client.Create(within, authenta.NewMedia{
		Name: t.Name, ContentType: t.ContentType, Size: t.Size, Model: authenta.Model(t.Model),
	})
	calledFor(span, m, err)
	if err != nil {
		if e, ok := errors.AsType[*authenta.Error](err); ok && !e.MaybeDone {
			w.note(t, queue.CreateRefused{})
		} else {
			w.note(t, queue.Unanswered{})
		}
		return turn, turn.refused(ctx, err), false
	}
	turn.answered(ctx)
	if err := t.Apply(ctx, w.created(m, copied)); err != nil {
		turn.withdrawn(ctx)
		return turn, w.letGo(t, err), false
	}
	return turn.then(control.Put), queue.Settlement{}, true
}

// send puts the bytes to the upload URL.
func (w *Worker) send(ctx context.Context, t *queue.Task, turn turn, from source) queue.Settlement {
	if from.altered(t.Job) { // since it was opened: sent, it would be paid for now and again as what it has become
		w.note(t, queue.SendFailed{})
		turn.withdrawn(ctx)
		return queue.RetryAfter(0)
	}
	within, span := calling(ctx, "put")
	err := w.Client.Upload(within, authenta.Upload{
		ID: authenta.MediaID(t.MediaID), URL: authenta.PresignedURL(t.UploadURL), ContentType: t.ContentType, Size: t.Size,
	}, from.File)
	called(span, err)
	e, failed := errors.AsType[*authenta.Error](err)
	if (!failed || e.MaybeDone || e.Kind == authenta.KindFileChanged) && from.altered(t.Job) {
		// What the platform has, if anything, may not be what was hashed, and then its verdict would be about something
		// else. The job goes on with another copy, or finds that there is none. If the file was altered only after its
		// last byte had left, that copy is paid for again; nobody can tell.
		w.note(t, queue.Abandoned{})
		turn.withdrawn(ctx)
		return queue.RetryAfter(0)
	}
	switch {
	case !failed:
		turn.answered(ctx)
		return queue.HandOver()
	case ctx.Err() != nil: // we broke it off ourselves
		if e.MaybeDone {
			w.note(t, queue.Unanswered{})
			w.memory.sent(authenta.MediaID(t.MediaID))
		} else {
			w.note(t, queue.SendFailed{})
		}
		turn.withdrawn(ctx)
		return queue.RetryAfter(0)
	case e.MaybeDone:
		w.note(t, queue.Unanswered{})
		w.memory.sent(authenta.MediaID(t.MediaID))
	case e.Kind == authenta.KindURLExpired:
		w.note(t, queue.Abandoned{})
	case e.Kind == authenta.KindStorageRefused || e.Kind == authenta.KindRejected:
		w.note(t, queue.SendFailed{Refused: true})
		turn.answered(ctx)
		if t.Refusals >= storageTries {
			return queue.Reject(queue.Fault{Reason: queue.Rejected, Code: e.Code, Message: message(e)})
		}
		return queue.RetryAfter(backoff())
	default:
		w.note(t, queue.SendFailed{})
	}
	w.Log.Info("an upload is tried again", "file", t.Drops[0].Name, "error", err)
	turn.close(ctx, effect{uploads: true, why: control.Outage}, e)
	return queue.RetryAfter(backoff())
}

const (
	// spareLife is how much of an upload URL's life must be left for a PUT to begin.
	spareLife = time.Minute
	// assumedLife is the life of an upload URL that does not tell: the documentation says about an hour.
	assumedLife = 45 * time.Minute
	// storageTries is how often storage may refuse a file with an answer of its own before that is believed.
	storageTries = 4
)

func (w *Worker) created(m authenta.Media, copied bool) queue.Created {
	at := w.now()
	expires := m.UploadExpires
	if expires.IsZero() {
		expires = at.Add(assumedLife)
	}
	return queue.Created{MediaID: string(m.ID), UploadURL: string(m.UploadURL), Expires: expires.UTC(), Copied: copied, At: at}
}

// note writes to the ledger what is known after a call that failed, even if the context has ended by then. If it
// cannot, the ledger goes on saying that the call's end is unknown, which costs a look and is never wrong.
func (w *Worker) note(t *queue.Task, e queue.Event) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	if err := t.Apply(ctx, e); err != nil {
		w.Log.Debug("not noted", "job", t.Key, "error", err)
	}
}

// noteTime is less than what is left of a delivery when its context ends (see queue.Work).
const noteTime = 2 * time.Second

// letGo gives a job back that the ledger does not let us move on.
func (w *Worker) letGo(t *queue.Task, err error) queue.Settlement {
	w.Log.Info("a job is given back", "job", t.Key, "error", err)
	return queue.RetryAfter(time.Second)
}
