package queue_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

func TestFollowReadsWhatIsBehindAPositionAndThenWhatComes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	refuse := func(i int) {
		if _, err := s.Refuse(deadline(t), drop(fmt.Sprint(i)), "", queue.Fault{Reason: queue.Unsupported}); err != nil {
			t.Fatal(err)
		}
	}
	refuse(0)
	refuse(1)
	from, err := s.End(deadline(t))
	if err != nil || from != (queue.Position{Failures: 2}) {
		t.Fatalf("end %+v, %v", from, err)
	}
	refuse(2)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	judgeAll(t, s.Queue)

	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan string, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Follow(ctx, from, queue.Reader{
			Verdict: func(v queue.Verdict, _ []byte, seq uint64) { got <- fmt.Sprintf("verdict %s %d", v.ID, seq) },
			Failure: func(f queue.Failure, _ []byte, seq uint64) { got <- fmt.Sprintf("failure %s %d", f.ID, seq) },
		})
	}()
	var all []string
	for i := range 3 {
		if i == 2 {
			refuse(3)
		}
		select {
		case what := <-got:
			all = append(all, what)
		case <-time.After(patience):
			t.Fatalf("only %v", all)
		}
	}
	slices.Sort(all)
	if want := []string{"failure 2 3", "failure 3 4", fmt.Sprintf("verdict %s 1", a.Drop.ID)}; !slices.Equal(all, want) {
		t.Errorf("read %v, want %v", all, want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Anybody may publish on the streams' subjects.
func TestADamagedMessageDoesNotEndTheReading(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if _, err := s.conn.Request("authenta.failures.none.unsupported", []byte("{"), patience); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refuse(deadline(t), drop("d"), "", queue.Fault{Reason: queue.Unsupported}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.Follow(ctx, queue.Position{}, queue.Reader{
		Verdict: func(queue.Verdict, []byte, uint64) {},
		Failure: func(queue.Failure, []byte, uint64) { cancel() },
	})
	if err != nil {
		t.Error(err)
	}
}
