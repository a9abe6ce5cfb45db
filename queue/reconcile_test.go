package queue_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

func TestAJobInWorkThatIsOnNoQueueIsPutBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	queued, awaiting, waiting, judged := submission("q", "/in/q"), submission("a", "/in/a"), submission("w", "/in/w"), submission("j", "/in/j")
	submit(t, s.Queue, judged, queue.AcceptedNew)
	stop := judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, judged.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	for _, sub := range []queue.Submission{queued, awaiting} { // records without messages
		j := newJob(sub)
		if sub.Digest == awaiting.Digest {
			j.State, j.MediaID = queue.Uploaded, "mid-1"
		}
		if _, err := queue.Store(s.Queue, deadline(t), j, 0); err != nil {
			t.Fatal(err)
		}
	}
	submit(t, s.Queue, waiting, queue.AcceptedNew)

	if m, err := s.Reconcile(deadline(t)); err != nil || m != (queue.Mended{}) {
		t.Errorf("of records that were written just now: %+v, %v", m, err)
	}
	m, err := queue.ReconcileOlderThan(s.Queue, deadline(t), 0)
	if err != nil || m != (queue.Mended{Requeued: 2}) {
		t.Errorf("mended %+v, %v", m, err)
	}
	wantDepths(t, s.Queue, queue.Depths{Upload: 2, Await: 1})
	if m, err := queue.ReconcileOlderThan(s.Queue, deadline(t), 0); err != nil || m != (queue.Mended{}) {
		t.Errorf("the second time: %+v, %v", m, err)
	}
	if total, err := s.Mended(deadline(t)); err != nil || total != (queue.Mended{Requeued: 2}) {
		t.Errorf("in all: %+v, %v", total, err)
	}
	judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs([]queue.Submission{queued, awaiting, waiting}), "verdict fake")
}

func TestALedgerThatFillsUpForgetsItsOldestVerdicts(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	inWork := submission("in work", "/in/work")
	submit(t, s.Queue, inWork, queue.AcceptedNew)
	const n = 60
	var ended []queue.Submission
	var bytes int64
	for i := range n {
		sub := submission(fmt.Sprint(i), fmt.Sprintf("/in/%d.mp4", i))
		j := newJob(sub)
		j.State, j.EndedAt, j.Judgement = queue.Judged, time.Now().UTC(), &queue.Judgement{Outcome: queue.Real}
		if _, err := queue.Store(s.Queue, deadline(t), j, 0); err != nil {
			t.Fatal(err)
		}
		ended = append(ended, sub)
	}
	unsettled := ended[3] // its message is still to be acknowledged
	if err := queue.Enqueue(s.Queue, deadline(t), queue.Await, keyOf(unsettled)); err != nil {
		t.Fatal(err)
	}
	bytes = int64(lookUp(t, s.Queue, "KV_authenta-ledger").CachedInfo().State.Bytes)
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", bytes*2)
	if m, err := s.Reconcile(deadline(t)); err != nil || m != (queue.Mended{}) {
		t.Errorf("half full: %+v, %v", m, err)
	}
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", bytes*5/4)
	if filling, err := s.Filling(deadline(t)); err != nil || !filling {
		t.Errorf("filling: %t, %v", filling, err)
	}
	m, err := s.Reconcile(deadline(t))
	if err != nil || m.Evicted < n/4 || m.Evicted > n/2 {
		t.Errorf("mended %+v, %v", m, err)
	}
	known := 0
	for i, sub := range ended {
		_, err := queue.Load(s.Queue, deadline(t), keyOf(sub))
		switch {
		case err == nil:
			known++
		case !errors.Is(err, queue.ErrNoJob):
			t.Fatal(err)
		case i > m.Evicted || sub.Digest == unsettled.Digest:
			t.Errorf("number %d is forgotten", i)
		}
	}
	if known != n-m.Evicted {
		t.Errorf("%d are known, %d forgotten", known, m.Evicted)
	}
	jobOf(t, s.Queue, inWork)
	if filling, err := s.Filling(deadline(t)); err != nil || filling {
		t.Errorf("still filling: %t, %v", filling, err)
	}
	submit(t, s.Queue, ended[0], queue.AcceptedNew) // its verdict is forgotten
}
