package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// ErrDrained ends the work in hand when the time to stop cleanly is over.
var ErrDrained = errors.New("stopping: the time to finish is over")

// errLeaseLost ends the work on a job that the broker may be about to hand to somebody else.
var errLeaseLost = errors.New("no sign of the broker: the job may be handed to another worker")

// A Task is one job in hand. It belongs to the handler until that returns.
type Task struct {
	record
	q      *Queue
	looked int // drops that the handler was given; others may have joined since
}

// Apply moves the job on by an event, durably, before it returns. An error means that the handler has to let go
// of the job: somebody else has moved it on, or the broker is out of reach.
func (t *Task) Apply(ctx context.Context, e Event) error {
	r, err := t.q.apply(ctx, t.record, e)
	t.record = r // with an error, as it was last seen
	return err
}

// A Handler does the next step of a job. Its context ends when the job may be handed to somebody else, or when
// the time to stop cleanly is over; the handler then has to return without another call to the platform.
type Handler func(context.Context, *Task) Settlement

// A Pool says how the jobs of a stage are worked on.
type Pool struct {
	Stage  Stage
	Host   string                      // instead of a stage: those that wait for this machine
	Slots  int                         // jobs in hand at a time
	Grace  time.Duration               // time for those in hand, once no more are taken
	Ready  func(context.Context) error // blocks while no job is wanted; an error only when its context ends
	Handle Handler
}

// Work has the jobs of a stage worked on until ctx ends. Then it takes no more, and returns when those in hand are
// settled, the last of them cut short after the grace. It is the one place that acknowledges.
func (q *Queue) Work(ctx context.Context, p Pool) error {
	if p.Host != "" {
		p.Stage = UploadAt(p.Host)
	}
	hard, cancel := withGrace(ctx, p.Grace)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	jobs := feed{
		what: fmt.Sprintf("jobs from the %s queue", p.Stage), ready: p.Ready,
		from:    func(ctx context.Context) (jetstream.Consumer, error) { return q.consumer(ctx, p.Stage, p.Host) },
		deliver: func(msg jetstream.Msg) { q.deliver(hard, p, msg) },
	}
	for range p.Slots {
		g.Go(func() error { return q.slot(ctx, jobs) })
	}
	return g.Wait()
}

// withGrace returns a context for what is in hand when ctx ends: it ends so much later.
func withGrace(ctx context.Context, grace time.Duration) (hard context.Context, cancel func()) {
	hard, end := context.WithCancelCause(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { end(ErrDrained) })
		<-hard.Done()
		timer.Stop()
	})
	return hard, func() {
		forget()
		end(nil)
	}
}

// Redeliver has everything handed out again that is on the queues. What this process has in hand goes on: it refuses a second
// delivery. No other process may be at work, since it would not learn that what it has in hand is handed out again.
func (q *Queue) Redeliver(ctx context.Context) error {
	stages, err := q.stages(ctx)
	if err != nil {
		return err
	}
	for stage := range stages {
		if err := q.redeliver(ctx, stage); err != nil {
			return err
		}
	}
	return nil
}

// redeliver does it for one stage. It begins with the first message, for what a crash of the broker has brought back may be
// below what the consumer believes to be acknowledged.
func (q *Queue) redeliver(ctx context.Context, stage Stage) error {
	if _, err := q.jobs.ResetConsumerToSequence(ctx, stage.consumer(), 1); err != nil {
		return fmt.Errorf("have the %s queue handed out again: %w", stage, err)
	}
	return nil
}

// pulse is how often the broker shows a sign of life to whoever waits for a message. Of a cluster's server that is lost, with the
// request that waited there, nobody else tells: the request is made again after two of them.
const pulse = 2 * time.Second

// A feed is where messages come from, and who deals with them.
type feed struct {
	what    string // for errors
	from    func(context.Context) (jetstream.Consumer, error)
	ready   func(context.Context) error // blocks while none is wanted
	deliver func(jetstream.Msg)
}

// slot works on one message at a time. It asks the broker for one only when it is free, so that none waits in this
// process unattended.
func (q *Queue) slot(ctx context.Context, f feed) error {
	for ctx.Err() == nil {
		if err := q.takeSome(ctx, f); err != nil && ctx.Err() == nil {
			return fmt.Errorf("take %s: %w", f.what, q.conn.explain(err))
		}
	}
	return nil
}

// takeSome does so until ctx ends, or the broker may have lost the request, or not: a second one would be for a second message. So
// it is taken back, and what was sent for it is given back.
func (q *Queue) takeSome(ctx context.Context, f feed) error {
	var deliveries jetstream.MessagesContext
	err := q.Persist(ctx, func(ctx context.Context) error {
		c, err := f.from(ctx)
		if err == nil {
			deliveries, err = c.Messages(jetstream.PullMaxMessages(1), jetstream.PullHeartbeat(pulse))
		}
		return err
	})
	if err != nil {
		return err
	}
	defer giveBack(deliveries)
	same, cancel := q.conn.untilRenewed(ctx)
	defer cancel()
	for same.Err() == nil {
		if f.ready(ctx) != nil {
			return nil
		}
		msg, err := deliveries.Next(jetstream.NextContext(same))
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = msg.Nak() // if this is lost, the job is handed out again after ackWait
			}
			return nil
		case err == nil:
			f.deliver(msg)
		case same.Err() != nil, errors.Is(err, jetstream.ErrNoHeartbeat):
			q.conn.miss()
			return nil
		default:
			return err
		}
	}
	return nil
}

// giveBack takes no more, and gives back what has arrived meanwhile.
func giveBack(deliveries jetstream.MessagesContext) {
	deliveries.Drain()
	for {
		msg, err := deliveries.Next(jetstream.NextMaxWait(time.Second))
		if err != nil {
			deliveries.Stop()
			return
		}
		_ = msg.Nak()
	}
}

// deliver has one job worked on, and settles.
func (q *Queue) deliver(ctx context.Context, p Pool, msg jetstream.Msg) {
	key := JobKey(lastToken(msg.Subject()))
	hand := string(p.Stage) + string(key)
	if _, busy := q.inHand.LoadOrStore(hand, true); busy {
		_ = msg.NakWithDelay(ackWait) // handed out again while still in work here
		return
	}
	defer q.inHand.Delete(hand)
	ctx, quiet, release := q.hold(ctx, msg)
	defer release()
	task := &Task{q: q}
	settlement := q.decide(ctx, p, key, msg, task)
	if settlement.kind == retryAfter {
		quiet() // a sign of life behind the NAK would undo its delay
	}
	if err := q.settle(ctx, task, msg, settlement); err != nil {
		q.Log.Warn("a job was not settled, and will be handed out again",
			"job", key, "settlement", settlement.String(), "error", err)
	}
	if task.Key == key && task.cutOff() {
		q.letGo.Store(key, true)
	}
}

// hold keeps a delivery ours: it tells the broker that the work goes on, until quiet is called, and ends the context well
// before the broker would hand the job to somebody else for lack of such signs. release ends all of it.
func (q *Queue) hold(ctx context.Context, msg jetstream.Msg) (held context.Context, quiet, release func()) {
	const sign, lease = ackWait / 3, ackWait * 4 / 5
	ctx, cancel := context.WithCancelCause(ctx)
	expiry := time.AfterFunc(lease, func() { cancel(errLeaseLost) })
	signing, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(sign)
		defer tick.Stop()
		for {
			select {
			case <-signing.Done():
				return
			case <-tick.C:
			}
			sent := time.Now()
			once, done := context.WithTimeout(signing, sign)
			_, err := q.conn.RequestWithContext(once, msg.Reply(), []byte("+WPI"))
			done()
			if err == nil {
				expiry.Reset(lease - time.Since(sent))
			}
		}
	}()
	quiet = func() {
		stop()
		<-stopped
	}
	return ctx, quiet, func() {
		quiet()
		expiry.Stop()
		cancel(nil)
	}
}

// orphanAge is how long a message may be without a record, which is written before it, for a replica that lags behind.
const orphanAge = time.Minute

// decide loads the job and asks the handler, unless the record already says what to do.
func (q *Queue) decide(ctx context.Context, p Pool, key JobKey, msg jetstream.Msg, t *Task) Settlement {
	r, err := q.load(ctx, key)
	t.record, t.looked = r, len(r.Drops)
	switch {
	case errors.Is(err, errNoJob):
		if meta, err := msg.Metadata(); err == nil && time.Since(meta.Timestamp) > orphanAge {
			q.Suspect() // its record is lost: Recover finds its file, and drops the message
			return RetryAfter(orphanAge)
		}
		return RetryAfter(time.Second)
	case isAway(err):
		q.Log.Debug("a job waits for the broker", "job", key, "error", err)
		return RetryAfter(time.Second)
	case err != nil:
		q.Log.Warn("a job waits", "job", key, "error", err)
		return RetryAfter(5 * time.Second)
	case r.State.ended():
		if err := q.announce(ctx, r.Job, time.Time{}, false); err != nil {
			return RetryAfter(time.Second)
		}
		q.discard(ctx, r.Job, r.Drops...)
		return Done()
	case r.stage() != p.Stage:
		if err := q.enqueueAgain(ctx, r.Job); err != nil {
			return RetryAfter(time.Second)
		}
		return Done()
	}
	if p.Stage.uploads() && (q.suspect.Load() || q.recovering.Load()) {
		return RetryAfter(5 * time.Second)
	}
	if r.cutOff() {
		if s, settled := q.cutOff(ctx, t); settled {
			return s
		}
	}
	return q.handle(ctx, p, t)
}

// maxCrashes is how often the work on a file may bring the program down before it is given up: not so few that restarts which
// have other reasons fail a file that takes long to upload.
const maxCrashes = 5

// cutOff deals with a job whose last call nobody saw the end of.
func (q *Queue) cutOff(ctx context.Context, t *Task) (Settlement, bool) {
	_, lived := q.letGo.LoadAndDelete(t.Key) // this process did; only the broker was out of reach
	if lived || q.conn.missedLately() {      // and so it may have been for another one, which cannot be asked
		if t.Apply(ctx, Unanswered{}) != nil {
			if lived {
				q.letGo.Store(t.Key, true)
			}
			return RetryAfter(time.Second), true
		}
		return Settlement{}, false
	}
	if err := t.Apply(ctx, Crashed{}); err != nil {
		return RetryAfter(time.Second), true
	}
	q.Log.Info("the work on a file was cut off, and goes on", "file", t.Drops[0].URI, "times", t.Crashes)
	switch {
	case t.Crashes >= maxCrashes:
		return Reject(Fault{Reason: Crash, Message: fmt.Sprintf("the program has gone down %d times while it had this file in work", t.Crashes)}), true
	case t.Crashes > 1: // others that were in hand then are not to be so again when the one to blame is
		return RetryAfter(rand.N(time.Duration(t.Crashes) * 30 * time.Second)), true
	}
	return Settlement{}, false
}

// handle has the handler do the next step. A panic in it would be met again and again: the job is handed out again.
func (q *Queue) handle(ctx context.Context, p Pool, t *Task) (s Settlement) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		q.Log.Error("work on a file has panicked", "file", t.Drops[0].URI, "job", t.Key, "panic", v, "stack", string(debug.Stack()))
		s = RetryAfter(time.Second)
		if err := t.Apply(ctx, Crashed{}); err == nil && t.Crashes >= maxCrashes {
			s = Reject(Fault{Reason: Crash, Message: fmt.Sprintf("working on it has panicked: %v", v)})
		}
	}()
	return p.Handle(ctx, t)
}

// settle makes the settlement durable, and then acknowledges. A crash anywhere in it hands the job out again, and
// the record says what is still to be done.
func (q *Queue) settle(ctx context.Context, t *Task, msg jetstream.Msg, s Settlement) error {
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		return errLeaseLost // the broker takes a word from anybody, and by now somebody else may have the job
	}
	var err error
	now := time.Now().UTC()
	switch s.kind {
	case done:
	case retryAfter:
		return msg.NakWithDelay(s.delay)
	case handOver:
		if t.State != Uploaded {
			err = t.Apply(ctx, Taken{At: now})
		}
		if err == nil {
			err = q.enqueue(ctx, t.Job)
		}
	case conclude:
		err = q.end(ctx, t, Concluded{Judgement: s.judgement, At: now}, s.notYet)
	case pass:
		err = q.send(ctx, t, Passed{By: s.by, To: s.to, Looked: t.looked})
	case offer:
		err = q.send(ctx, t, Offered{})
	case reject:
		err = q.end(ctx, t, GaveUp{Fault: s.fault, Looked: t.looked, At: now}, time.Time{})
	default:
		err = errors.New("the handler gave no settlement")
	}
	if err != nil {
		if !errors.Is(context.Cause(ctx), errLeaseLost) {
			_ = msg.NakWithDelay(unsettledDelay(err))
		}
		return err
	}
	if err := q.ack(ctx, msg); err != nil || s.kind == handOver || s.kind == conclude {
		return err
	}
	return q.mend(ctx, JobKey(lastToken(msg.Subject())))
}

// unsettledDelay is how long a job waits whose settlement could not be written. A broker that is full or refuses will do so
// for a while, and each try may cost a call to the platform.
func unsettledDelay(err error) time.Duration {
	if errors.Is(err, ErrFull) || !isTransient(err) && !errors.Is(err, ErrConflict) {
		return time.Minute
	}
	return time.Second
}

// mend puts a job back on its queue whose message we have just acknowledged because there was nothing to do with it there, if
// somebody took it up meanwhile and found that message in the way of a new one.
func (q *Queue) mend(ctx context.Context, key JobKey) error {
	r, err := q.load(ctx, key)
	if errors.Is(err, errNoJob) || err == nil && r.State.ended() {
		return nil
	}
	if err != nil {
		return err
	}
	return q.enqueueAgain(ctx, r.Job) // mostly it is there
}

// send has the job's message go to another queue by an event.
func (q *Queue) send(ctx context.Context, t *Task, e Event) error {
	if err := t.Apply(ctx, e); err != nil {
		return err
	}
	return q.enqueue(ctx, t.Job)
}

// end ends the job: its record, then its messages, then the bytes that were staged for it. notYet is when there was no result;
// zero: that is not known.
func (q *Queue) end(ctx context.Context, t *Task, e Event, notYet time.Time) error {
	if err := t.Apply(ctx, e); err != nil {
		return err
	}
	if err := q.announce(ctx, t.Job, notYet, true); err != nil {
		return err
	}
	q.discard(ctx, t.Job, t.Drops...)
	return nil
}

// ack acknowledges and waits until the broker has taken note. One that has forgotten that it handed the job out takes no
// note: it hands it out again.
func (q *Queue) ack(ctx context.Context, msg jetstream.Msg) error {
	q.Step("before ack")
	defer q.Step("after ack")
	for began := time.Now(); ; {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := msg.DoubleAck(once)
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, nats.ErrConnectionClosed) || time.Since(began) > ackTime {
			return err
		}
		q.conn.miss()
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// ackTime is how long an acknowledgement is repeated that the broker does not answer: about what replicas need to choose another
// leader.
const ackTime = 8 * time.Second
