package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

// say publishes a terminal message, as the queue does: its id is what it says.
func say(t testing.TB, q *queue.Queue, stream, model, end string, n int) string {
	t.Helper()
	id := fmt.Sprintf("%s %s %s %d", stream, model, end, n)
	data, err := json.Marshal(map[string]any{"id": id, "model": model, "outcome": end, "reason": end})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queue.JetStreamOf(q).Publish(deadline(t), fmt.Sprintf("authenta.%s.%s.%s", stream, model, end), data); err != nil {
		t.Fatal(err)
	}
	return id
}

// idOf is the id of a terminal message.
func idOf(m queue.Terminal) string {
	if m.Failure != nil {
		return string(m.Failure.ID)
	}
	return string(m.Verdict.ID)
}

// selected reads a selection to its end.
func selected(t testing.TB, q *queue.Queue, s queue.Selection) (ids []string) {
	t.Helper()
	if err := q.Select(deadline(t), s, func(m queue.Terminal) error {
		ids = append(ids, idOf(m))
		return nil
	}); err != nil {
		t.Errorf("%+v: %v", s, err)
	}
	return ids
}

// subsets are all of them, the empty one first.
func subsets[T any](of []T) (all [][]T) {
	for bits := range 1 << len(of) {
		var some []T
		for i, x := range of {
			if bits>>i&1 == 1 {
				some = append(some, x)
			}
		}
		all = append(all, some)
	}
	return all
}

func TestASelectionIsThoseOfItsModelsAndOutcomesInTheirOrder(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	models := []queue.Model{"AC-1", "DF-1", "FD-1"}
	outcomes := []queue.Outcome{queue.Fake, queue.Real, queue.Inconclusive}
	type message struct {
		id      string
		model   queue.Model
		outcome queue.Outcome // none: a failure
	}
	var all []message
	for n := range 3 {
		for i, m := range models {
			for _, o := range outcomes {
				all = append(all, message{say(t, q, "verdicts", string(m), string(o), n), m, o})
			}
			reason := []queue.Reason{queue.Timeout, queue.Rejected, queue.Unreadable}[i]
			all = append(all, message{say(t, q, "failures", string(m), string(reason), n), m, ""})
		}
		all = append(all, message{say(t, q, "failures", "none", string(queue.Unsupported), n), "none", ""})
	}
	for _, ms := range subsets(models) {
		for _, os := range subsets(outcomes) {
			for _, failures := range []bool{false, true} {
				s := queue.Selection{Models: append(ms, ms...), Outcomes: append(os, os...), Failures: failures}
				var want []string
				for _, m := range all {
					ends := m.outcome == "" && failures || m.outcome != "" && (len(os) == 0 || slices.Contains(os, m.outcome))
					if ends && (len(ms) == 0 || slices.Contains(ms, m.model)) {
						want = append(want, m.id)
					}
				}
				if got := selected(t, q, s); !slices.Equal(got, want) {
					t.Errorf("%+v: %d messages, want %d:\n%q\n%q", s, len(got), len(want), got, want)
				}
			}
		}
	}
}

func TestASelectionBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	if got := selected(t, q, queue.Selection{Failures: true}); got != nil {
		t.Errorf("of nothing it has %q", got)
	}
	a, b := say(t, q, "verdicts", "DF-1", "fake", 1), say(t, q, "failures", "DF-1", "timeout", 1)
	end, err := q.End(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	c, d := say(t, q, "failures", "DF-1", "timeout", 2), say(t, q, "verdicts", "DF-1", "real", 2)
	for _, w := range []struct {
		s    queue.Selection
		want []string
	}{
		{queue.Selection{Failures: true}, []string{a, b, c, d}},
		{queue.Selection{Failures: true, Since: since}, []string{c, d}},
		{queue.Selection{Failures: true, Behind: &end}, []string{c, d}},
		{queue.Selection{Behind: &end}, []string{d}},
		{queue.Selection{Failures: true, Since: since.Add(-time.Hour)}, []string{a, b, c, d}},
		{queue.Selection{Failures: true, Since: since.Add(time.Hour)}, nil},
	} {
		if got := selected(t, q, w.s); !slices.Equal(got, w.want) {
			t.Errorf("%+v: %q, want %q", w.s, got, w.want)
		}
	}
	enough := errors.New("enough")
	n := 0
	err = q.Select(deadline(t), queue.Selection{Failures: true, Follow: true}, func(queue.Terminal) error {
		n++
		return enough
	})
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("after %d messages it ended with %v", n, err)
	}
}

// following follows a selection in a goroutine of its own, until the test ends.
func following(t *testing.T, q *queue.Queue, s queue.Selection) (got <-chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ids, ended := make(chan string), make(chan error, 1)
	s.Follow = true
	go func() {
		ended <- q.Select(ctx, s, func(m queue.Terminal) error {
			select {
			case ids <- idOf(m):
			case <-ctx.Done():
			}
			return nil
		})
	}()
	stop = func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("following ended with %v", err)
			}
			ended <- nil
		case <-time.After(patience):
			t.Error("following does not end with its context")
		}
	}
	t.Cleanup(stop)
	return ids, stop
}

// wantNext checks what comes next, from either stream first.
func wantNext(t *testing.T, got <-chan string, want ...string) {
	t.Helper()
	for len(want) > 0 {
		select {
		case id := <-got:
			i := slices.Index(want, id)
			if i < 0 {
				t.Fatalf("%q comes, want %q", id, want)
			}
			want = slices.Delete(want, i, i+1)
		case <-time.After(patience):
			t.Fatalf("%q does not come", want)
		}
	}
}

func TestFollowingGoesOnAfterTheBrokerWasAwayAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	book := &logbook{}
	q := openQueue(t, dial(t, e.url("")), func(o *queue.Options) { o.Log = book.log() })
	writer := openQueue(t, dial(t, e.url("")))
	say := func(stream string, n int) (id string) {
		await(t, "the broker takes a message", func() bool { // the same one, if it took it and could not say so
			end := map[string]string{"verdicts": "fake", "failures": "timeout"}[stream]
			id = fmt.Sprintf("%s %d", stream, n)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // an answer that is lost is not waited for
			defer cancel()
			_, err := queue.JetStreamOf(writer).Publish(ctx, "authenta."+stream+".DF-1."+end, fmt.Appendf(nil, `{"id": %q}`, id), jetstream.WithMsgID(id))
			return err == nil
		})
		return id
	}
	end, err := q.End(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	fresh, _ := following(t, q, queue.Selection{Failures: true, Behind: &end, Outcomes: []queue.Outcome{queue.Fake}})
	all, stop := following(t, q, queue.Selection{})
	const refused = "cannot do it yet"
	for n := range 4 {
		if n != 1 { // once it goes away before anything has come
			v, f := say("verdicts", n), say("failures", n)
			wantNext(t, fresh, v, f)
			wantNext(t, all, v)
		}
		e.stop()
		if n > 1 { // what is there for a while has no JetStream
			before := book.said(refused)
			e.options.JetStream = false
			e.start()
			await(t, "three are refused", func() bool { return book.said(refused) >= before+3 })
			e.stop()
			e.options.JetStream = true
		}
		e.start()
	}
	e.stop()
	stop() // while the broker is away
	e.start()
}
