package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// parkedAt has a submission wait for a machine on which nobody works.
func parkedAt(t *testing.T, s *store, host string, subs ...queue.Submission) {
	t.Helper()
	for _, sub := range subs {
		submit(t, s.Queue, sub, queue.AcceptedNew)
	}
	stop := working(t, s.Queue, queue.Upload, passTo("b", host))
	wantWaiting(t, s, map[string]int{host: len(subs)})
	stop()
}

func wantWaiting(t *testing.T, s *store, want map[string]int) {
	t.Helper()
	await(t, "so much waits for single machines", func() bool {
		got, err := s.Waiting(deadline(t))
		if err != nil || len(got) != len(want) {
			return false
		}
		for host, n := range want {
			if got[host] != n {
				return false
			}
		}
		return true
	})
}

// unwanted is a handler that must not be called.
func unwanted(t *testing.T) queue.Handler {
	return func(_ context.Context, task *queue.Task) queue.Settlement {
		t.Errorf("handed out at %q, with %q for %v", task.At, task.Key, task.Drops)
		return queue.RetryAfter(time.Minute)
	}
}

func TestWhatWaitsForAMachineIsCountedAndLeftToItsWorkers(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	parkedAt(t, s, "nas.example.org", submissionAt("nas.example.org", "one", "/in/1"), submissionAt("nas.example.org", "two", "/in/2"))
	wantDepths(t, s.Queue, queue.Depths{Upload: 2})
	one := submissionAt("nas.example.org", "one", "/in/1")
	if there, err := s.Uploading(deadline(t), keyOf(one)); err != nil || !there {
		t.Errorf("it is to be uploaded: %t, %v", there, err)
	}
	if m, err := s.Reconcile(deadline(t)); err != nil || m != (queue.Mended{}) {
		t.Errorf("mended %+v, %v", m, err)
	}
	if n, err := s.Unstick(deadline(t)); err != nil || n != 0 {
		t.Errorf("unstuck %d, %v", n, err)
	}
	wantMended(t, s, queue.Mended{})
	pooling(t, s.Queue, queue.Pool{Stage: queue.Upload, Handle: unwanted(t)})
	pooling(t, s.Queue, queue.Pool{Host: "nas", Handle: unwanted(t)})
	pooling(t, s.Queue, queue.Pool{Host: "nas.example.org", Handle: uploaded})
	working(t, s.Queue, queue.Await, always(queue.Conclude(judgement())))
	awaitAnswer(t, s.Queue, one.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	wantWaiting(t, s, nil)
}

// What a crash has left where the record does not say that it is, in both directions.
func TestAMessageThatIsNotWhereTheRecordSaysIsDropped(t *testing.T) {
	t.Parallel()
	t.Run("on the queue of all", func(t *testing.T) {
		s := newStore(t)
		a := submissionAt("a", "content", "/in/a")
		parkedAt(t, s, "a", a)
		if err := queue.Enqueue(s.Queue, deadline(t), queue.Upload, keyOf(a)); err != nil {
			t.Fatal(err)
		}
		wantDepths(t, s.Queue, queue.Depths{Upload: 2})
		working(t, s.Queue, queue.Upload, unwanted(t))
		wantDepths(t, s.Queue, queue.Depths{Upload: 1})
		wantWaiting(t, s, map[string]int{"a": 1})
	})
	t.Run("on the queue of a machine", func(t *testing.T) {
		s := newStore(t)
		a := submissionAt("a", "content", "/in/a")
		submit(t, s.Queue, a, queue.AcceptedNew)
		if err := queue.Enqueue(s.Queue, deadline(t), queue.UploadAt("a"), keyOf(a)); err != nil {
			t.Fatal(err)
		}
		pooling(t, s.Queue, queue.Pool{Host: "a", Handle: unwanted(t)})
		wantDepths(t, s.Queue, queue.Depths{Upload: 1})
		wantWaiting(t, s, nil)
	})
	t.Run("of a job that has ended", func(t *testing.T) {
		s := newStore(t)
		a := submissionAt("a", "content", "/in/a")
		judged(t, s, a)
		if err := queue.Enqueue(s.Queue, deadline(t), queue.UploadAt("a"), keyOf(a)); err != nil {
			t.Fatal(err)
		}
		pooling(t, s.Queue, queue.Pool{Host: "a", Handle: unwanted(t)})
		wantDepths(t, s.Queue, queue.Depths{})
		awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
	})
}

// A worker that has taken a job and made no call yet does not make one when the job has gone elsewhere.
func TestAWorkerLosesAJobThatGoesElsewhere(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submissionAt("a", "content", "/in/a"), submissionAt("b", "content", "/in/b")
	parkedAt(t, s, "a", a)
	taken, moved, refused := make(chan bool), make(chan bool), make(chan error, 1)
	pooling(t, s.Queue, queue.Pool{Host: "a", Handle: func(ctx context.Context, task *queue.Task) queue.Settlement {
		close(taken)
		<-moved
		refused <- task.Apply(ctx, queue.CreateStarted{Name: "clip", At: time.Now().UTC()})
		return queue.RetryAfter(0)
	}})
	<-taken
	submit(t, s.Queue, b, queue.AcceptedJoined)
	close(moved)
	if err := <-refused; !errors.Is(err, queue.ErrConflict) {
		t.Errorf("the create may be sent: %v", err)
	}
	wantDepths(t, s.Queue, queue.Depths{Upload: 1})
	wantWaiting(t, s, nil)
	judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs([]queue.Submission{a, b}), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
}

// One that has a call under way keeps it, whoever comes.
func TestACallUnderWayKeepsAJobOnItsMachine(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submissionAt("a", "content", "/in/a"), submissionAt("b", "content", "/in/b")
	parkedAt(t, s, "a", a)
	begun, joined := make(chan bool), make(chan bool)
	pooling(t, s.Queue, queue.Pool{Host: "a", Handle: func(ctx context.Context, task *queue.Task) queue.Settlement {
		if err := task.Apply(ctx, queue.CreateStarted{Name: "clip", At: time.Now().UTC()}); err != nil {
			t.Error(err)
		}
		close(begun)
		<-joined
		return uploaded(ctx, task)
	}})
	working(t, s.Queue, queue.Upload, unwanted(t))
	<-begun
	submit(t, s.Queue, b, queue.AcceptedJoined)
	if n, left, err := s.Reoffer(deadline(t), "a"); err != nil || n != 0 || left != 1 {
		t.Errorf("offered %d, left %d, %v", n, left, err)
	}
	close(joined)
	working(t, s.Queue, queue.Await, always(queue.Conclude(judgement())))
	awaitAnswers(t, s.Queue, dropIDs([]queue.Submission{a, b}), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
}

// Those who could not read it look again, once.
func TestWhatWaitsIsOfferedToAllAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var subs []queue.Submission
	for _, name := range []string{"1", "2", "3"} {
		subs = append(subs, submissionAt("a", name, "/in/"+name))
	}
	parkedAt(t, s, "a", subs...)
	if n, left, err := s.Reoffer(deadline(t), "a"); err != nil || n != 3 || left != 0 {
		t.Errorf("offered %d, left %d, %v", n, left, err)
	}
	if n, left, err := s.Reoffer(deadline(t), "nobody has heard of it"); err != nil || n != 0 || left != 0 {
		t.Errorf("offered %d, left %d, %v", n, left, err)
	}
	if j := jobOf(t, s.Queue, subs[0]); j.At != "" || len(j.Passed) > 0 {
		t.Errorf("record %s", pretty(t, j.Job))
	}
	wantWaiting(t, s, nil)
	wantDepths(t, s.Queue, queue.Depths{Upload: 3})
	judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs(subs), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
}

// Somebody passes on what is offered as soon as he gets it.
func TestWhatIsPassedOnAgainIsNotOfferedForEver(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var subs []queue.Submission
	for i := range 100 {
		subs = append(subs, submissionAt("a", fmt.Sprint(i), fmt.Sprintf("/in/%d", i)))
	}
	parkedAt(t, s, "a", subs...)
	pooling(t, s.Queue, queue.Pool{Stage: queue.Upload, Slots: 8, Handle: passTo("b", "a")})
	for range 3 {
		if n, left, err := s.Reoffer(deadline(t), "a"); err != nil || n != len(subs) || left != 0 {
			t.Errorf("offered %d, left %d, %v", n, left, err)
		}
		wantWaiting(t, s, map[string]int{"a": len(subs)})
	}
}

func TestARetryIsForAllMachines(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submissionAt("a", "content", "/in/a")
	parkedAt(t, s, "a", a)
	stop := pooling(t, s.Queue, queue.Pool{Host: "a", Handle: always(queue.Reject(queue.Fault{Reason: queue.Unreadable}))})
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure unreadable")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	// While somebody has its message still, nobody may take it up.
	if err := queue.Enqueue(s.Queue, deadline(t), queue.UploadAt("a"), keyOf(a)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(deadline(t), keyOf(a), false); !errors.Is(err, queue.ErrUnsettled) {
		t.Errorf("retried while its message is there: %v", err)
	}
	stop = pooling(t, s.Queue, queue.Pool{Host: "a", Handle: unwanted(t)})
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	j, err := s.Retry(deadline(t), keyOf(a), false)
	if err != nil || j.At != "" || len(j.Passed) > 0 || j.Drops[0].Host != "a" {
		t.Fatalf("record %s, %v", pretty(t, j), err)
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, j.Drops[0].ID, "verdict fake")
}

// What is lost, or left behind, is put right by the upkeep.
func TestWhatWaitsForAMachineIsPutBackAfterALoss(t *testing.T) {
	t.Parallel()
	a := submissionAt("a", "content", "/in/a")
	jobs := func(s *store) string { return string(s.Namespace) + "-jobs" }
	for name, c := range map[string]struct {
		lose, mend func(*testing.T, *store)
		wait       map[string]int
		left       int // on the queues
	}{
		"its message": {
			func(t *testing.T, s *store) { lose(t, s, jobs(s)) },
			func(t *testing.T, s *store) {
				if m, err := queue.ReconcileOlderThan(s.Queue, deadline(t), 0); err != nil || m.Requeued != 1 {
					t.Errorf("mended %+v, %v", m, err)
				}
			}, map[string]int{"a": 1}, 1,
		},
		"its message, noticed": {
			func(t *testing.T, s *store) { lose(t, s, jobs(s)) },
			func(t *testing.T, s *store) { wantMended(t, s, queue.Mended{Requeued: 1}) }, map[string]int{"a": 1}, 1,
		},
		"who is to hand it out": {
			func(t *testing.T, s *store) {
				if err := queue.JetStreamOf(s.Queue).DeleteConsumer(deadline(t), jobs(s), queue.UploadAt("a").Consumer()); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, s *store) {
				if _, err := s.Unstick(deadline(t)); err != nil {
					t.Error(err)
				}
			}, map[string]int{"a": 1}, 1,
		},
		"that it was acknowledged": {
			func(t *testing.T, s *store) { // it was, and came back: nobody would be told
				c, err := queue.JetStreamOf(s.Queue).Consumer(deadline(t), jobs(s), queue.UploadAt("a").Consumer())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := lookUp(t, s.Queue, jobs(s)).ResetConsumerToSequence(deadline(t), queue.UploadAt("a").Consumer(), c.CachedInfo().Delivered.Stream+100); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, s *store) {
				if err := s.Redeliver(deadline(t)); err != nil {
					t.Error(err)
				}
			}, map[string]int{"a": 1}, 1,
		},
		"the record": {
			func(t *testing.T, s *store) { lose(t, s, "KV_"+string(s.Namespace)+"-ledger") },
			func(t *testing.T, s *store) {
				if _, err := s.Recover(deadline(t)); err != nil {
					t.Error(err)
				}
			}, nil, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			parkedAt(t, s, "a", a)
			c.lose(t, s)
			c.mend(t, s)
			wantWaiting(t, s, c.wait)
			wantDepths(t, s.Queue, queue.Depths{Upload: c.left})
			if c.left > 0 {
				pooling(t, s.Queue, queue.Pool{Host: "a", Handle: uploaded})
				working(t, s.Queue, queue.Await, always(queue.Conclude(judgement())))
				awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
			}
		})
	}
}

// A crash has left a message for a machine on which nobody works any more.
func TestWhatIsLeftForAMachineWhenItsJobIsElsewhereIsTakenAway(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	elsewhere, ended, here := submissionAt("a", "1", "/in/1"), submissionAt("a", "2", "/in/2"), submissionAt("a", "3", "/in/3")
	judged(t, s, ended)
	parkedAt(t, s, "a", here)
	submit(t, s.Queue, elsewhere, queue.AcceptedNew)
	for _, sub := range []queue.Submission{elsewhere, ended} {
		if err := queue.Enqueue(s.Queue, deadline(t), queue.UploadAt("a"), keyOf(sub)); err != nil {
			t.Fatal(err)
		}
	}
	wantWaiting(t, s, map[string]int{"a": 3})
	if err := queue.ClearParked(s.Queue, deadline(t), time.Hour); err != nil {
		t.Fatal(err)
	}
	wantWaiting(t, s, map[string]int{"a": 3}) // somebody may just be at it
	if err := queue.ClearParked(s.Queue, deadline(t), 0); err != nil {
		t.Fatal(err)
	}
	wantWaiting(t, s, map[string]int{"a": 1})
	wantDepths(t, s.Queue, queue.Depths{Upload: 2})
}
