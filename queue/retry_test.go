package queue_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// failed has a submission's job fail in a stage.
func failed(t *testing.T, s *store, sub queue.Submission, f queue.Fault) {
	t.Helper()
	submit(t, s.Queue, sub, queue.AcceptedNew)
	stop := working(t, s.Queue, queue.Upload, always(queue.Reject(f)))
	awaitAnswer(t, s.Queue, sub.Drop.ID, "failure "+string(f.Reason))
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
}

func TestARetryIsANewDropThatNamesTheOldOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, copied := submission("a", "/in/a.mp4"), submission("a", "/in/copy.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	submit(t, s.Queue, copied, queue.AcceptedJoined)
	stop := working(t, s.Queue, queue.Upload, always(queue.Reject(queue.Fault{Reason: queue.Timeout})))
	awaitAnswer(t, s.Queue, copied.Drop.ID, "failure timeout")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	j, err := s.Retry(deadline(t), keyOf(a), false)
	if err != nil || j.State != queue.Queued || len(j.Drops) != 2 {
		t.Fatalf("%s, %v", pretty(t, j), err)
	}
	if _, err := s.Retry(deadline(t), keyOf(a), false); !errors.Is(err, queue.ErrNotFailed) {
		t.Errorf("the second retry: %v", err)
	}
	judgeAll(t, s.Queue)
	for i, old := range []queue.Submission{a, copied} {
		d := j.Drops[i]
		if d.RetryOf != old.Drop.ID || d.ID == old.Drop.ID || d.URI != old.Drop.URI {
			t.Errorf("drop %+v is no retry of %+v", d, old.Drop)
		}
		awaitAnswer(t, s.Queue, d.ID, "verdict fake")
		awaitAnswer(t, s.Queue, old.Drop.ID, "failure timeout") // and no other
	}
}

// A watcher that has crashed finds the file again, whose failure was retried meanwhile.
func TestADropThatWasRetriedIsNotTakenForANewOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	failed(t, s, a, queue.Fault{Reason: queue.Unreadable})
	if _, err := s.Retry(deadline(t), keyOf(a), false); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Queue, a, queue.AcceptedAnswered)
}

func TestWhatCannotBeRetried(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if _, err := s.Retry(deadline(t), queue.KeyOf(digestOf("none"), "DF-1"), false); !errors.Is(err, queue.ErrUnknownJob) {
		t.Errorf("of an unknown job: %v", err)
	}
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	if _, err := s.Retry(deadline(t), keyOf(a), true); !errors.Is(err, queue.ErrNotFailed) {
		t.Errorf("of one in work: %v", err)
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
	if _, err := s.Retry(deadline(t), keyOf(a), true); !errors.Is(err, queue.ErrNotFailed) || !strings.Contains(err.Error(), "judged") {
		t.Errorf("of one judged: %v", err)
	}
}

func TestFailuresAreFoundByWhatPeopleCallThem(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	hashed := func(name string) queue.Submission { // as a real one
		sub := submission(name, "/in/"+name)
		sub.Digest = queue.Digest(fmt.Sprintf("%x", sha256.Sum256([]byte(name))))
		return sub
	}
	a, b := hashed("a.mp4"), hashed("b.mp4")
	failed(t, s, a, queue.Fault{Reason: queue.Timeout})
	failed(t, s, b, queue.Fault{Reason: queue.Rejected})
	note := queue.Drop{ID: "note", URI: "file:///in/note"}
	if _, err := s.Refuse(deadline(t), note, "text/plain", queue.Fault{Reason: queue.Unsupported}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]queue.JobKey{
		string(keyOf(a)):       {keyOf(a)},
		keyOf(a).Short():       {keyOf(a)},
		string(keyOf(b))[:6]:   {keyOf(b)},
		string(keyOf(b))[:5]:   {}, // too short to be meant
		string(a.Drop.ID):      {keyOf(a)},
		"note":                 {""},
		"":                     {},
		string(keyOf(a)) + "!": {},
	} {
		got, err := s.FailedJobs(deadline(t), name)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, %v, want %v", name, got, err, want)
		}
	}
	var names []string
	for from, pages := uint64(0), 0; ; pages++ {
		p, err := s.Failures(deadline(t), from, 0, 2)
		if err != nil || pages > 2 {
			t.Fatal(pages, err)
		}
		for _, f := range p.Failures {
			names = append(names, f.Name)
		}
		if from = p.Next; from == 0 {
			break
		}
	}
	if len(names) != 3 {
		t.Errorf("pages with %v", names)
	}
}

func TestAFileThatMakesItsWorkPanicFailsAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	bad, good := submission("bad", "/in/bad.mp4"), submission("good", "/in/good.mp4")
	submit(t, s.Queue, bad, queue.AcceptedNew)
	submit(t, s.Queue, good, queue.AcceptedNew)
	var times atomic.Int32
	working(t, s.Queue, queue.Upload, func(_ context.Context, task *queue.Task) queue.Settlement {
		if task.Key == keyOf(bad) {
			times.Add(1)
			panic("cannot be")
		}
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	})
	awaitAnswer(t, s.Queue, good.Drop.ID, "failure rejected")
	awaitAnswer(t, s.Queue, bad.Drop.ID, "failure crashed")
	if n := times.Load(); n != queue.MaxCrashes {
		t.Errorf("tried %d times", n)
	}
	if f := jobOf(t, s.Queue, bad).Fault; !strings.Contains(f.Message, "cannot be") {
		t.Errorf("fault %+v", f)
	}
}

func TestAFileThatWasInWorkWhenTheProgramWentDownTooOftenFails(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for name, c := range map[string]struct {
		crashes    int
		unanswered bool
	}{
		"once more":                {0, false},
		"too often":                {queue.MaxCrashes - 1, false},
		"the call's end was noted": {queue.MaxCrashes - 1, true},
	} {
		sub := submission(name, "/in/"+name)
		j := newJob(sub)
		j.State, j.MediaID, j.Sending, j.Crashes, j.Unanswered = queue.Reserved, "mid", time.Now().UTC(), c.crashes, c.unanswered
		if _, err := queue.Store(s.Queue, deadline(t), j, 0); err != nil {
			t.Fatal(err)
		}
		if err := queue.Enqueue(s.Queue, deadline(t), queue.Upload, j.Key); err != nil {
			t.Fatal(err)
		}
	}
	working(t, s.Queue, queue.Upload, always(queue.Reject(queue.Fault{Reason: queue.Rejected})))
	for name, want := range map[string]string{
		"once more": "failure rejected", "too often": "failure crashed", "the call's end was noted": "failure rejected",
	} {
		awaitAnswer(t, s.Queue, submission(name, "/in/"+name).Drop.ID, want)
	}
}

// The broker was away, the program was not.
func TestAnOutageOfTheBrokerIsNoCrash(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	q := openQueue(t, dial(t, e.url("")))
	a := submission("a", "/in/a")
	submit(t, q, a, queue.AcceptedNew)
	sending, letGo, crashes := make(chan bool), make(chan bool), make(chan int, 1)
	var times atomic.Int32
	working(t, q, queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		if times.Add(1) > 1 {
			select {
			case crashes <- task.Crashes:
			default:
			}
			return queue.Reject(queue.Fault{Reason: queue.Rejected})
		}
		if err := task.Apply(ctx, queue.Created{MediaID: "mid", At: time.Now().UTC()}); err != nil {
			t.Error(err)
		}
		close(sending)
		<-ctx.Done() // a long PUT, which the loss of the lease breaks off
		once, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = task.Apply(once, queue.Unanswered{}) // as worker.note does
		close(letGo)
		return queue.RetryAfter(0)
	})
	<-sending
	e.stop()
	<-letGo
	e.start()
	select {
	case n := <-crashes:
		if n != 0 {
			t.Errorf("%d crashes are counted; after %d such outages the file fails as crashed", n, queue.MaxCrashes)
		}
	case <-time.After(patience):
		t.Fatal("not handed out again")
	}
}

// The broker was away, neither process was, and the other one is handed what the first had in hand.
func TestAnOutageOfTheBrokerIsNoCrashForAnotherProcessEither(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	first, second := openQueue(t, dial(t, e.url(""))), openQueue(t, dial(t, e.url("")))
	a := submission("a", "/in/a")
	submit(t, first, a, queue.AcceptedNew)
	sending, letGo := make(chan bool), make(chan bool)
	stop := working(t, first, queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		if err := task.Apply(ctx, queue.Created{MediaID: "mid", At: time.Now().UTC()}); err != nil {
			t.Error(err)
		}
		close(sending)
		<-ctx.Done()
		close(letGo)
		return queue.RetryAfter(0) // and cannot note that its call has ended
	})
	<-sending
	e.stop()
	<-letGo
	stop()
	e.start()
	crashes := make(chan int, 1)
	working(t, second, queue.Upload, func(_ context.Context, task *queue.Task) queue.Settlement {
		crashes <- task.Crashes
		return queue.Reject(queue.Fault{Reason: queue.Rejected})
	})
	select {
	case n := <-crashes:
		if n != 0 {
			t.Errorf("%d crashes are counted", n)
		}
	case <-time.After(patience):
		t.Fatal("not handed out again")
	}
}

// The process goes down between the record and its message.
func TestARetryThatIsCutOffIsPutBackOnItsQueue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, die := context.WithCancel(t.Context())
	var retrying atomic.Bool
	s := openStore(t, dir, step(func(point string) {
		if retrying.Load() && strings.HasPrefix(point, "after $KV.authenta-ledger.") {
			die()
		}
	}))
	a := submission("a", "/in/a")
	failed(t, s, a, queue.Fault{Reason: queue.Unreadable})
	retrying.Store(true)
	if _, err := s.Retry(ctx, keyOf(a), false); err == nil {
		t.Fatal("not cut off")
	}
	wantDepths(t, s.Queue, queue.Depths{})
	s.close()
	s = openStore(t, dir)
	wantMended(t, s, queue.Mended{Requeued: 1})
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, jobOf(t, s.Queue, a).Drops[0].ID, "verdict fake")
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure unreadable")
}
