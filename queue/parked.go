package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Waiting counts the files that wait for workers of single machines, those in hand there included. The broker hears of new
// ones a little late.
func (q *Queue) Waiting(ctx context.Context) (map[string]int, error) {
	stages, err := q.stages(ctx)
	if err != nil {
		return nil, err
	}
	waiting := map[string]int{}
	for _, info := range stages {
		if n := int(info.NumPending) + info.NumAckPending; n > 0 && info.Config.Metadata[hostKey] != "" {
			waiting[info.Config.Metadata[hostKey]] = n
		}
	}
	return waiting, nil
}

// offersAtATime is how many jobs are offered at a time: their writes go together.
const offersAtATime = 64

// Reoffer offers what waits for a machine to all workers again, and returns how many jobs that were, and how many are left
// because they are put off, or in somebody's hands. It is meant for a machine on which nobody works: it takes the jobs as a
// worker there would, so that one which somebody has in hand is left to him. What is put there from now on is not offered:
// whoever put it there has looked.
func (q *Queue) Reoffer(ctx context.Context, host string) (n, left int, err error) {
	o := offering{q: q, pool: Pool{Stage: UploadAt(host)}}
	c, err := q.jobs.Consumer(ctx, o.pool.Stage.consumer()) // with how much there is
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, 0, nil
	}
	var jobs *jetstream.StreamInfo
	if err == nil {
		jobs, err = q.jobs.Info(ctx)
	}
	if err == nil {
		o.last = jobs.State.LastSeq
		err = o.run(ctx, c)
	}
	if err != nil {
		return int(o.offered.Load()), 0, fmt.Errorf("offer what waits for %s to all: %w", host, err)
	}
	n, was := int(o.offered.Load()), c.CachedInfo()
	return n, max(0, int(was.NumPending)+was.NumAckPending-n), nil
}

// An offering is what Reoffer does.
type offering struct {
	q       *Queue
	pool    Pool
	last    uint64 // the newest message that is to be offered
	newer   atomic.Bool
	offered atomic.Int64
}

func (o *offering) run(ctx context.Context, c jetstream.Consumer) error {
	o.pool.Handle = func(context.Context, *Task) Settlement {
		o.offered.Add(1)
		return Settlement{kind: offer}
	}
	for before := int64(-1); o.offered.Load() > before && !o.newer.Load(); {
		before = o.offered.Load()
		batch, err := c.FetchNoWait(offersAtATime)
		if err != nil {
			return err
		}
		var hands sync.WaitGroup
		for msg := range batch.Messages() {
			hands.Go(func() { o.one(ctx, msg) })
		}
		hands.Wait()
		if err := batch.Error(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (o *offering) one(ctx context.Context, msg jetstream.Msg) {
	if meta, err := msg.Metadata(); err != nil || meta.Sequence.Stream > o.last {
		o.newer.Store(true)
		_ = msg.Nak()
		return
	}
	o.q.deliver(ctx, o.pool, msg)
}

// repark has a message handed out that is on the queue of a machine without a consumer, if its job's record says that it is
// to be there, and otherwise takes it away.
func (q *Queue) repark(ctx context.Context, subject string) error {
	r, err := q.load(ctx, JobKey(lastToken(subject)))
	switch {
	case err == nil && r.State.ended(), err == nil && r.stage() != stageOf(subject):
		return q.takeFrom(ctx, subject)
	case err == nil:
		q.consumers.Delete(r.stage()) // it was there, once
		return q.enqueue(ctx, r.Job)
	case errors.Is(err, errNoJob): // Recover drops it
		return nil
	}
	return err
}

// clearParked takes messages from the queues of machines that a crash has left there when their jobs went elsewhere. A worker
// there would do so, but there may be none for long.
func (q *Queue) clearParked(ctx context.Context, age time.Duration) error {
	info, err := q.jobs.Info(ctx, jetstream.WithSubjectFilter(q.ns.job(anyHost, "*")))
	if err != nil {
		return fmt.Errorf("list what waits for single machines: %w", err)
	}
	for subject := range info.State.Subjects {
		r, err := q.load(ctx, JobKey(lastToken(subject)))
		if err != nil || !r.State.ended() && r.stage() == stageOf(subject) {
			continue
		}
		msg, err := q.last(ctx, q.jobs, subject)
		if err != nil || time.Since(msg.Time) < age { // somebody may just be at it
			continue
		}
		if r.State.ended() {
			err = q.announceAgain(ctx, r.Job)
		}
		if err == nil {
			err = q.takeFrom(ctx, subject)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
