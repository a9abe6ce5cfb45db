package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

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
