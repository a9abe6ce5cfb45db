package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

func TestANewDropIsQueued(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	job := jobOf(t, s.Queue, a)
	if job.State != queue.Queued || len(job.Drops) != 1 || job.Drops[0].ID != a.Drop.ID || job.Key != keyOf(a) {
		t.Errorf("record %s", pretty(t, job.Job))
	}
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
	queued := messages(t, s.Queue, "jobs")
	if len(queued) != 1 || queued[0].Subject != queue.JobSubject(s.Queue, queue.Upload, keyOf(a)) {
		t.Errorf("queued %v", queued)
	}
}

func TestADropSubmittedTwiceIsOneJobAndOneMessage(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	before := jobOf(t, s.Queue, a)
	for range 3 {
		submit(t, s.Queue, a, queue.AcceptedJoined)
	}
	if after := jobOf(t, s.Queue, a); after.Revision() != before.Revision() {
		t.Errorf("the record was written again: %s", pretty(t, after.Job))
	}
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
}

func TestOneContentUnderTwoModelsIsTwoJobs(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.jpg")
	b := a
	b.Model, b.Drop.ID = "AC-1", queue.DropIDOf(a.Drop.URI, a.Drop.File, a.Digest, "AC-1")
	if a.Drop.ID == b.Drop.ID {
		t.Error("one drop id for two models")
	}
	submit(t, s.Queue, a, queue.AcceptedNew)
	submit(t, s.Queue, b, queue.AcceptedNew)
	wantDepths(t, s.Queue, queue.Depths{Upload: 2})
}

func TestEqualContentJoinsAndEachDropGetsItsOwnVerdict(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("same", "/in/a.mp4"), submission("same", "/in/b.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	submit(t, s.Queue, b, queue.AcceptedJoined)
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
	judgeAll(t, s.Queue)
	for _, d := range []queue.Drop{a.Drop, b.Drop} {
		awaitAnswer(t, s.Queue, d.ID, "verdict fake")
		if v := verdictFor(t, s.Queue, d.ID); v.ID != d.ID || v.URI != d.URI || v.Name != d.Name || v.Cached || v.Platform != platformURL {
			t.Errorf("verdict for %s: %s", d.URI, pretty(t, v))
		}
	}
	wantDepths(t, s.Queue, queue.Depths{})
}

func TestAVerdictAnswersTheSameContentAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("same", "/in/a.mp4"), submission("same", "/in/b.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	stop := judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	submit(t, s.Queue, b, queue.AcceptedAnswered)
	if v := verdictFor(t, s.Queue, b.Drop.ID); !v.Cached || v.MediaID != "mid-1" {
		t.Errorf("verdict %s: want it cached, of the same medium", pretty(t, v))
	}
	submit(t, s.Queue, a, queue.AcceptedAnswered) // its own verdict again, if a watcher has forgotten it
	for _, m := range terminals(t, s.Queue) {
		if m.id == a.Drop.ID && decode[queue.Verdict](t, m.data).Cached {
			t.Error("a drop's own verdict is said to be from before it")
		}
	}
	wantDepths(t, s.Queue, queue.Depths{})
}

func TestAFaultOfTheContentAnswersTheSameContentAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, reason := range []queue.Reason{queue.Unsupported, queue.Rejected, queue.TooLarge, queue.AnalysisFailed} {
		a, b := submission(string(reason), "/in/a.mp4"), submission(string(reason), "/in/b.mp4")
		submit(t, s.Queue, a, queue.AcceptedNew)
		stop := rejectAll(t, s.Queue, queue.Upload, reason)
		awaitAnswer(t, s.Queue, a.Drop.ID, "failure "+string(reason))
		wantDepths(t, s.Queue, queue.Depths{})
		stop()
		submit(t, s.Queue, b, queue.AcceptedAnswered)
		awaitAnswer(t, s.Queue, b.Drop.ID, "failure "+string(reason))
		wantDepths(t, s.Queue, queue.Depths{})
	}
}

func TestAFaultOfAnEarlierFileDoesNotStopTheSameContent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, reason := range []queue.Reason{queue.Unreadable, queue.Changed} {
		a, b := submission(string(reason), "/in/a.mp4"), submission(string(reason), "/in/b.mp4")
		submit(t, s.Queue, a, queue.AcceptedNew)
		stop := rejectAll(t, s.Queue, queue.Upload, reason)
		awaitAnswer(t, s.Queue, a.Drop.ID, "failure "+string(reason))
		wantDepths(t, s.Queue, queue.Depths{})
		stop()
		submit(t, s.Queue, a, queue.AcceptedAnswered) // by itself the earlier file starts nothing
		submit(t, s.Queue, b, queue.AcceptedNew)
		wantDepths(t, s.Queue, queue.Depths{Upload: 1})
		stop = judgeAll(t, s.Queue)
		awaitAnswer(t, s.Queue, b.Drop.ID, "verdict fake")
		awaitAnswer(t, s.Queue, a.Drop.ID, "failure "+string(reason))
		wantDepths(t, s.Queue, queue.Depths{})
		stop()
	}
}

func TestAfterATimeoutTheSameContentGoesOnWaitingForWhatIsPaid(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("same", "/in/a.mp4"), submission("same", "/in/b.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	stopUploads := working(t, s.Queue, queue.Upload, uploaded)
	stop := rejectAll(t, s.Queue, queue.Await, queue.Timeout)
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure timeout")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	stopUploads()
	submit(t, s.Queue, b, queue.AcceptedNew)
	wantDepths(t, s.Queue, queue.Depths{Await: 1})
	if job := jobOf(t, s.Queue, b); job.State != queue.Uploaded || job.MediaID != "mid-1" || job.Attempts != 1 {
		t.Errorf("record %s", pretty(t, job.Job))
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, b.Drop.ID, "verdict fake")
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure timeout")
}

// The earlier drop leaves the record when another takes the job up again: if a crash has kept its failure off the
// stream, it has to get it first.
func TestARetryAnswersTheEarlierDropFirst(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("same", "/in/a.mp4"), submission("same", "/in/b.mp4")
	failed := newJob(a)
	failed.State, failed.Stopped, failed.EndedAt = queue.Failed, queue.Queued, t1
	failed.Fault = &queue.Fault{Reason: queue.Changed}
	if _, err := queue.Store(s.Queue, deadline(t), failed, 0); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Queue, b, queue.AcceptedNew)
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure changed")
}

func TestARecordWithoutAMessageIsMendedBySubmittingAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, state := range []queue.State{queue.Queued, queue.Reserved, queue.Uploaded} {
		a := submission(string(state), "/in/a.mp4")
		job := newJob(a)
		job.State = state
		if _, err := queue.Store(s.Queue, deadline(t), job, 0); err != nil {
			t.Fatal(err)
		}
		submit(t, s.Queue, a, queue.AcceptedJoined)
		submit(t, s.Queue, a, queue.AcceptedJoined)
	}
	wantDepths(t, s.Queue, queue.Depths{Upload: 2, Await: 1})
}

func TestADropTooManyIsTold(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range queue.MaxDrops {
		want := queue.AcceptedJoined
		if i == 0 {
			want = queue.AcceptedNew
		}
		submit(t, s.Queue, submission("same", fmt.Sprintf("/in/%d.mp4", i)), want)
	}
	more := submission("same", "/in/more.mp4")
	if got, err := s.Submit(deadline(t), more); !errors.Is(err, queue.ErrCrowded) || !strings.Contains(err.Error(), more.Drop.URI) {
		t.Fatalf("one more: %q, %v", got, err)
	}
	submit(t, s.Queue, submission("same", "/in/0.mp4"), queue.AcceptedJoined) // one of them again is none more
	judgeAll(t, s.Queue)
	await(t, "all get a verdict", func() bool { return verdicts(t, s.Queue) == queue.MaxDrops })
	await(t, "and then there is room", func() bool {
		_, err := s.Submit(deadline(t), more)
		return err == nil
	})
	awaitAnswer(t, s.Queue, more.Drop.ID, "verdict fake")
}

func TestConcurrentSubmitsOfOneContentMakeOneJob(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const n = 16
	var wg sync.WaitGroup
	results := make(chan queue.Acceptance, n)
	var all []queue.Submission
	for i := range n {
		sub := submission("same", fmt.Sprintf("/in/%d.mp4", i))
		all = append(all, sub)
		wg.Go(func() {
			got, err := s.Submit(deadline(t), sub)
			if err != nil {
				t.Error(err)
			}
			results <- got
		})
	}
	wg.Wait()
	close(results)
	created := 0
	for got := range results {
		if got == queue.AcceptedNew {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d new jobs", created)
	}
	if drops := len(jobOf(t, s.Queue, submission("same", "/in/0.mp4")).Drops); drops != n {
		t.Errorf("the record has %d drops, want %d", drops, n)
	}
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
	judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs(all), "verdict fake")
}

// Files arrive while their content is on its way through: nobody is forgotten, whatever they meet.
func TestSubmitsWhileTheSameContentIsInWork(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	judgeAll(t, s.Queue)
	const n = 60
	var all []queue.Submission
	for i := range n {
		all = append(all, submission(fmt.Sprint(i%7), fmt.Sprintf("/in/%d.mp4", i)))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := worker; i < n; i += 4 {
				if _, err := s.Submit(deadline(t), all[i]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	awaitAnswers(t, s.Queue, dropIDs(all), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
}

func TestAnAnswerThatIsTooOldIsSoughtAnew(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(o *queue.Options) { o.ResultTTL = time.Second })
	a, b := submission("same", "/in/a.mp4"), submission("same", "/in/b.mp4")
	j := judgement()
	old := newJob(a)
	old.State, old.Judgement, old.EndedAt, old.MediaID = queue.Judged, &j, time.Now().Add(-2*time.Second).UTC(), "mid-old"
	if _, err := queue.Store(s.Queue, deadline(t), old, 0); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Queue, b, queue.AcceptedNew)
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake") // it leaves the record, and might not have had it
	if job := jobOf(t, s.Queue, b); job.State != queue.Queued || job.MediaID != "" || len(job.Drops) != 1 || job.Drops[0].ID != b.Drop.ID {
		t.Errorf("record %s", pretty(t, job.Job))
	}
	stop := judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, b.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	if v := verdictFor(t, s.Queue, b.Drop.ID); v.Cached || v.MediaID != "mid-1" {
		t.Errorf("verdict %s", pretty(t, v))
	}
}

func TestAnExpiredRecordMakesRoomForANewOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	msg := nats.NewMsg(queue.RecordSubject(s.Queue, keyOf(a)))
	msg.Data = []byte("{}")
	msg.Header.Set(jetstream.MsgTTLHeader, "1s")
	if _, err := s.conn.RequestMsg(msg, patience); err != nil {
		t.Fatal(err)
	}
	var marker queue.Record
	await(t, "the record expires", func() bool {
		var err error
		marker, err = queue.Load(s.Queue, deadline(t), keyOf(a))
		return errors.Is(err, queue.ErrNoJob)
	})
	if marker.Revision() == 0 {
		t.Error("it has left no marker")
	}
	submit(t, s.Queue, a, queue.AcceptedNew)
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
}

func TestOnlyTerminalRecordsHaveATTL(t *testing.T) {
	t.Parallel()
	terminalTTL := (720*time.Hour + queue.AnnounceTime).String()
	s := newStore(t)
	a, b := submission("a", "/in/a.mp4"), submission("a", "/in/b.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	wantTTL(t, s.Queue, a, "")
	stop := rejectAll(t, s.Queue, queue.Upload, queue.Changed)
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure changed")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	wantTTL(t, s.Queue, a, terminalTTL)
	submit(t, s.Queue, b, queue.AcceptedNew)
	wantTTL(t, s.Queue, a, "")
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, b.Drop.ID, "verdict fake")
	wantTTL(t, s.Queue, a, terminalTTL)
}

func TestARefusedDropGetsItsFailureOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	d := submission("text", "/in/readme.txt").Drop
	for range 2 {
		if _, err := s.Refuse(deadline(t), d, "text/plain", queue.Fault{Reason: queue.Unsupported, Message: "no media"}); err != nil {
			t.Fatal(err)
		}
	}
	all := terminals(t, s.Queue)
	if len(all) != 1 || all[0].subject != "authenta.failures.none.unsupported" || all[0].id != d.ID {
		t.Fatalf("terminal messages %v", all)
	}
	if f := decode[queue.Failure](t, all[0].data); f.Retryable || f.ContentType != "text/plain" || f.Size != d.File.Size || f.FailedAt.IsZero() {
		t.Errorf("failure %s", pretty(t, f))
	}
}

func TestAFullQueueRefusesAndPromisesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	setMaxBytes(t, s.Queue, "authenta-jobs", 1000)
	var err error
	var refused queue.Submission
	for i := 0; err == nil && i < 100; i++ {
		refused = submission(fmt.Sprint(i), fmt.Sprintf("/in/%d.mp4", i))
		_, err = s.Submit(deadline(t), refused)
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("error %v, want ErrFull", err)
	}
	setMaxBytes(t, s.Queue, "authenta-jobs", 1<<20)
	await(t, "there is room again", func() bool {
		_, err := s.Submit(deadline(t), refused)
		return err == nil
	})
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, refused.Drop.ID, "verdict fake")
}

func TestSubmitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := s.Submit(ctx, submission("a", "/in/a.mp4")); !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v", got, err)
	}
}

// newJob is the record that a submission makes.
func newJob(s queue.Submission) queue.Job {
	return queue.Job{
		Key: keyOf(s), Digest: s.Digest, Size: s.Size, ContentType: s.ContentType, Model: s.Model,
		State: queue.Queued, Drops: []queue.Drop{s.Drop}, QueuedAt: s.Drop.QueuedAt,
	}
}

func wantTTL(t *testing.T, q *queue.Queue, s queue.Submission, want string) {
	t.Helper()
	for _, m := range messages(t, q, "ledger") {
		if m.Subject == queue.RecordSubject(q, keyOf(s)) && len(m.Data) > 0 {
			if got := m.Header.Get("Nats-TTL"); got != want {
				t.Errorf("record of %s: TTL %q, want %q: %s", s.Drop.URI, got, want, m.Data)
			}
		}
	}
}
