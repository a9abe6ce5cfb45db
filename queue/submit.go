package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Submission is a drop and the content that was found in it.
type Submission struct {
	Drop        Drop
	Digest      Digest
	Size        int64
	ContentType string
	Model       Model

	// Bytes opens the drop's bytes, to be staged: then a worker needs nothing but the broker to get them. It is called at most
	// once a Submit, and only where the bytes are needed; what it returns is closed. Nil: they are not staged, or have been under
	// the name that Drop.Staged says.
	Bytes func(context.Context) (io.ReadCloser, error) `json:"-"`
}

// An Acceptance says what became of a submission.
type Acceptance string

// The acceptances.
const (
	AcceptedNew      Acceptance = "queued"   // a new job, or a failed one that goes on
	AcceptedJoined   Acceptance = "joined"   // the same content is in work: the drop waits for its answer
	AcceptedAnswered Acceptance = "answered" // the content has its answer already, and the drop got it
)

func (s Submission) check() error {
	if !s.Digest.Valid() || !s.Model.Valid() || s.Drop.ID == "" {
		return fmt.Errorf("digest %q, model %q, drop %q: not what a job can be made of", s.Digest, s.Model, s.Drop.ID)
	}
	s.Drop.Trace = Trace{} // bounded, and no reason to refuse a drop
	if !(Job{Drops: []Drop{s.Drop}}).fits() {
		return fmt.Errorf("its address, name and meta take more than %d bytes, which is the most", maxRecord)
	}
	return nil
}

// ErrUnsettled says that the content's job has just ended and its message is still on the queue. Submit again in a
// moment.
var ErrUnsettled = errors.New("the job for this content is just being settled")

// ErrCrowded says that as many drops wait for one job as its record can hold. Submit again later, when the job
// has its answer.
var ErrCrowded = errors.New("too many copies of this file wait for the same verdict")

// Submit takes a drop in. Without an error it is safe: the drop is on the queue, or has its answer on a stream.
// With one, nothing is promised and the same drop is to be submitted again; doing so any number of times is
// harmless, as long as its id is the same.
func (q *Queue) Submit(ctx context.Context, s Submission) (Acceptance, error) {
	if err := s.check(); err != nil {
		return "", fmt.Errorf("queue %s: %w", s.Drop.URI, err)
	}
	key := KeyOf(s.Digest, s.Model)
	end, err := q.beginSubmit(ctx, key)
	if err != nil {
		return "", err
	}
	defer end()
	submit := q.submitTo
	if q.lookFirst.Add(-1) < 0 && s.Bytes == nil {
		submit = q.submitNew
	}
	if s.Bytes != nil { // later, a sweep could take what was staged for an orphan
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, freshTime)
		defer cancel()
	}
	for ; ; submit = q.submitTo {
		acceptance, err := submit(ctx, key, &s)
		if !errors.Is(err, ErrConflict) {
			if err != nil {
				return "", fmt.Errorf("queue %s: %w", s.Drop.URI, err)
			}
			return acceptance, nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// beginSubmit waits until this process submits no other drop of a content: they would be in each other's way.
func (q *Queue) beginSubmit(ctx context.Context, key JobKey) (end func(), err error) {
	mine := make(chan struct{})
	for {
		other, busy := q.submitting.LoadOrStore(key, mine)
		if !busy {
			return func() {
				q.submitting.Delete(key)
				close(mine)
			}, nil
		}
		select {
		case <-other.(chan struct{}):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// lookAfter is how many submissions look for a record of their content before they write one, once there was one. Most content
// is new; but what is not tends to come together, and has the writes of others refused with its own.
const lookAfter = 1000

// submitNew tries once, without looking for a record first.
func (q *Queue) submitNew(ctx context.Context, key JobKey, s *Submission) (Acceptance, error) {
	acceptance, err := q.open(ctx, key, s, 0)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrFull) { // it may have its answer, which needs no room
		return q.submitTo(ctx, key, s)
	}
	return acceptance, err
}

// submitTo tries once, against the record as it is now.
func (q *Queue) submitTo(ctx context.Context, key JobKey, s *Submission) (Acceptance, error) {
	r, err := q.load(ctx, key)
	switch {
	case errors.Is(err, errNoJob):
		return q.open(ctx, key, s, r.revision)
	case err != nil:
		return "", err
	}
	q.lookFirst.Store(lookAfter)
	switch {
	case slices.Contains(r.Answered, s.Drop.ID):
		q.discard(ctx, r.Job, s.Drop)
		return AcceptedAnswered, nil
	case r.State.ended():
		return q.submitEnded(ctx, r, s)
	}
	was := r.stage()
	if !r.waits(s.Drop.ID) {
		if err := q.stageJoined(ctx, r.Job, s); err != nil {
			return "", err
		}
		next, ok := r.admit(s.Drop, func(d Drop) Event { return Joined{d} })
		if !ok {
			return "", ErrCrowded
		}
		if r, err = q.advance(ctx, r, next); err != nil {
			return "", err
		}
		q.metrics.accepted(s.Model, AcceptedJoined)
	}
	if was != r.stage() {
		return AcceptedJoined, q.move(ctx, r.Job, was)
	}
	// Whoever made the record may have crashed before it had queued it.
	return AcceptedJoined, q.enqueueAgain(ctx, r.Job)
}

// open makes a new job, then queues it. A crash in between leaves a record without a message, which the next
// submission of the same drop mends: its file is still where it was, and unknown to the registry.
func (q *Queue) open(ctx context.Context, key JobKey, s *Submission, over uint64) (Acceptance, error) {
	if err := q.take(ctx, len(s.Drop.URI)+len(s.Drop.Name)); err != nil {
		return "", err
	}
	if err := q.stageFor(ctx, s); err != nil {
		return "", err
	}
	r, err := q.advance(ctx, record{revision: over}, Job{
		Key: key, Digest: s.Digest, Size: s.Size, ContentType: s.ContentType, Model: s.Model,
		State: Queued, Drops: []Drop{s.Drop}, QueuedAt: s.Drop.QueuedAt,
	})
	if err != nil {
		return "", err
	}
	q.metrics.accepted(s.Model, AcceptedNew)
	return AcceptedNew, q.enqueue(ctx, r.Job)
}

// submitEnded answers a drop from a terminal record, lets a failed job go on for it, or begins anew where the answer is
// too old.
func (q *Queue) submitEnded(ctx context.Context, r record, s *Submission) (Acceptance, error) {
	d, was := s.Drop, r.Job
	known, stale := r.waits(d.ID), time.Since(r.EndedAt) > q.ResultTTL
	if known || !stale && !(r.State == Failed && r.Fault.Reason.retriedByDrop()) {
		if next, ok := r.admit(d, func(d Drop) Event { return Shared{d} }); ok && !known {
			stored, err := q.advance(ctx, r, next)
			if err != nil {
				return "", err
			}
			was = stored.Job
		}
		news, err := q.answer(ctx, r.Job, d, !known)
		if err != nil {
			return "", err
		}
		if news && !known {
			q.metrics.accepted(r.Model, AcceptedAnswered)
			q.metrics.answered(r.Job)
		}
		q.discard(ctx, was, d)
		return AcceptedAnswered, nil
	}
	// The earlier drops leave the record now: make sure that they have their answer. And the job's message has to be gone
	// from the queue: whoever has it in hand would acknowledge it for what the record was, and take it from the new one.
	if err := q.announceAgain(ctx, r.Job); err != nil {
		return "", err
	}
	if err := q.gone(ctx, r.Key); err != nil {
		return "", err
	}
	acceptance, err := q.goOn(ctx, r, s, stale)
	if err == nil {
		q.discard(ctx, Job{Key: r.Key, State: Queued, Drops: []Drop{s.Drop}}, was.Drops...)
	}
	return acceptance, err
}

// goOn has an ended job begin anew, or go on where it stopped, for a drop alone.
func (q *Queue) goOn(ctx context.Context, r record, s *Submission, anew bool) (Acceptance, error) {
	if anew {
		return q.open(ctx, r.Key, s, r.revision)
	}
	if err := q.stageFor(ctx, s); err != nil {
		return "", err
	}
	next, err := r.Next(Retried{Drops: []Drop{s.Drop}, At: time.Now().UTC()})
	if err != nil {
		return "", err
	}
	if r, err = q.advance(ctx, r, next); err != nil {
		return "", err
	}
	q.metrics.accepted(s.Model, AcceptedNew)
	return AcceptedNew, q.enqueue(ctx, r.Job)
}

// Uploading reports whether a job waits to be uploaded, at whichever machine, or is in hand for it.
func (q *Queue) Uploading(ctx context.Context, key JobKey) (bool, error) {
	there, err := q.onQueue(ctx, Upload, key)
	if !there && err == nil {
		there, err = q.onQueue(ctx, anyHost, key)
	}
	return there, err
}

// gone returns ErrUnsettled while a job has a message on any queue.
func (q *Queue) gone(ctx context.Context, key JobKey) error {
	for _, stage := range []Stage{anyStage, anyHost} {
		there, err := q.onQueue(ctx, stage, key)
		if err != nil {
			return err
		}
		if there {
			return ErrUnsettled
		}
	}
	return nil
}

// onQueue reports whether a job has a message on a queue.
func (q *Queue) onQueue(ctx context.Context, stage Stage, key JobKey) (bool, error) {
	_, err := q.last(ctx, q.jobs, q.ns.job(stage, key))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return false, nil
	}
	return false, fmt.Errorf("look for job %s on the queue %s: %w", key, stage, err)
}

// enqueue puts the job's message where the record says that it is, unless it is there or in somebody's hands.
func (q *Queue) enqueue(ctx context.Context, j Job) error {
	return q.putOn(ctx, j, write{group: q.groups.jobs})
}

// enqueueAgain does so where the message most likely is there: others would be refused together with it.
func (q *Queue) enqueueAgain(ctx context.Context, j Job) error {
	return q.putOn(ctx, j, write{})
}

func (q *Queue) putOn(ctx context.Context, j Job, w write) error {
	if _, err := q.put(ctx, j, w); !errors.Is(err, ErrConflict) {
		return err
	}
	return nil
}

// put writes the message where the record says, or returns ErrConflict if it is there.
func (q *Queue) put(ctx context.Context, j Job, w write) (seq uint64, err error) {
	if j.stage().atHost() { // without its consumer, nobody would know that something waits
		if _, err := q.consumer(ctx, j.stage(), j.At); err != nil {
			return 0, err
		}
	}
	w.subject = q.ns.job(j.stage(), j.Key)
	p, err := q.publish(ctx, w)
	return p.seq, err
}

// move puts a job's message on the queue that its record tells by now, and takes it from the one where it was. Whoever has it
// in hand from there can do nothing with it any more.
func (q *Queue) move(ctx context.Context, j Job, was Stage) error {
	if err := q.enqueue(ctx, j); err != nil {
		return err
	}
	return q.takeFrom(ctx, q.ns.job(was, j.Key))
}

// takeFrom takes a message from a queue where its job's record says that it is not. If the record says by now that it is, the
// message was in the way of a new one, which is put there; but not while a call is under way, since the one who makes it has
// the message that was taken: if he does not finish, Reconcile puts the job back.
func (q *Queue) takeFrom(ctx context.Context, subject string) error {
	q.Step("before drop")
	if err := q.jobs.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
		return fmt.Errorf("take job %s from a queue: %w", lastToken(subject), err)
	}
	q.Step("after drop")
	r, err := q.load(ctx, JobKey(lastToken(subject)))
	if errors.Is(err, errNoJob) || err == nil && (r.State.ended() || r.underWay()) {
		return nil
	}
	if err != nil {
		return err
	}
	return q.enqueueAgain(ctx, r.Job)
}

// announce publishes the terminal message of every drop of a job that has just ended. notYet is when it had no result; zero: that is not
// known. fresh: it was not announced before; else how long that took tells of an outage, not of the work.
func (q *Queue) announce(ctx context.Context, j Job, notYet time.Time, fresh bool) error {
	told := false
	for _, d := range j.Drops {
		news, err := q.answer(ctx, j, d, false)
		if err != nil {
			return err
		}
		if news {
			q.metrics.answered(j)
		}
		if news && fresh {
			q.metrics.waited(j.Model, d)
		}
		told = told || news
	}
	if told && j.State == Judged && !notYet.IsZero() {
		q.metrics.concluded(j.Model, notYet)
	}
	return nil
}

// announceAgain makes sure that the answers of a job that ended before are on their streams. As a rule they are: what the stream
// does not remember by its id is there twice then, so nothing is counted.
func (q *Queue) announceAgain(ctx context.Context, j Job) error {
	for _, d := range j.Drops {
		if _, err := q.answer(ctx, j, d, false); err != nil {
			return err
		}
	}
	return nil
}

// answer publishes an ended job's answer to one drop, and reports whether it is news to the stream.
func (q *Queue) answer(ctx context.Context, j Job, d Drop, cached bool) (news bool, err error) {
	if j.State == Failed {
		return q.publishFailure(ctx, d, j.failure(d))
	}
	v := j.verdict(d, q.Platform, cached)
	return q.publishTerminal(ctx, q.ns.subject("verdicts", string(v.Model), string(v.Outcome)), d, v)
}

// Refuse answers a drop that no job can be made of: no media, or nothing that can be read.
func (q *Queue) Refuse(ctx context.Context, d Drop, contentType string, f Fault) (Answer, error) {
	j := Job{State: Failed, Size: d.File.Size, ContentType: contentType, Fault: &f, EndedAt: time.Now().UTC()}
	message, err := q.message(j, d)
	news := false
	if err == nil {
		news, err = q.publishFailure(ctx, d, j.failure(d))
	}
	if news {
		q.metrics.refused(f.Reason)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("refuse %s as %s: %w", d.URI, f.Reason, err)
	}
	return Answer{Failed: true, Message: message}, nil
}

func (q *Queue) publishFailure(ctx context.Context, d Drop, f Failure) (news bool, err error) {
	model := string(f.Model)
	if model == "" {
		model = noModel
	}
	return q.publishTerminal(ctx, q.ns.subject("failures", model, string(f.Reason)), d, f)
}

// publishTerminal publishes the answer to a drop, which goes on with the drop's trace, and reports whether the stream did not have
// it: by its id it knows those of the last two minutes. One that an earlier try of this call has brought there is news.
func (q *Queue) publishTerminal(ctx context.Context, subject string, d Drop, message any) (news bool, err error) {
	data, err := encode(message)
	if err != nil {
		return false, err
	}
	publishing, end := answering(ctx, subject, d, message, len(data))
	p, err := q.publish(publishing, write{subject: subject, data: data, id: string(d.ID), last: anySequence, trace: TraceOf(publishing)})
	end(err)
	return err == nil && (!p.known || p.unsure), err
}
