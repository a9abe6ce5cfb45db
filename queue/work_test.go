package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

func TestHandOverMovesTheJobToTheAwaitQueue(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	working(t, s.Queue, queue.Upload, uploaded)
	wantDepths(t, s.Queue, queue.Depths{Await: 1})
	job := jobOf(t, s.Queue, a)
	if job.State != queue.Uploaded || job.MediaID != "mid-1" || job.UploadedAt.IsZero() || job.UploadURL != "" || !job.Sending.IsZero() {
		t.Errorf("record %s", pretty(t, job.Job))
	}
	queued := messages(t, s.Queue, "jobs")
	if len(queued) != 1 || queued[0].Subject != queue.JobSubject(s.Queue, queue.Await, keyOf(a)) {
		t.Errorf("on the stream: %v", queued)
	}
}

func TestConcludeEndsTheJobWithAVerdictUnderTheDropsID(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	a.Drop.Meta = queue.Meta{"case": json.RawMessage(`7`)}
	submit(t, s.Queue, a, queue.AcceptedNew)
	judgeAll(t, s.Queue)
	wantDepths(t, s.Queue, queue.Depths{Upload: 0, Await: 0})
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	all := terminals(t, s.Queue)
	if len(all) != 1 || all[0].subject != "authenta.verdicts.DF-1.fake" {
		t.Fatalf("terminal messages %v", all)
	}
	job, v := jobOf(t, s.Queue, a), decode[queue.Verdict](t, all[0].data)
	if job.State != queue.Judged || v.ID != a.Drop.ID || string(v.Meta["case"]) != "7" || !v.JudgedAt.Equal(job.EndedAt) ||
		v.MediaID != "mid-1" || v.Outcome != queue.Fake || !v.UploadedAt.Equal(job.UploadedAt) {
		t.Errorf("record %s\nverdict %s", pretty(t, job.Job), pretty(t, v))
	}
}

func TestRejectEndsTheJobWithAFailureUnderTheDropsID(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	working(t, s.Queue, queue.Upload, always(queue.Reject(queue.Fault{Reason: queue.Rejected, Code: "U001", Message: "no"})))
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
	wantDepths(t, s.Queue, queue.Depths{})
	all := terminals(t, s.Queue)
	if len(all) != 1 || all[0].subject != "authenta.failures.DF-1.rejected" {
		t.Fatalf("terminal messages %v", all)
	}
	job, f := jobOf(t, s.Queue, a), decode[queue.Failure](t, all[0].data)
	if job.State != queue.Failed || job.Stopped != queue.Queued || f.Code != "U001" || f.Message != "no" || f.Retryable || !f.FailedAt.Equal(job.EndedAt) {
		t.Errorf("record %s\nfailure %s", pretty(t, job.Job), pretty(t, f))
	}
}

func TestDoneTakesTheJobOffTheQueueAndSaysNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	before := jobOf(t, s.Queue, a)
	working(t, s.Queue, queue.Upload, always(queue.Done()))
	wantDepths(t, s.Queue, queue.Depths{})
	if after := jobOf(t, s.Queue, a); after.Revision() != before.Revision() {
		t.Errorf("record %s", pretty(t, after.Job))
	}
	if all := terminals(t, s.Queue); len(all) != 0 {
		t.Errorf("terminal messages %v", all)
	}
}

func TestRetryAfterIsNotEarlyAndCostsNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	before := jobOf(t, s.Queue, a)
	const delay = 300 * time.Millisecond
	handed := make(chan time.Time, 100)
	working(t, s.Queue, queue.Upload, func(context.Context, *queue.Task) queue.Settlement {
		handed <- time.Now()
		return queue.RetryAfter(delay)
	})
	last := <-handed
	for range 3 {
		wantDepths(t, s.Queue, queue.Depths{Upload: 1}) // what waits counts
		next := <-handed
		if waited := next.Sub(last); waited < delay {
			t.Errorf("handed out again after %s, want no less than %s", waited, delay)
		}
		last = next
	}
	if after := jobOf(t, s.Queue, a); after.Revision() != before.Revision() {
		t.Errorf("the record was written: %s", pretty(t, after.Job))
	}
}

// A hundred thousand jobs that wait for their next poll must not all be polled when the daemon starts again.
func TestRetryAfterIsNotEarlyAcrossARestart(t *testing.T) {
	t.Parallel()
	const delay = 2500 * time.Millisecond
	const grain = time.Second // what the broker's file says of a delivery's time
	dir := t.TempDir()
	s := openStore(t, dir)
	setAckWait(t, s.Queue, 500*time.Millisecond)
	submit(t, s.Queue, submission("a", "/in/a.mp4"), queue.AcceptedNew)
	first := make(chan time.Time, 1)
	stop := working(t, s.Queue, queue.Upload, func(context.Context, *queue.Task) queue.Settlement {
		first <- time.Now()
		return queue.RetryAfter(delay)
	})
	handed := <-first
	stop()
	s.close()

	s = openStore(t, dir)
	setAckWait(t, s.Queue, 500*time.Millisecond)
	again := make(chan time.Duration, 1)
	working(t, s.Queue, queue.Upload, func(context.Context, *queue.Task) queue.Settlement {
		again <- time.Since(handed)
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	})
	select {
	case waited := <-again:
		if waited < delay-grain {
			t.Errorf("handed out again after %s, want no less than %s", waited, delay-grain)
		}
	case <-time.After(patience):
		t.Error("not handed out again")
	}
}

func TestRetryAfterNothingOrLessIsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	submit(t, s.Queue, submission("a", "/in/a.mp4"), queue.AcceptedNew)
	var times atomic.Int32
	working(t, s.Queue, queue.Upload, func(context.Context, *queue.Task) queue.Settlement {
		return queue.RetryAfter(-time.Duration(times.Add(1)%2) * time.Second)
	})
	await(t, "the job is handed out again and again", func() bool { return times.Load() > 5 })
}

func TestAHandlerThatForgetsToSettleLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	var times atomic.Int32
	working(t, s.Queue, queue.Upload, func(context.Context, *queue.Task) queue.Settlement {
		if times.Add(1) == 1 {
			return queue.Settlement{}
		}
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	})
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
}

func TestASettlementThatDoesNotFitTheStateLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	var times atomic.Int32
	working(t, s.Queue, queue.Upload, func(context.Context, *queue.Task) queue.Settlement {
		if times.Add(1) == 1 {
			return queue.Conclude(judgement()) // nothing was uploaded
		}
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	})
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
}

func TestWorkTakesNoMoreJobsThanItHasSlots(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const jobs, slots = 12, 3
	for i := range jobs {
		submit(t, s.Queue, submission(fmt.Sprint(i), "/in/a.mp4"), queue.AcceptedNew)
	}
	var now, most, all atomic.Int32
	full := make(chan struct{})
	pooling(t, s.Queue, queue.Pool{Stage: queue.Upload, Slots: slots, Handle: func(ctx context.Context, task *queue.Task) queue.Settlement {
		n := now.Add(1)
		defer now.Add(-1)
		for most.Load() < n && !most.CompareAndSwap(most.Load(), n) {
		}
		if all.Add(1) == slots {
			close(full)
		}
		<-full // all slots are in use at a time
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	}})
	wantDepths(t, s.Queue, queue.Depths{})
	if most.Load() != slots || all.Load() != jobs {
		t.Errorf("%d at a time, %d in all; want %d and %d", most.Load(), all.Load(), slots, jobs)
	}
}

func TestNoJobIsTakenWhileNoneIsWanted(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	open, asked := make(chan struct{}), make(chan struct{})
	var handed atomic.Bool
	var once sync.Once
	stop := pooling(t, s.Queue, queue.Pool{
		Stage: queue.Upload,
		Ready: func(ctx context.Context) error {
			once.Do(func() { close(asked) })
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-open:
				return nil
			}
		},
		Handle: func(context.Context, *queue.Task) queue.Settlement {
			handed.Store(true)
			return queue.Reject(queue.Fault{Reason: queue.Rejected})
		},
	})
	<-asked
	wantUndelivered(t, s.Queue)
	if handed.Load() {
		t.Error("handed out")
	}
	close(open)
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
	stop()
}

func TestWorkEndsWhenTheJobsInHandAreSettled(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("a", "/in/a.mp4"), submission("b", "/in/b.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	started, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- s.Work(ctx, queue.Pool{
			Stage: queue.Upload, Slots: 2, Grace: patience, Ready: context.Context.Err,
			Handle: func(ctx context.Context, _ *queue.Task) queue.Settlement {
				close(started)
				<-release
				if ctx.Err() != nil {
					t.Errorf("cut short: %v", context.Cause(ctx))
				}
				return queue.Reject(queue.Fault{Reason: queue.Rejected})
			},
		})
	}()
	<-started
	cancel()
	submit(t, s.Queue, b, queue.AcceptedNew) // too late to be taken
	select {
	case err := <-ended:
		t.Fatalf("ended with a job in hand: %v", err)
	default:
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
}

func TestWorkCutsTheJobsInHandShortAfterTheGrace(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	started, cause := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	const grace = 100 * time.Millisecond
	go func() {
		ended <- s.Work(ctx, queue.Pool{
			Stage: queue.Upload, Slots: 1, Grace: grace, Ready: context.Context.Err,
			Handle: func(ctx context.Context, _ *queue.Task) queue.Settlement {
				close(started)
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return queue.RetryAfter(0)
			},
		})
	}()
	<-started
	stopped := time.Now()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-cause; !errors.Is(err, queue.ErrDrained) {
		t.Errorf("cause %v", err)
	}
	if took := time.Since(stopped); took < grace {
		t.Errorf("cut after %s, the grace is %s", took, grace)
	}
	judgeAll(t, s.Queue) // the job was given back at once
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
}

// A drained handler may find that the platform has judged: if it is too late to write that down, the job must be
// handed out again.
func TestAVerdictThatComesAfterTheGraceIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	working(t, s.Queue, queue.Upload, uploaded)
	wantDepths(t, s.Queue, queue.Depths{Await: 1})
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Work(ctx, queue.Pool{
		Stage: queue.Await, Slots: 1, Ready: context.Context.Err,
		Handle: func(ctx context.Context, _ *queue.Task) queue.Settlement {
			cancel()
			<-ctx.Done()
			return queue.Conclude(judgement())
		},
	})
	if err != nil {
		t.Error(err)
	}
	working(t, s.Queue, queue.Await, always(queue.Conclude(judgement())))
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
}

func TestAJobInHandIsNotHandledTwiceAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	setAckWait(t, s.Queue, 500*time.Millisecond)
	msg := take(t, s.Queue, queue.Upload)
	inHand, release := make(chan struct{}), make(chan struct{})
	var times atomic.Int32
	pool := queue.Pool{Stage: queue.Upload, Handle: func(context.Context, *queue.Task) queue.Settlement {
		times.Add(1)
		close(inHand)
		<-release
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	}}
	var wg sync.WaitGroup
	wg.Go(func() { queue.Deliver(s.Queue, context.Background(), pool, msg) })
	<-inHand
	queue.Deliver(s.Queue, context.Background(), pool, take(t, s.Queue, queue.Upload)) // handed out again
	close(release)
	wg.Wait()
	if times.Load() != 1 {
		t.Errorf("handled %d times", times.Load())
	}
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
	wantDepths(t, s.Queue, queue.Depths{})
}

// After the broker's clock was set back, what was put off would be for as much longer.
func TestRedeliverHandsOutWhatWasPutOffAndLeavesWhatIsInHandAlone(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	off, held := submission("off", "/in/off.mp4"), submission("held", "/in/held.mp4")
	submit(t, s.Queue, off, queue.AcceptedNew)
	submit(t, s.Queue, held, queue.AcceptedNew)
	setAckWait(t, s.Queue, time.Second)
	inHand, release := make(chan struct{}), make(chan struct{})
	var putOff, handled atomic.Int32
	handle := func(_ context.Context, task *queue.Task) queue.Settlement {
		if task.Key == keyOf(off) {
			if putOff.Add(1) == 1 {
				return queue.RetryAfter(time.Hour)
			}
			return queue.Reject(queue.Fault{Reason: queue.Rejected})
		}
		if handled.Add(1) == 1 {
			close(inHand)
			<-release
		}
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	}
	pooling(t, s.Queue, queue.Pool{Stage: queue.Upload, Slots: 2, Handle: handle})
	<-inHand
	await(t, "one is put off", func() bool { return putOff.Load() == 1 })
	if err := s.Redeliver(deadline(t)); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, s.Queue, off.Drop.ID, "failure rejected")
	close(release)
	awaitAnswer(t, s.Queue, held.Drop.ID, "failure rejected")
	wantDepths(t, s.Queue, queue.Depths{})
	if n := handled.Load(); n != 1 {
		t.Errorf("what was in hand was handled %d times", n)
	}
}

// The broker would hand it out again after six seconds; a sign of life is due every five.
func TestAJobInHandForLongIsNotHandedOutAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	setAckWait(t, s.Queue, 6*time.Second)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	working(t, s.Queue, queue.Upload, func(ctx context.Context, _ *queue.Task) queue.Settlement {
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
			t.Errorf("the job was let go of: %v", context.Cause(ctx))
		}
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	})
	c, err := queue.JetStreamOf(s.Queue).Consumer(deadline(t), "authenta-jobs", string(queue.Upload))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the job is settled", func() bool {
		info, err := c.Info(deadline(t))
		if err == nil && info.NumRedelivered > 0 {
			t.Fatal("handed out again while in hand")
		}
		return len(answersTo(t, s.Queue, a.Drop.ID)) > 0
	})
}

func TestAnEndedJobHandedOutAgainIsAnnouncedAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("a", "/in/a.mp4"), submission("b", "/in/b.mp4")
	judged, failed := newJob(a), newJob(b)
	j := judgement()
	judged.State, judged.Judgement, judged.EndedAt = queue.Judged, &j, t1
	failed.State, failed.Fault, failed.EndedAt, failed.Stopped = queue.Failed, &queue.Fault{Reason: queue.Rejected}, t1, queue.Queued
	for _, job := range []queue.Job{judged, failed} {
		if _, err := queue.Store(s.Queue, deadline(t), job, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, stage := range []queue.Stage{queue.Upload, queue.Await} {
		working(t, s.Queue, stage, func(context.Context, *queue.Task) queue.Settlement {
			t.Error("an ended job was handled")
			return queue.Done()
		})
	}
	for range 2 {
		for _, sub := range []queue.Submission{a, b} {
			if err := queue.Enqueue(s.Queue, deadline(t), queue.Await, keyOf(sub)); err != nil {
				t.Fatal(err)
			}
		}
		awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
		awaitAnswer(t, s.Queue, b.Drop.ID, "failure rejected")
		wantDepths(t, s.Queue, queue.Depths{})
	}
	if all := terminals(t, s.Queue); len(all) != 2 {
		t.Errorf("%d terminal messages; the broker knows the ids and keeps one each", len(all))
	}
}

func TestAJobOnTheWrongQueueIsPutOnTheRightOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("a", "/in/a.mp4"), submission("b", "/in/b.mp4")
	paid, unpaid := newJob(a), newJob(b)
	paid.State = queue.Uploaded
	for job, stage := range map[*queue.Job]queue.Stage{&paid: queue.Upload, &unpaid: queue.Await} {
		if _, err := queue.Store(s.Queue, deadline(t), *job, 0); err != nil {
			t.Fatal(err)
		}
		if err := queue.Enqueue(s.Queue, deadline(t), stage, job.Key); err != nil {
			t.Fatal(err)
		}
	}
	for stage, right := range map[queue.Stage]queue.JobKey{queue.Upload: unpaid.Key, queue.Await: paid.Key} {
		working(t, s.Queue, stage, func(_ context.Context, task *queue.Task) queue.Settlement {
			if task.Key != right {
				t.Errorf("job %s was handled on the %s queue", task.Key, stage)
			}
			return queue.Reject(queue.Fault{Reason: queue.Rejected})
		})
	}
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
	awaitAnswer(t, s.Queue, b.Drop.ID, "failure rejected")
	wantDepths(t, s.Queue, queue.Depths{})
}

func TestAMessageWaitsForItsRecord(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	if err := queue.Enqueue(s.Queue, deadline(t), queue.Upload, keyOf(a)); err != nil {
		t.Fatal(err)
	}
	working(t, s.Queue, queue.Upload, always(queue.Reject(queue.Fault{Reason: queue.Rejected})))
	wantDelivered(t, s.Queue)
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
	submit(t, s.Queue, a, queue.AcceptedNew)
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure rejected")
	wantDepths(t, s.Queue, queue.Depths{})
}

func TestAMessageWithoutARecordIsASignOfALossAndIsDroppedWhenThatIsLookedInto(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if err := queue.Enqueue(s.Queue, deadline(t), queue.Upload, keyOf(submission("a", "/in/a.mp4"))); err != nil {
		t.Fatal(err)
	}
	old := &altered{Msg: take(t, s.Queue, queue.Upload), age: queue.OrphanAge + time.Second}
	queue.Deliver(s.Queue, context.Background(), queue.Pool{Stage: queue.Upload}, old)
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
	if !s.Suspects() {
		t.Error("want it said that something is lost")
	}
	if _, err := s.Recover(deadline(t)); err != nil || s.Suspects() {
		t.Fatal(err, s.Suspects())
	}
	wantDepths(t, s.Queue, queue.Depths{})
}

// joinOn submits a drop at the first durable write to the job's record after it is armed.
func joinOn(t *testing.T, s *store, at queue.Submission) (hook func(string), arm func(func())) {
	var join atomic.Pointer[func()]
	return func(point string) {
			if point != "before "+queue.RecordSubject(s.Queue, keyOf(at)) {
				return
			}
			if f := join.Swap(nil); f != nil {
				(*f)()
			}
		}, func(f func()) {
			join.Store(&f)
		}
}

func TestADropThatJoinsWhileTheJobMovesOnIsAnsweredToo(t *testing.T) {
	t.Parallel()
	first := submission("same", "/in/first.mp4")
	for _, c := range []struct {
		name   string
		stage  queue.Stage
		settle queue.Settlement
		want   string
	}{
		{"hand over", queue.Upload, queue.HandOver(), "verdict fake"},
		{"conclude", queue.Await, queue.Conclude(judgement()), "verdict fake"},
		{"reject", queue.Await, queue.Reject(queue.Fault{Reason: queue.AnalysisFailed}), "failure analysis_failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			hook, arm := joinOn(t, s, first)
			hooked := openQueue(t, s.conn, step(hook))
			submit(t, s.Queue, first, queue.AcceptedNew)
			late := submission("same", "/in/late.mp4")
			join := func() { submit(t, s.Queue, late, queue.AcceptedJoined) }
			working(t, hooked, queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
				settlement := uploaded(ctx, task)
				if c.stage == queue.Upload {
					arm(join)
				}
				return settlement
			})
			working(t, hooked, queue.Await, func(context.Context, *queue.Task) queue.Settlement {
				if c.stage == queue.Await {
					arm(join)
					return c.settle
				}
				return queue.Conclude(judgement())
			})
			awaitAnswer(t, s.Queue, first.Drop.ID, c.want)
			awaitAnswer(t, s.Queue, late.Drop.ID, c.want)
			wantDepths(t, s.Queue, queue.Depths{})
		})
	}
}

// Two workers believe that a job is theirs: one moves it on, and the other must not.
func TestOfTwoWhoMoveAJobOnOneIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	r := jobOf(t, s.Queue, a)
	one, other := queue.NewTask(s.Queue, r), queue.NewTask(s.Queue, r)
	if err := one.Apply(deadline(t), queue.CreateStarted{Name: "n", At: t1}); err != nil {
		t.Fatal(err)
	}
	if err := other.Apply(deadline(t), queue.CreateStarted{Name: "n", At: t2}); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("error %v, want a conflict", err)
	}
	if job := jobOf(t, s.Queue, a); !job.Creating.Equal(t1) || one.Revision() != job.Revision() {
		t.Errorf("record %s", pretty(t, job.Job))
	}
}

func TestManyJobsThroughManySlots(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { submit(t, s.Queue, submission(fmt.Sprint(i), "/in/a.mp4"), queue.AcceptedNew) })
	}
	pooling(t, s.Queue, queue.Pool{Stage: queue.Upload, Slots: 8, Handle: uploaded})
	pooling(t, s.Queue, queue.Pool{Stage: queue.Await, Slots: 8, Handle: always(queue.Conclude(judgement()))})
	wg.Wait()
	await(t, "all are judged", func() bool { return verdicts(t, s.Queue) == n })
	wantDepths(t, s.Queue, queue.Depths{})
}

func TestSettlementsHaveNames(t *testing.T) {
	var got []string
	for _, s := range []queue.Settlement{
		queue.Done(), queue.RetryAfter(time.Second), queue.HandOver(), queue.Conclude(judgement()),
		queue.Reject(queue.Fault{Reason: queue.Timeout}), {},
	} {
		got = append(got, s.String())
	}
	if want := "done, retry after 1s, hand over, conclude fake, reject timeout, invalid"; strings.Join(got, ", ") != want {
		t.Errorf("%s", strings.Join(got, ", "))
	}
}

// take takes one message from a queue, as a worker does.
func take(t *testing.T, q *queue.Queue, stage queue.Stage) jetstream.Msg {
	t.Helper()
	c, err := queue.JetStreamOf(q).Consumer(deadline(t), string(q.Namespace)+"-jobs", string(stage))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next(jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// altered is a message that looks older, or that cannot reach the broker with signs of life.
type altered struct {
	jetstream.Msg
	age   time.Duration
	reply string

	mu   sync.Mutex
	said []string
}

func (m *altered) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.Msg.Metadata()
	if err != nil {
		return nil, err
	}
	older := *meta
	older.Timestamp = meta.Timestamp.Add(-m.age)
	return &older, nil
}

func (m *altered) Reply() string {
	if m.reply != "" {
		return m.reply
	}
	return m.Msg.Reply()
}

func (m *altered) NakWithDelay(d time.Duration) error {
	m.say("nak")
	return m.Msg.NakWithDelay(d)
}

func (m *altered) DoubleAck(ctx context.Context) error {
	m.say("ack")
	return m.Msg.DoubleAck(ctx)
}

func (m *altered) say(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, what)
}

// heard returns what was said about the message.
func (m *altered) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.said)
}

func uploadInfo(t *testing.T, q *queue.Queue) *jetstream.ConsumerInfo {
	t.Helper()
	c, err := queue.JetStreamOf(q).Consumer(deadline(t), string(q.Namespace)+"-jobs", string(queue.Upload))
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo()
}

// wantUndelivered demands that the upload queue has handed out nothing.
func wantUndelivered(t *testing.T, q *queue.Queue) {
	t.Helper()
	if info := uploadInfo(t, q); info.Delivered.Consumer != 0 {
		t.Errorf("%d deliveries", info.Delivered.Consumer)
	}
}

// wantDelivered waits until the upload queue has handed out something.
func wantDelivered(t *testing.T, q *queue.Queue) {
	t.Helper()
	await(t, "something is handed out", func() bool { return uploadInfo(t, q).Delivered.Consumer > 0 })
}
