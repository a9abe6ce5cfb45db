package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A Message is media that somebody has published, or a reference to some.
type Message struct {
	ID     DropID // of the drop that it is: the stream that keeps it, and its place there. The publisher's acknowledgement has both
	URI    string // what stands for the place of media that the message itself holds
	Header nats.Header
	Data   []byte
	At     time.Time // when it was published
	Tries  int       // how often it was handed out, this time included
}

// An Intake is what captures media on subjects, and hands them out once more for as long as nobody has said that they are
// taken in.
type Intake struct {
	q       *Queue
	sources []source
}

// A source is a stream that captures some of the subjects.
type source struct {
	stream   string
	consumer jetstream.Consumer
}

// intakeBytes is how much may wait on the intake stream. A full one refuses more, which its publisher is told.
const intakeBytes = 1 << 30

// Intake has subjects captured, so that what is published on them is acknowledged to its publisher and kept until it is taken
// in. What a stream of somebody else's captures is left there, and consumed from it by a durable consumer of the name
// <ns>-intake. The machines of a cluster may name different subjects: each takes in what any of them has named. host is the
// name under which this machine's are remembered; those that it does not name any more are given up.
//
// <ns>.intake is captured in any case.
func (q *Queue) Intake(ctx context.Context, host string, subjects []string) (*Intake, error) {
	var in *Intake
	err := q.persist(ctx, func() (err error) {
		in, err = q.openIntake(ctx, host, subjects)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("have subjects captured: %w", q.conn.explain(err))
	}
	return in, nil
}

func (q *Queue) openIntake(ctx context.Context, host string, subjects []string) (*Intake, error) {
	wanted, err := q.wantSubjects(ctx, host, subjects)
	for err == nil {
		var in *Intake
		if in, err = q.capture(ctx, wanted); err != nil {
			return nil, err
		}
		var now []string
		if now, err = q.wantedSubjects(ctx); err == nil && slices.Equal(now, wanted) {
			return in, nil
		}
		wanted = now // another machine has named some meanwhile
	}
	return nil, err
}

// subjectsKey is where the subjects are remembered that a machine has named.
func subjectsKey(host string) string {
	if host == "" { // there is but one
		return subjectsPrefix + "_"
	}
	return subjectsPrefix + hostToken(host)
}

const subjectsPrefix = "subjects."

// wantSubjects remembers what this machine names, and returns what all of them do.
func (q *Queue) wantSubjects(ctx context.Context, host string, subjects []string) ([]string, error) {
	key := subjectsKey(host)
	if len(subjects) == 0 {
		if err := q.control.Remove(ctx, key); err != nil {
			return nil, err
		}
		return q.wantedSubjects(ctx)
	}
	data, err := json.Marshal(subjects)
	if err != nil {
		return nil, err
	}
	if _, _, err = q.publish(ctx, write{subject: q.control.subject(key), data: data, last: anySequence}); err != nil {
		return nil, err
	}
	return q.wantedSubjects(ctx)
}

// wantedSubjects are those that any machine names, sorted.
func (q *Queue) wantedSubjects(ctx context.Context) ([]string, error) {
	keys, err := q.control.Keys(ctx, subjectsPrefix+"*")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, key := range keys {
		e, err := q.control.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		var named []string
		if len(e.Data) > 0 && json.Unmarshal(e.Data, &named) != nil {
			q.Log.Warn("a machine's record of subjects is damaged, and left out until it starts again", "record", key)
		}
		all = append(all, named...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// capture makes sure that each subject has its stream and consumer.
func (q *Queue) capture(ctx context.Context, subjects []string) (*Intake, error) {
	in := &Intake{q: q}
	ours, theirs := []string{q.ns.subject("intake")}, map[string][]string{}
	for _, s := range leaveOutCovered(append(subjects, ours...)) {
		if s == ours[0] {
			continue
		}
		stream, err := q.capturedBy(ctx, s)
		if err != nil {
			return nil, err
		}
		if stream == "" {
			ours = append(ours, s)
		} else {
			theirs[stream] = append(theirs[stream], s)
		}
	}
	own, err := q.intakeStream(ctx, ours)
	if err != nil {
		return nil, err
	}
	theirs[own] = nil
	for stream, filters := range theirs {
		c, err := q.intakeConsumer(ctx, stream, filters)
		if err != nil {
			return nil, err
		}
		in.sources = append(in.sources, source{stream, c})
	}
	return in, nil
}

// capturedBy returns the stream of somebody else's that captures a subject; empty: none does.
func (q *Queue) capturedBy(ctx context.Context, subject string) (string, error) {
	names := q.js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
	for name := range names.Name() {
		if name == q.ns.name("intake") {
			continue
		}
		s, err := q.js.Stream(ctx, name)
		if err != nil {
			return "", fmt.Errorf("look at stream %s, which has to do with subject %s: %w", name, subject, err)
		}
		captured := s.CachedInfo().Config.Subjects
		if slices.ContainsFunc(captured, func(c string) bool { return covers(c, subject) }) {
			return name, nil
		}
		return "", fmt.Errorf("INGEST_SUBJECTS has %s, and stream %s captures only a part of it (%s): name that part, and the others, each for itself",
			subject, name, strings.Join(captured, ", "))
	}
	if err := names.Err(); err != nil {
		return "", fmt.Errorf("ask which stream captures subject %s: %w", subject, err)
	}
	return "", nil
}

// intakeStream makes sure that our stream captures these subjects, and no others, and returns its name.
func (q *Queue) intakeStream(ctx context.Context, subjects []string) (string, error) {
	name := q.ns.name("intake")
	slices.Sort(subjects)
	s, err := q.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = q.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: name, Subjects: subjects, Replicas: q.Replicas, Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxBytes: intakeBytes,
			FirstSeq: uint64(time.Now().UnixMicro()), // drops are named by their sequence, which must not come again in a stream that is made anew
		})
		if err == nil || !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return name, explainStream(name, subjects, err)
		}
		s, err = q.js.Stream(ctx, name) // another process was faster
	}
	if err != nil {
		return "", explainStream(name, subjects, err)
	}
	cfg := s.CachedInfo().Config
	now := slices.Sorted(slices.Values(cfg.Subjects))
	if slices.Equal(now, subjects) {
		return name, nil
	}
	for _, gone := range now {
		if !slices.Contains(subjects, gone) {
			q.Log.Info("a subject is no longer captured", "subject", gone)
		}
	}
	cfg.Subjects = subjects
	_, err = q.js.UpdateStream(ctx, cfg)
	return name, explainStream(name, subjects, err)
}

func explainStream(name string, subjects []string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("have stream %s capture %s: %w", name, strings.Join(subjects, ", "), err)
}

// intakeConsumer makes sure that a stream is consumed. Of somebody else's, what its consumer may have been told before stays:
// whoever wants only what is new, of a stream that keeps what is old, makes it so beforehand.
func (q *Queue) intakeConsumer(ctx context.Context, stream string, filters []string) (jetstream.Consumer, error) {
	name := q.ns.name("intake")
	cfg := jetstream.ConsumerConfig{Durable: name}
	c, err := q.js.Consumer(ctx, stream, name)
	switch {
	case err == nil:
		cfg = c.CachedInfo().Config
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, fmt.Errorf("look at consumer %s of stream %s: %w", name, stream, err)
	}
	cfg.FilterSubject, cfg.FilterSubjects = "", filters
	cfg.AckPolicy, cfg.AckWait, cfg.MaxDeliver, cfg.MaxAckPending, cfg.BackOff = jetstream.AckExplicitPolicy, ackWait, -1, intakePending, nil
	if c, err = q.js.CreateOrUpdateConsumer(ctx, stream, cfg); err != nil {
		return nil, fmt.Errorf("create consumer %s of stream %s for %s: %w", name, stream, strings.Join(filters, ", "), err)
	}
	return c, nil
}

// intakePending is how many messages of a stream may be in hand, or wait to be tried again, in the whole cluster.
const intakePending = 10_000

// Streams are those that media are taken from.
func (in *Intake) Streams() []string {
	var names []string
	for _, s := range in.sources {
		names = append(names, s.stream)
	}
	slices.Sort(names)
	return names
}

// Pending is how many messages are not taken in yet.
func (in *Intake) Pending(ctx context.Context) (int, error) {
	n := 0
	for _, s := range in.sources {
		info, err := s.consumer.Info(ctx)
		if err != nil {
			return 0, fmt.Errorf("ask what stream %s has that is not taken in: %w", s.stream, err)
		}
		n += int(info.NumPending) + info.NumAckPending
	}
	return n, nil
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
		name := fmt.Sprintf("messages from stream %s", s.stream)
		from := func(context.Context) (jetstream.Consumer, error) { return s.consumer, nil }
		for range p.Slots {
			g.Go(func() error {
				return in.q.slot(ctx, from, name, p.Ready, func(msg jetstream.Msg) { in.deliver(hard, p, msg) })
			})
		}
	}
	return g.Wait()
}

// deliver has one message taken in, and settles.
func (in *Intake) deliver(ctx context.Context, p MessagePool, msg jetstream.Msg) {
	ctx, quiet, release := in.q.hold(ctx, msg)
	defer release()
	m, err := message(msg)
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

func message(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, err
	}
	return Message{
		ID:     messageID(meta.Stream, meta.Sequence.Stream),
		URI:    fmt.Sprintf("nats-message://%s/%d", meta.Stream, meta.Sequence.Stream),
		Header: msg.Headers(), Data: msg.Data(), At: meta.Timestamp.UTC(), Tries: int(meta.NumDelivered),
	}, nil
}

func messageID(stream string, sequence uint64) DropID {
	return DropID(fmt.Sprintf("%s-%d", stream, sequence))
}

// HandIn publishes a message for the intake, and returns the id of its drop when it is durable.
func (q *Queue) HandIn(ctx context.Context, header nats.Header, data []byte) (DropID, error) {
	m := nats.NewMsg(q.ns.subject("intake"))
	m.Data = data
	for name, values := range header {
		if !strings.HasPrefix(name, "Nats-") { // orders to the broker, but for the one by which it knows what comes twice
			m.Header[name] = values
		}
	}
	if id := header.Get(nats.MsgIdHdr); id != "" {
		m.Header.Set(nats.MsgIdHdr, id)
	}
	ack, err := q.js.PublishMsg(ctx, m)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return "", fmt.Errorf("no daemon takes in what is published on %s: is one running that watches?", m.Subject)
	case isFull(err):
		return "", fmt.Errorf("%w: %d MB wait to be taken in: %w", ErrFull, intakeBytes>>20, err)
	case err != nil:
		return "", fmt.Errorf("publish on %s: %w", m.Subject, q.conn.explain(err))
	}
	return messageID(ack.Stream, ack.Sequence), nil
}
