package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A Message is media that somebody has published, or a reference to some.
type Message struct {
	ID      DropID // of the drop that it is. On <ns>-intake, that name and the sequence, which the publisher is told
	URI     string // what stands for the place of media that the message itself holds
	Subject string // that it was published on
	Trace   Trace  // that its headers bring
	Header  nats.Header
	Data    []byte
	At      time.Time // when it was published
	Tries   int       // how often it was handed out, this time included
}

// An Intake is what captures media on subjects, and hands them out once more for as long as nobody has said that they are
// taken in.
type Intake struct {
	q       *Queue
	sources []source

	host   string
	names  Named
	wanted []string // the subjects that were captured last; only of who calls Keep
}

// A source is a stream that captures some of the subjects.
type source struct {
	stream   string
	prefix   string // of the ids of its messages
	consumer jetstream.Consumer
}

// Untaken is how many messages of the intake stream are not taken in yet. Those of other streams are not counted.
func (q *Queue) Untaken(ctx context.Context) (int, error) {
	stream, err := q.js.Stream(ctx, q.ns.name("intake"))
	if errors.Is(err, jetstream.ErrStreamNotFound) { // nobody takes any in
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("count the messages that are not taken in: %w", err)
	}
	return int(stream.CachedInfo().State.Msgs), nil
}

// A Mark is where the streams of an intake ended at some time.
type Mark map[string]uint64

// End returns where the streams end now.
func (in *Intake) End(ctx context.Context) (Mark, error) {
	m := Mark{}
	for _, s := range in.sources {
		stream, err := in.q.js.Stream(ctx, s.stream)
		if err != nil {
			return nil, fmt.Errorf("look where stream %s ends: %w", s.stream, err)
		}
		m[s.stream] = stream.CachedInfo().State.LastSeq
	}
	return m, nil
}

// Reached reports whether everything that was there at a mark is taken in. More may have come since.
func (in *Intake) Reached(ctx context.Context, m Mark) (bool, error) {
	for _, s := range in.sources {
		if reached, err := in.reached(ctx, s, m[s.stream]); !reached || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (in *Intake) reached(ctx context.Context, s source, end uint64) (bool, error) {
	if s.stream == in.q.ns.name("intake") { // what is taken in is gone from it
		stream, err := in.q.js.Stream(ctx, s.stream)
		if err != nil {
			return false, fmt.Errorf("look where stream %s begins: %w", s.stream, err)
		}
		state := stream.CachedInfo().State
		return state.Msgs == 0 || state.FirstSeq > end, nil
	}
	info, err := s.consumer.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("ask what stream %s has that is not taken in: %w", s.stream, err)
	}
	return info.NumPending == 0 && info.NumAckPending == 0 || info.AckFloor.Stream >= end, nil
}

// A MessagePool says how messages are taken in.
type MessagePool struct {
	Slots int                         // messages in hand at a time, of each stream
	Grace time.Duration               // time for those in hand, once no more are taken
	Ready func(context.Context) error // blocks while none is wanted; an error only when its context ends

	// Handle takes a message in, and says whether that is done, by [Done] or [RetryAfter]. Its context ends when the message
	// may be handed to somebody else, or when the time to stop cleanly is over.
	Handle func(context.Context, Message) Settlement
}

// Work hands out messages until ctx ends, as [Queue.Work] does jobs.
func (in *Intake) Work(ctx context.Context, p MessagePool) error {
	hard, cancel := withGrace(ctx, p.Grace)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range in.sources {
		messages := feed{
			what: fmt.Sprintf("messages from stream %s", s.stream), ready: p.Ready,
			from:    func(context.Context) (jetstream.Consumer, error) { return s.consumer, nil },
			deliver: func(msg jetstream.Msg) { in.deliver(hard, p, s.prefix, msg) },
		}
		for range p.Slots {
			g.Go(func() error { return in.q.slot(ctx, messages) })
		}
	}
	return g.Wait()
}

// deliver has one message taken in, and settles.
func (in *Intake) deliver(ctx context.Context, p MessagePool, prefix string, msg jetstream.Msg) {
	ctx, quiet, release := in.q.hold(ctx, msg)
	defer release()
	m, err := message(prefix, msg)
	if err != nil {
		in.q.Log.Warn("a message waits", "subject", msg.Subject(), "error", err)
		return
	}
	settlement := p.Handle(ctx, m)
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		return // the broker takes a word from anybody
	}
	if settlement.kind == done {
		err = in.q.ack(ctx, msg)
	} else {
		quiet()
		err = msg.NakWithDelay(settlement.delay)
	}
	if err != nil {
		in.q.Log.Warn("a message was not settled, and will be handed out again", "message", m.ID, "settlement", settlement.String(), "error", err)
	}
}

func message(prefix string, msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, err
	}
	return Message{
		ID:      messageID(prefix, meta.Sequence.Stream),
		URI:     fmt.Sprintf("nats-message://%s/%d", meta.Stream, meta.Sequence.Stream),
		Subject: msg.Subject(), Trace: TraceFrom(msg.Headers()), Header: msg.Headers(), Data: msg.Data(), At: meta.Timestamp.UTC(), Tries: int(meta.NumDelivered),
	}, nil
}

func messageID(prefix string, sequence uint64) DropID {
	return DropID(fmt.Sprintf("%s-%d", prefix, sequence))
}
