package queue

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A Selection names terminal messages. The zero Selection is every verdict that is kept.
type Selection struct {
	Models   []Model   // only of these; none: of all
	Outcomes []Outcome // only verdicts with these; none: with any
	Failures bool      // failures, too, whatever their reason
	Since    time.Time // only what was published then or later, by the broker's clock; zero: whenever
	Behind   *Position // only what is behind it, whatever Since says; nil: wherever it is
	Follow   bool      // what is still to come, too
}

// A Terminal is a terminal message as it is on its stream: a verdict or a failure. The other is nil.
type Terminal struct {
	Verdict *Verdict
	Failure *Failure
	At      time.Time // when its stream took it
	Raw     []byte
}

// Select hands over the terminal messages of a selection one at a time, each once, in the order in which they were published;
// what is still to come, as it comes. It ends with them, if it does not follow, when ctx ends, and with an error of receive's.
// A connection that breaks is waited for. The broker chooses the messages, so that no others cross the network.
func (q *Queue) Select(ctx context.Context, s Selection, receive func(Terminal) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	verdicts, failures := newInflow(), newInflow()
	g.Go(func() error {
		from := s.start(func(p Position) uint64 { return p.Verdicts })
		from.FilterSubjects = q.ns.terminals("verdicts", s.Models, s.Outcomes)
		return pick(ctx, q, "verdicts", from, verdicts, func(v Verdict) Terminal { return Terminal{Verdict: &v} })
	})
	if s.Failures {
		g.Go(func() error {
			from := s.start(func(p Position) uint64 { return p.Failures })
			from.FilterSubjects = q.ns.terminals("failures", s.Models, nil)
			return pick(ctx, q, "failures", from, failures, func(f Failure) Terminal { return Terminal{Failure: &f} })
		})
	} else {
		failures.live = true
	}
	g.Go(func() error {
		defer stop()
		return inOrder(ctx, s.Follow, verdicts, failures, receive)
	})
	return g.Wait()
}

// start is where the selection begins in a stream; of tells which of a position's places is that stream's.
func (s Selection) start(of func(Position) uint64) (from jetstream.OrderedConsumerConfig) {
	switch {
	case s.Behind != nil:
		return behind(of(*s.Behind))
	case !s.Since.IsZero():
		from.DeliverPolicy, from.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.Since
	}
	return from
}

// pick reads a stream, and sends on what can be read of it.
func pick[T any](ctx context.Context, q *Queue, name string, from jetstream.OrderedConsumerConfig, to *inflow, wrap func(T) Terminal) error {
	return q.read(ctx, q.ns.name(name), from, func(msg jetstream.Msg, at *jetstream.MsgMetadata) {
		if v, ok := decodeMessage[T](q, msg); ok {
			t := wrap(v)
			t.At, t.Raw = at.Timestamp, msg.Data()
			to.send(ctx, arrival{Terminal: t})
		}
	}, func() { to.send(ctx, arrival{caughtUp: true}) })
}

// terminals are the subjects of the terminal messages of some models that end in some way. None: all that the stream has.
func (n Namespace) terminals(name string, models []Model, ends []Outcome) (subjects []string) {
	if len(models)+len(ends) == 0 {
		return nil
	}
	if len(models) == 0 {
		models = []Model{"*"}
	}
	if len(ends) == 0 {
		ends = []Outcome{"*"}
	}
	for _, m := range models {
		for _, e := range ends {
			subjects = append(subjects, n.subject(name, string(m), string(e)))
		}
	}
	slices.Sort(subjects)
	return slices.Compact(subjects) // the broker refuses the same one twice
}

// An inflow is what arrives from one stream.
type inflow struct {
	arrivals chan arrival
	next     *Terminal // has arrived, and is not handed over
	live     bool      // all has arrived that was there at the beginning
}

// An arrival is a message, or says that all have arrived that were there at the beginning.
type arrival struct {
	Terminal
	caughtUp bool
}

func newInflow() *inflow { return &inflow{arrivals: make(chan arrival)} }

func (i *inflow) send(ctx context.Context, a arrival) {
	select {
	case i.arrivals <- a:
	case <-ctx.Done():
	}
}

// due is where a message arrives, unless one is there.
func (i *inflow) due() <-chan arrival {
	if i.next != nil {
		return nil
	}
	return i.arrivals
}

func (i *inflow) take(a arrival) {
	if a.caughtUp {
		i.live = true
		return
	}
	i.next = &a.Terminal
}

// known reports whether nothing older than what is there can arrive any more.
func (i *inflow) known() bool { return i.next != nil || i.live }

// inOrder hands over what arrives from two streams, the older first, until nothing more is to come, or ctx ends.
func inOrder(ctx context.Context, follow bool, a, b *inflow, receive func(Terminal) error) error {
	for ctx.Err() == nil {
		if a.known() && b.known() {
			if first := older(a, b); first.next != nil {
				t := *first.next
				first.next = nil
				if err := receive(t); err != nil {
					return err
				}
				continue
			}
			if !follow {
				return nil
			}
		}
		select {
		case x := <-a.due():
			a.take(x)
		case x := <-b.due():
			b.take(x)
		case <-ctx.Done():
		}
	}
	return nil
}

// older is the one of two whose message is to be handed over first, if there is any.
func older(a, b *inflow) *inflow {
	if a.next == nil || b.next != nil && b.next.At.Before(a.next.At) {
		return b
	}
	return a
}
