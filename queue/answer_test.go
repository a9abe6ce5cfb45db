package queue_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

func TestAnAnswerIsKnownOnceItIsOnItsStream(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("x", "/in/a"), submission("x", "/in/b")
	ask := func(sub queue.Submission) (*queue.Answer, error) {
		return s.Answer(deadline(t), keyOf(sub), sub.Drop.ID, sub.Drop.URI)
	}
	if got, err := ask(a); got != nil || !errors.Is(err, queue.ErrForgotten) {
		t.Errorf("of a job that nobody knows: %v, %v", got, err)
	}
	submit(t, s.Queue, a, queue.AcceptedNew)
	if got, err := ask(a); got != nil || err != nil {
		t.Errorf("of a job in work: %v, %v", got, err)
	}
	stop := judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs([]queue.Submission{a}), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	submit(t, s.Queue, b, queue.AcceptedAnswered)
	for _, sub := range []queue.Submission{a, b} {
		got, err := ask(sub)
		if err != nil || got == nil || got.Failed {
			t.Fatalf("%v, %v", got, err)
		}
		var v queue.Verdict
		if err := json.Unmarshal(got.Message, &v); err != nil || v.ID != sub.Drop.ID || v.URI != sub.Drop.URI || v.Outcome != queue.Fake || v.Cached != (v.ID == b.Drop.ID) {
			t.Errorf("answer %s, %v", got.Message, err)
		}
	}
}

// A had its failure when B, a copy of it, took the job up again: the verdict is B's.
func TestAnAnswerIsTheDropsOwn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("x", "/in/a"), submission("x", "/in/b")
	failed(t, s, a, queue.Fault{Reason: queue.Unreadable})
	if got, err := s.Answer(deadline(t), keyOf(a), a.Drop.ID, a.Drop.URI); err != nil || got == nil || !got.Failed {
		t.Errorf("A's answer: %v, %v, want its failure", got, err)
	}
	submit(t, s.Queue, b, queue.AcceptedNew)
	stop := judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs([]queue.Submission{b}), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	if got, err := s.Answer(deadline(t), keyOf(b), b.Drop.ID, b.Drop.URI); err != nil || got == nil || got.Failed {
		t.Errorf("B's answer: %v, %v, want its verdict", got, err)
	}
	if got, err := s.Answer(deadline(t), keyOf(a), a.Drop.ID, a.Drop.URI); got != nil || !errors.Is(err, queue.ErrForgotten) {
		t.Errorf("A's answer: %v, %v, want that it is forgotten", got, err)
	}
}
