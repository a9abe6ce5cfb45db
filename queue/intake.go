package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A Message is media that somebody has published, or a reference to some.
type Message struct {
	ID     DropID // of the drop that it is. On <ns>-intake, that name and the sequence, which the publisher is told
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

// A Named is what a process names as the sources of media. It is remembered while its machine is away.
type Named struct {
	Subjects []string `json:"subjects,omitempty"`
	Roots    []string `json:"roots,omitempty"` // folders, of which it reads what references name
}

// A naming is the record of that.
type naming struct {
	Named
	At time.Time `json:"at"` // when a process was last there that names it
}

// intakeBytes is how much may wait on the intake stream. A full one refuses more, which its publisher is told.
const intakeBytes = 1 << 30

// Intake has subjects captured, so that what is published on them is acknowledged to its publisher and kept until it is taken
// in. What a stream of somebody else's captures is left there, and consumed from it by a durable consumer of the name
// <ns>-intake. The machines of a cluster may name different subjects: each takes in what any of them has named. host is the
// name under which this machine's are remembered. What none of its processes names any more is given up: if there is a host, some
// minutes after the last one that did was there, for there may be others on it. [Intake.Keep] tells that one is there.
//
// <ns>.intake is captured in any case.
func (q *Queue) Intake(ctx context.Context, host string, n Named) (*Intake, error) {
	var in *Intake
	err := q.Persist(ctx, func(ctx context.Context) (err error) {
		in, err = q.openIntake(ctx, host, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("have subjects captured: %w", q.conn.explain(err))
	}
	return in, nil
}

func (q *Queue) openIntake(ctx context.Context, host string, n Named) (*Intake, error) {
	if err := q.name(ctx, host, n); err != nil {
		return nil, err
	}
	if _, err := q.media.make(ctx, q); err != nil { // for those who hand files in; whoever needs it tries again
		q.Log.Warn("there is no bucket for what messages bring so far", "error", err)
	}
	wanted, err := q.wantedSubjects(ctx)
	for err == nil {
		var in *Intake
		if in, err = q.capture(ctx, wanted); err != nil {
			return nil, err
		}
		var now []string
		if now, err = q.wantedSubjects(ctx); err == nil && slices.Equal(now, wanted) {
			in.host, in.names, in.wanted = host, n, wanted
			return in, q.tellOthers(ctx, host, n)
		}
		wanted = now // another machine has named some meanwhile
	}
	return nil, err
}

const (
	// keepEvery is how often a process tells that what it names is named still.
	keepEvery = 30 * time.Second
	// namedLife is for how long what a process has named counts beside what another one of its machine names.
	namedLife = 3 * time.Minute
)

// Keep tells, until ctx ends, that what this process names is named still, and has captured what is to be: that another process of
// this machine has gone, or was taken for gone during an outage, is noticed by those that are there. Its error is nil.
func (in *Intake) Keep(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := in.keep(ctx); err != nil && ctx.Err() == nil {
			in.q.Log.Debug("what is to be captured could not be looked at", "error", err)
		}
	}
}

func (in *Intake) keep(ctx context.Context) error {
	if err := in.q.name(ctx, in.host, in.names); err != nil {
		return err
	}
	wanted, err := in.q.wantedSubjects(ctx)
	if err != nil || slices.Equal(wanted, in.wanted) {
		return err
	}
	if _, err = in.q.capture(ctx, wanted); err == nil {
		in.wanted = wanted
	}
	return err
}

// name notes what a process names.
func (q *Queue) name(ctx context.Context, host string, n Named) error {
	data, err := json.Marshal(naming{n, time.Now().UTC()})
	if err == nil {
		_, _, err = q.publish(ctx, write{subject: q.control.subject(namedKey(host, n)), data: data, last: anySequence})
	}
	return err
}

// tellOthers says that other processes of this machine name something else. They may; but somebody may have forgotten one of them.
func (q *Queue) tellOthers(ctx context.Context, host string, n Named) error {
	all, err := q.namings(ctx)
	for key, other := range all {
		if host != "" && namedBy(key) == hostToken(host) && key != namedKey(host, n) {
			q.Log.Info("another process of this machine names other subjects or folders, or did so a moment ago: what each of them names is "+
				"taken in, until some minutes after the last one that names it has ended", "machine", host,
				"subjects", strings.Join(n.Subjects, ", "), "its_subjects", strings.Join(other.Subjects, ", "),
				"folders", strings.Join(n.Roots, ", "), "its_folders", strings.Join(other.Roots, ", "))
		}
	}
	return err
}

// namedKey is where what a process of a machine has named is remembered, together with others that name the same.
func namedKey(host string, n Named) string {
	if host == "" { // there is but one
		return namedPrefix + "_"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", slices.Sorted(slices.Values(n.Subjects)), slices.Sorted(slices.Values(n.Roots))))
	return namedPrefix + hostToken(host) + "." + hex.EncodeToString(sum[:6])
}

const namedPrefix = "named."

// named is what the processes of each machine name, whether or not they are there now: those that were there when the last one was.
func (q *Queue) named(ctx context.Context) ([]Named, error) {
	namings, err := q.namings(ctx)
	var all []Named
	for _, n := range namings {
		all = append(all, n.Named)
	}
	return all, err
}

// namings are the records of that which count, by their keys.
func (q *Queue) namings(ctx context.Context) (map[string]naming, error) {
	keys, err := q.control.Keys(ctx, namedPrefix+">")
	if err != nil {
		return nil, err
	}
	all, newest := map[string]naming{}, map[string]time.Time{}
	for _, key := range keys {
		e, err := q.control.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		var n naming
		if len(e.Data) > 0 && json.Unmarshal(e.Data, &n) != nil {
			q.Log.Warn("a machine's record of what it takes media from is damaged, and left out until it starts again", "record", key)
		}
		all[key] = n
		if host := namedBy(key); n.At.After(newest[host]) {
			newest[host] = n.At
		}
	}
	maps.DeleteFunc(all, func(key string, n naming) bool { return newest[namedBy(key)].Sub(n.At) > namedLife })
	return all, nil
}

// namedBy is the machine of a record's key.
func namedBy(key string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(key, namedPrefix), ".")
	return host
}

// wantedSubjects are those that any machine names, sorted.
func (q *Queue) wantedSubjects(ctx context.Context) ([]string, error) {
	named, err := q.named(ctx)
	var all []string
	for _, n := range named {
		all = append(all, n.Subjects...)
	}
	slices.Sort(all)
	return slices.Compact(all), err
}

// Roots are the folders of which some machine reads what references name, whether or not it is there now.
func (in *Intake) Roots(ctx context.Context) ([]string, error) {
	named, err := in.q.named(ctx)
	var all []string
	for _, n := range named {
		all = append(all, n.Roots...)
	}
	return all, err
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
		s, err := q.source(ctx, stream, filters)
		if err != nil {
			return nil, err
		}
		in.sources = append(in.sources, s)
	}
	return in, nil
}

// source makes sure that a stream is consumed. The sequences of somebody else's may come again when it is made anew, and so the
// time when it was made is part of its messages' ids.
func (q *Queue) source(ctx context.Context, stream string, filters []string) (source, error) {
	c, err := q.intakeConsumer(ctx, stream, filters)
	if err != nil || stream == q.ns.name("intake") {
		return source{stream, stream, c}, err
	}
	s, err := q.js.Stream(ctx, stream)
	if err != nil {
		return source{}, fmt.Errorf("look at stream %s: %w", stream, err)
	}
	return source{stream, stream + "-" + strconv.FormatInt(s.CachedInfo().Created.Unix(), 36), c}, nil
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
	for errors.Is(err, jetstream.ErrStreamNotFound) {
		want := jetstream.StreamConfig{
			Name: name, Subjects: subjects, Replicas: q.Replicas, Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxBytes: intakeBytes,
			FirstSeq: uint64(time.Now().UnixMicro()), // drops are named by their sequence, which must not come again in a stream that is made anew
		}
		_, err = q.js.CreateStream(ctx, want)
		if err == nil || !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || pause(ctx, 50*time.Millisecond) != nil {
			return name, explainStream(name, subjects, q.advise(err, want))
		}
		s, err = q.js.Stream(ctx, name) // another process was faster; a cluster may not have made what it has promised to
	}
	if err != nil {
		return "", explainStream(name, subjects, err)
	}
	cfg := s.CachedInfo().Config
	now, copies := slices.Sorted(slices.Values(cfg.Subjects)), max(cfg.Replicas, q.Replicas)
	if slices.Equal(now, subjects) && copies == cfg.Replicas {
		return name, nil
	}
	for _, gone := range now {
		if !slices.Contains(subjects, gone) {
			q.Log.Warn("a subject is no longer captured, as no machine names it any more", "subject", gone)
		}
	}
	cfg.Subjects, cfg.Replicas = subjects, copies
	_, err = q.js.UpdateStream(ctx, cfg)
	return name, explainStream(name, subjects, q.advise(err, cfg))
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
		return nil, fmt.Errorf("create consumer %s of stream %s for %s: %w", name, stream, strings.Join(filters, ", "), unplaced(err))
	}
	return c, nil
}

// intakePending is how many messages of a stream may be in hand, or wait to be tried again, in the whole cluster. What waits for
// servers that do not answer must not keep the rest from being taken in.
const intakePending = 100_000

// Streams are those that media are taken from.
func (in *Intake) Streams() []string {
	var names []string
	for _, s := range in.sources {
		names = append(names, s.stream)
	}
	slices.Sort(names)
	return names
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
		ID:     messageID(prefix, meta.Sequence.Stream),
		URI:    fmt.Sprintf("nats-message://%s/%d", meta.Stream, meta.Sequence.Stream),
		Header: msg.Headers(), Data: msg.Data(), At: meta.Timestamp.UTC(), Tries: int(meta.NumDelivered),
	}, nil
}

func messageID(prefix string, sequence uint64) DropID {
	return DropID(fmt.Sprintf("%s-%d", prefix, sequence))
}
