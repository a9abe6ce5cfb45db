package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// read hands over a stream's messages in their order, each once, until ctx ends. A connection that breaks is waited for.
// caughtUp is called once, when those are handed over that were there at the beginning.
func (q *Queue) read(ctx context.Context, stream string, from jetstream.OrderedConsumerConfig,
	receive func(jetstream.Msg, *jetstream.MsgMetadata), caughtUp func()) error {
	from.MaxResetAttempts = 1 // the client would go on trying after ctx has ended
	r := reading{q: q, stream: stream, from: from, receive: receive, caughtUp: caughtUp, behind: math.MaxUint64, denied: q.conn.denied.Load()}
	for {
		err := r.untilBroken(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", stream, q.conn.explain(err))
		}
	}
}

// A reading is how far somebody has read a stream.
type reading struct {
	q        *Queue
	stream   string
	from     jetstream.OrderedConsumerConfig // where to begin, or to go on
	receive  func(jetstream.Msg, *jetstream.MsgMetadata)
	caughtUp func()

	denied *error // the permission that was refused last before the reading began, whatever for

	begun  bool
	caught bool   // caughtUp was called
	behind uint64 // of the messages that were there at the beginning, those that are still to come: at most so many
}

// errNothingComes says that messages are there, and are not handed out.
var errNothingComes = errors.New("the server hands nothing out")

// stallTime is how long one waits for a message that should be there. The broker may have lost the request, or the message.
const stallTime = 5 * pulse

// untilBroken reads until ctx ends or something breaks; nil: it can be gone on.
func (r *reading) untilBroken(ctx context.Context) error {
	c, err := r.consumer(ctx)
	if err != nil {
		return err
	}
	defer r.remove(ctx, c)
	messages, err := c.Messages(jetstream.PullHeartbeat(pulse))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for r.missing(c.CachedInfo().NumPending); ; {
		msg, err := r.next(ctx, messages)
		if err != nil {
			return r.broken(ctx)
		}
		at, err := msg.Metadata()
		if err != nil {
			return err
		}
		r.from.DeliverPolicy, r.from.OptStartSeq = jetstream.DeliverByStartSequencePolicy, at.Sequence.Stream+1
		r.receive(msg, at)
		r.missing(min(r.behind-1, at.NumPending))
	}
}

// consumer asks the broker for what is still to be read. Once it could be read, whatever the broker says may pass: a server
// that has just started may not know the stream yet.
func (r *reading) consumer(ctx context.Context) (c jetstream.Consumer, err error) {
	for told := false; ; told = true {
		err = r.q.Persist(ctx, func(ctx context.Context) (err error) {
			c, err = r.q.js.OrderedConsumer(ctx, r.stream, r.from)
			return unplaced(err)
		})
		if err == nil || !r.begun || r.q.conn.IsClosed() {
			r.begun = true
			return c, err
		}
		if !told {
			r.q.Log.Warn("a stream cannot be read on; it is tried again", "stream", r.stream, "error", err)
		}
		if pause(ctx, time.Second) != nil {
			return nil, err
		}
	}
}

// missing notes that no more than n messages are to come of those that were there at the beginning.
func (r *reading) missing(n uint64) {
	if r.behind = min(r.behind, n); r.behind == 0 && !r.caught {
		r.caught = true
		r.caughtUp()
	}
}

// next waits for a message, for ever if none has to be there.
func (r *reading) next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	if r.caught {
		return messages.Next(jetstream.NextContext(ctx))
	}
	for waited := pulse; ; waited += pulse {
		soon, cancel := context.WithTimeout(ctx, pulse)
		msg, err := messages.Next(jetstream.NextContext(soon))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || waited >= stallTime || r.refused() {
			return msg, err
		}
	}
}

// broken waits a moment before the reading goes on. That the server has refused something meanwhile, and so hands nothing
// out, is an error.
func (r *reading) broken(ctx context.Context) error {
	if !r.caught && r.refused() {
		return errNothingComes
	}
	_ = pause(ctx, 100*time.Millisecond) // whether ctx has ended is seen by whoever goes on
	return nil
}

// refused reports whether the server has refused a permission since the reading began: it may have been for this.
func (r *reading) refused() bool {
	denied := r.q.conn.denied.Load()
	return denied != nil && denied != r.denied
}

// remove takes back what was asked of the broker. It would forget it by itself, in some minutes.
func (r *reading) remove(ctx context.Context, c jetstream.Consumer) {
	if !r.q.conn.IsConnected() || r.refused() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.q.js.DeleteConsumer(ctx, r.stream, c.CachedInfo().Name)
}
