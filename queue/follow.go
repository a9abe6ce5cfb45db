package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A Position is a place in the streams of terminal messages.
type Position struct{ Verdicts, Failures uint64 }

// End returns the position behind the last terminal message.
func (q *Queue) End(ctx context.Context) (Position, error) {
	var last [2]uint64
	for i, name := range []string{"verdicts", "failures"} {
		s, err := q.js.Stream(ctx, q.ns.name(name))
		if err != nil {
			return Position{}, fmt.Errorf("find the end of stream %s: %w", q.ns.name(name), q.conn.explain(explainNoAnswer(err)))
		}
		last[i] = s.CachedInfo().State.LastSeq
	}
	return Position{Verdicts: last[0], Failures: last[1]}, nil
}

// A Reader receives terminal messages. Its functions are called from two goroutines, one each.
type Reader struct {
	Verdict func(v Verdict, raw []byte, sequence uint64)
	Failure func(f Failure, raw []byte, sequence uint64)
}

// Follow reads the terminal messages behind a position, and then those that come, until ctx ends.
func (q *Queue) Follow(ctx context.Context, from Position, r Reader) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return follow(ctx, q, "verdicts", from.Verdicts, r.Verdict) })
	g.Go(func() error { return follow(ctx, q, "failures", from.Failures, r.Failure) })
	return g.Wait()
}

func follow[T any](ctx context.Context, q *Queue, name string, from uint64, receive func(T, []byte, uint64)) error {
	return q.read(ctx, q.ns.name(name), behind(from), func(msg jetstream.Msg, at *jetstream.MsgMetadata) {
		if v, ok := decodeMessage[T](q, msg); ok {
			receive(v, msg.Data(), at.Sequence.Stream)
		}
	}, func() {})
}

// behind is a reading that begins behind a place in a stream.
func behind(sequence uint64) jetstream.OrderedConsumerConfig {
	return jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: sequence + 1}
}

// decodeMessage reads a terminal message. One that is somebody else's is passed over: it must not hide what comes after it.
func decodeMessage[T any](q *Queue, msg jetstream.Msg) (v T, ok bool) {
	if err := json.Unmarshal(msg.Data(), &v); err != nil {
		q.Log.Warn("a message is passed over", "subject", msg.Subject(), "error", err)
		return v, false
	}
	return v, true
}

// RecentFailures returns the last failures, at most n, newest first.
func (q *Queue) RecentFailures(ctx context.Context, n int) ([]Failure, error) {
	s, err := q.js.Stream(ctx, q.ns.name("failures"))
	if err != nil {
		return nil, fmt.Errorf("read the last failures: %w", err)
	}
	state := s.CachedInfo().State
	recent := []Failure{}
	for seq := state.LastSeq; seq >= state.FirstSeq && seq > 0 && len(recent) < n; seq-- {
		if recent, err = appendFailure(ctx, recent, s, seq); err != nil {
			return nil, err
		}
	}
	return recent, nil
}

// appendFailure appends the failure that a stream has at a place, if it has one there.
func appendFailure(ctx context.Context, to []Failure, s jetstream.Stream, seq uint64) ([]Failure, error) {
	msg, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return to, nil
	}
	if err != nil {
		return to, fmt.Errorf("read the failures: %w", err)
	}
	var f Failure
	if json.Unmarshal(msg.Data, &f) == nil {
		to = append(to, f)
	}
	return to, nil
}
