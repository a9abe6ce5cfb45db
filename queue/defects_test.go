package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// Each test here showed a defect when it was written.

// A job fails; before its message is acknowledged, another file with the same content takes the job up again. The
// message that is there belongs to the failure, and the acknowledgement takes it away.
func TestARetryJustBeforeTheAcknowledgementIsNotLost(t *testing.T) {
	t.Parallel()
	for _, stage := range []queue.Stage{queue.Upload, queue.Await} {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			first, second := submission("same", "/in/first.mp4"), submission("same", "/in/second.mp4")
			var once sync.Once
			early := make(chan error, 1)
			hooked := openQueue(t, s.conn, step(func(point string) {
				if point == "before ack" && jobOf(t, s.Queue, first).State == queue.Failed {
					once.Do(func() {
						_, err := s.Submit(deadline(t), second)
						early <- err
					})
				}
			}))
			submit(t, s.Queue, first, queue.AcceptedNew)
			stops := []func(){rejectAll(t, hooked, stage, queue.Timeout)}
			if stage == queue.Await {
				stops = append(stops, working(t, hooked, queue.Upload, uploaded))
			}
			awaitAnswer(t, s.Queue, first.Drop.ID, "failure timeout")
			refused := <-early != nil
			for _, stop := range stops {
				stop()
			}
			if refused {
				persist(t, s.Queue, second)
			}
			judgeAll(t, s.Queue)
			await(t, "the second file has an answer", func() bool { return len(answersTo(t, s.Queue, second.Drop.ID)) > 0 })
		})
	}
}

// A message that is handed out again for a failed job is acknowledged after the announcement; the same race.
func TestARetryDuringTheSecondAnnouncementIsNotLost(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first, second := submission("same", "/in/first.mp4"), submission("same", "/in/second.mp4")
	failed := newJob(first)
	failed.State, failed.Stopped, failed.EndedAt, failed.Fault = queue.Failed, queue.Queued, t1, &queue.Fault{Reason: queue.Changed}
	if _, err := queue.Store(s.Queue, deadline(t), failed, 0); err != nil {
		t.Fatal(err)
	}
	if err := queue.Enqueue(s.Queue, deadline(t), queue.Upload, failed.Key); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	early := make(chan error, 1)
	hooked := openQueue(t, s.conn, step(func(point string) {
		if strings.HasPrefix(point, "after failures.") {
			once.Do(func() {
				_, err := s.Submit(deadline(t), second)
				early <- err
			})
		}
	}))
	working(t, hooked, queue.Upload, uploaded)
	working(t, hooked, queue.Await, always(queue.Conclude(judgement())))
	if <-early != nil {
		persist(t, s.Queue, second)
	}
	await(t, "the second file has an answer", func() bool { return len(answersTo(t, s.Queue, second.Drop.ID)) > 0 })
}

// The upload queue is at its cap. An upload ends, and its entry can go only when the await entry is there.
func TestAFullQueueDoesNotStopWhatIsOnIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	setMaxBytes(t, s.Queue, "authenta-jobs", 1000)
	var accepted []queue.Submission
	for i := range 100 {
		sub := submission(fmt.Sprint(i), fmt.Sprintf("/in/%d.mp4", i))
		if _, err := s.Submit(deadline(t), sub); err != nil {
			if !errors.Is(err, queue.ErrFull) {
				t.Fatal(err)
			}
			break
		}
		accepted = append(accepted, sub)
	}
	judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs(accepted), "verdict fake")
}

// The ledger is full of verdicts that answer for a month.
func TestAFullLedgerDoesNotStopWhatIsInWork(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", 40_000)
	judgeAll(t, s.Queue)
	var accepted []queue.Submission
	for i := range 1000 {
		sub := submission(fmt.Sprint(i), fmt.Sprintf("/in/%d.mp4", i))
		if _, err := s.Submit(deadline(t), sub); err != nil {
			if !errors.Is(err, queue.ErrFull) {
				t.Fatal(err)
			}
			break
		}
		accepted = append(accepted, sub)
		await(t, "few are in work at a time", func() bool {
			d, err := s.Depths(deadline(t))
			return err == nil && d.Upload+d.Await < 3
		})
	}
	awaitAnswers(t, s.Queue, dropIDs(accepted), "verdict fake")
}

// A file cannot be read; while that is found out, an equal file joins, which can.
func TestADropThatJoinsAJobWhoseFileIsUnreadableIsNotFailedWithIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	gone, there := submission("same", "/in/gone.mp4"), submission("same", "/in/there.mp4")
	hook, arm := joinOn(t, s, gone)
	hooked := openQueue(t, s.conn, step(hook))
	submit(t, s.Queue, gone, queue.AcceptedNew)
	arm(func() { submit(t, s.Queue, there, queue.AcceptedJoined) })
	working(t, hooked, queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		for _, d := range task.Drops {
			if d.ID == there.Drop.ID {
				return uploaded(ctx, task)
			}
		}
		return queue.Reject(queue.Fault{Reason: queue.Unreadable, Message: "gone"})
	})
	working(t, hooked, queue.Await, always(queue.Conclude(judgement())))
	awaitAnswer(t, s.Queue, there.Drop.ID, "verdict fake")
}

// The verdict is in the record and not on the stream when everything stops, for longer than verdicts answer.
func TestAVerdictNotYetAnnouncedDoesNotExpire(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(o *queue.Options) { o.ResultTTL = time.Second })
	a := submission("a", "/in/a.mp4")
	j := judgement()
	judged := newJob(a)
	judged.State, judged.Judgement, judged.EndedAt = queue.Judged, &j, time.Now().UTC()
	if _, err := queue.Store(s.Queue, deadline(t), judged, 0); err != nil {
		t.Fatal(err)
	}
	if err := queue.Enqueue(s.Queue, deadline(t), queue.Await, judged.Key); err != nil {
		t.Fatal(err)
	}
	becomes(1500*time.Millisecond, func() bool { // the daemon is down
		_, err := queue.Load(s.Queue, deadline(t), judged.Key)
		return errors.Is(err, queue.ErrNoJob)
	})
	working(t, s.Queue, queue.Await, always(queue.Done()))
	await(t, "the verdict is announced", func() bool { return len(answersTo(t, s.Queue, a.Drop.ID)) > 0 })
}

func TestATaskStaysWholeWhenTheLedgerCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	task := queue.NewTask(s.Queue, jobOf(t, s.Queue, a))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := task.Apply(ctx, queue.CreateStarted{Name: "n", At: t1}); err == nil {
		t.Fatal("applied without a context")
	}
	if task.Key != keyOf(a) || len(task.Drops) != 1 || task.Revision() == 0 {
		t.Errorf("the task is %s", pretty(t, task.Job))
	}
	if err := task.Apply(deadline(t), queue.CreateStarted{Name: "n", At: t1}); err != nil {
		t.Error(err)
	}
}

// The worker gets no answer to its signs of life, and lets go. By then somebody else may have the job: the broker
// takes a NAK from whoever sends it, and would hand the job out a third time.
func TestAWorkerThatLostTheJobSaysNothingMoreAboutIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	submit(t, s.Queue, submission("a", "/in/a.mp4"), queue.AcceptedNew)
	msg := &altered{Msg: take(t, s.Queue, queue.Upload), reply: "nobody.listens"}
	queue.Deliver(s.Queue, context.Background(), queue.Pool{Stage: queue.Upload, Handle: func(ctx context.Context, _ *queue.Task) queue.Settlement {
		<-ctx.Done()
		return queue.RetryAfter(0)
	}}, msg)
	if said := msg.heard(); len(said) > 0 {
		t.Errorf("said %v", said)
	}
}

func TestAModelThatIsNoTokenIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, model := range []queue.Model{"", "DF 1", "DF.1", "*", ">"} {
		sub := submission("a", "/in/a.mp4")
		sub.Model = model
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		if got, err := s.Submit(ctx, sub); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("model %q: %q, %v", model, got, err)
		}
		cancel()
	}
}

// Drops with long names fill a record up to what a message may be; the verdict must still fit.
func TestARecordWithLongNamesHasRoomForItsVerdict(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	long := strings.Repeat("/"+strings.Repeat("%E0%A4%85", 80), 16) // 3.9 kB of Devanagari, as a URI has them
	var accepted []queue.Submission
	for i := range queue.MaxDrops {
		sub := submission("same", fmt.Sprintf("%s/%d.mp4", long, i))
		sub.Drop.Meta = meta("pad", "")
		if _, err := s.Submit(deadline(t), sub); err != nil {
			break
		}
		accepted = append(accepted, sub)
	}
	t.Logf("%d drops", len(accepted))
	working(t, s.Queue, queue.Upload, uploaded)
	large := judgement()
	for i := range 20 {
		large.Participants = append(large.Participants, queue.Participant{ID: i, Heatmap: "https://storage.example/" + strings.Repeat("h", 1500)})
	}
	working(t, s.Queue, queue.Await, always(queue.Conclude(large)))
	awaitAnswer(t, s.Queue, accepted[0].Drop.ID, "verdict fake")
}

func TestARecordThatIsNoJobIsSaidToBeDamaged(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	for _, data := range []string{
		`null`, `{}`, `{"state":"judged"}`, `{"state":"failed"}`, `{"state":"dancing"}`,
		fmt.Sprintf(`{"key":%q,"state":"judged","drops":[{"id":"x"}]}`, keyOf(a)),
		`{"key":"another","state":"queued","drops":[]}`,
	} {
		if _, err := s.conn.Request(queue.RecordSubject(s.Queue, keyOf(a)), []byte(data), patience); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: panic: %v", data, p)
				}
			}()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if got, err := s.Submit(ctx, a); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("%s: %q, %v", data, got, err)
			}
		}()
	}
}

func TestAResultTTLBelowWhatTheBrokerCanIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, ttl := range []time.Duration{400 * time.Millisecond, -time.Hour} {
		if _, err := queue.Open(deadline(t), s.conn, queue.Options{ResultTTL: ttl, Log: quiet, Namespace: "other"}); err == nil || !strings.Contains(err.Error(), "INGEST_RESULT_TTL") {
			t.Errorf("%s: %v", ttl, err)
		}
	}
}

// A file's failure is on its stream. The watcher has crashed before it knew, and submits the file again when the job
// is in work again for another file, or has ended differently for it.
func TestADropThatHasItsFailureGetsNoVerdictToo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		judged bool // before the file comes again
	}{
		{"in work again", false},
		{"judged since", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			a, b := submission("same", "/in/a.mp4"), submission("same", "/in/b.mp4")
			submit(t, s.Queue, a, queue.AcceptedNew)
			stop := rejectAll(t, s.Queue, queue.Upload, queue.Changed)
			awaitAnswer(t, s.Queue, a.Drop.ID, "failure changed")
			wantDepths(t, s.Queue, queue.Depths{})
			stop()
			submit(t, s.Queue, b, queue.AcceptedNew)
			if !c.judged {
				submit(t, s.Queue, a, queue.AcceptedAnswered)
			}
			judgeAll(t, s.Queue)
			awaitAnswer(t, s.Queue, b.Drop.ID, "verdict fake")
			wantDepths(t, s.Queue, queue.Depths{})
			if c.judged {
				submit(t, s.Queue, a, queue.AcceptedAnswered)
			}
			awaitAnswer(t, s.Queue, a.Drop.ID, "failure changed")
		})
	}
}

// The drops that wait fill the record to its bound. What the job needs on its way has to fit in all the same.
func TestARecordFilledByDropsStillMovesOn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first := submission("same", "/in/first.mp4")
	submit(t, s.Queue, first, queue.AcceptedNew)
	for i, pad := 0, 64<<10; pad > 0; i++ {
		sub := submission("same", fmt.Sprintf("/in/%d.mp4", i))
		sub.Drop.Meta = meta("pad", strings.Repeat("x", pad))
		switch _, err := s.Submit(deadline(t), sub); {
		case errors.Is(err, queue.ErrCrowded):
			pad /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, first.Drop.ID, "verdict fake")
}

// A file is found altered while its upload ends; the same write that notes that shows that another copy has joined.
func TestADropThatJoinsBetweenTheLookAndTheSettlementIsNotFailedWithIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	bad, good := submission("same", "/in/bad.mp4"), submission("same", "/in/good.mp4")
	hook, arm := joinOn(t, s, bad)
	hooked := openQueue(t, s.conn, step(hook))
	submit(t, s.Queue, bad, queue.AcceptedNew)
	working(t, hooked, queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		if len(task.Drops) > 1 {
			return uploaded(ctx, task)
		}
		uploaded(ctx, task)
		arm(func() { submit(t, s.Queue, good, queue.AcceptedJoined) })
		if err := task.Apply(ctx, queue.Abandoned{}); err != nil {
			t.Error(err)
		}
		return queue.Reject(queue.Fault{Reason: queue.Changed})
	})
	working(t, hooked, queue.Await, always(queue.Conclude(judgement())))
	awaitAnswer(t, s.Queue, good.Drop.ID, "verdict fake")
}

// A submitter that was slow after it had joined queues the job once more, after it has failed. That message is in a
// worker's hands, who has read the failure, when another file takes the job up again.
func TestARetryBesideALateMessageIsNotLost(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first, second := submission("same", "/in/first.mp4"), submission("same", "/in/second.mp4")
	failed := newJob(first)
	failed.State, failed.Stopped, failed.EndedAt, failed.Fault = queue.Failed, queue.Queued, time.Now().UTC(), &queue.Fault{Reason: queue.Changed}
	if _, err := queue.Store(s.Queue, deadline(t), failed, 0); err != nil {
		t.Fatal(err)
	}
	read, submitted := make(chan struct{}), make(chan struct{})
	var onceRead sync.Once
	worker := openQueue(t, s.conn, step(func(point string) {
		if point == "before ack" {
			onceRead.Do(func() {
				close(read)
				<-submitted
			})
		}
	}))
	var onceLate sync.Once
	submitter := openQueue(t, s.conn, step(func(point string) {
		if point == "before "+queue.RecordSubject(s.Queue, keyOf(first)) {
			onceLate.Do(func() {
				if err := queue.Enqueue(s.Queue, deadline(t), queue.Upload, keyOf(first)); err != nil {
					t.Error(err)
				}
				<-read
			})
		}
	}))
	working(t, worker, queue.Upload, uploaded)
	working(t, worker, queue.Await, always(queue.Conclude(judgement())))
	_, err := submitter.Submit(deadline(t), second)
	close(submitted)
	if err != nil {
		persist(t, submitter, second)
	}
	await(t, "the second file has an answer", func() bool { return len(answersTo(t, s.Queue, second.Drop.ID)) > 0 })
}

// What a drop brings along is somebody else's word. A record that takes it has to take the verdict as well.
func TestADropTooLargeForItsVerdictIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	for pad := 1 << 20; ; pad -= 200 { // the largest that is taken
		a.Drop.Meta = meta("pad", strings.Repeat("x", pad))
		ctx, cancel := context.WithTimeout(context.Background(), patience/3)
		_, err := s.Submit(ctx, a)
		cancel()
		if err == nil {
			break
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("not refused at once: %v", err)
		}
		if pad < 1<<19 {
			return
		}
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
}

// The disk is full. Each try to write a result down costs a call to the platform: there must not be one a second.
func TestAResultThatCannotBeWrittenIsNotAskedForAllTheTime(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	submit(t, s.Queue, submission("a", "/in/a.mp4"), queue.AcceptedNew)
	working(t, s.Queue, queue.Upload, uploaded)
	wantDepths(t, s.Queue, queue.Depths{Await: 1})
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", 1000)
	var asked atomic.Int32
	working(t, s.Queue, queue.Await, func(context.Context, *queue.Task) queue.Settlement {
		asked.Add(1)
		return queue.Conclude(judgement())
	})
	becomes(4500*time.Millisecond, func() bool { return asked.Load() > 2 })
	if n := asked.Load(); n > 2 {
		t.Errorf("the platform was asked %d times", n)
	}
}

// A message is left whose record is gone. While it is dropped, the content comes again.
func TestASubmitBesideADroppedMessageIsNotLost(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	if err := queue.Enqueue(s.Queue, deadline(t), queue.Upload, keyOf(a)); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	worker := openQueue(t, s.conn, step(func(point string) {
		if point == "before drop" {
			once.Do(func() { submit(t, s.Queue, a, queue.AcceptedNew) })
		}
	}))
	if _, err := worker.Recover(deadline(t)); err != nil {
		t.Fatal(err)
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
}

// Whoever asks whether there is anything left to do must not be told no because the last job came just now.
func TestDepthsCountWhatWasAcceptedBefore(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 300 {
		submit(t, s.Queue, submission(fmt.Sprint(i), "/in/a.mp4"), queue.AcceptedNew)
		if d, err := s.Depths(deadline(t)); err != nil || d.Upload != i+1 {
			t.Fatalf("after %d: %+v, %v", i+1, d, err)
		}
	}
}

// In a record, a < takes six bytes. As many drops join as it has room for, and the next is told so, before the broker has to refuse
// a message that is too large for it.
func TestARecordIsFullBeforeItIsTooLargeForAMessage(t *testing.T) {
	t.Parallel()
	q := openQueue(t, dial(t, newExternal(t).url(""))) // the embedded server takes larger messages than others do
	joined, err := 0, error(nil)
	for ; joined < queue.MaxDrops && err == nil; joined++ {
		sub := submission("a", fmt.Sprintf("/in/%d%s.mp4", joined, strings.Repeat("&", 4000)))
		sub.Drop.Name = strings.Repeat("<", 1000)
		_, err = q.Submit(deadline(t), sub)
	}
	if !errors.Is(err, queue.ErrCrowded) || joined < 10 {
		t.Errorf("drop %d: %v, want %v", joined, err, queue.ErrCrowded)
	}
}
