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
// worker there would, so that one which somebody has in hand is left to him.
func (q *Queue) Reoffer(ctx context.Context, host string) (n, left int, err error) {
	stage := UploadAt(host)
	c, err := q.jobs.Consumer(ctx, stage.consumer())
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, 0, nil
	}
	for more := err == nil; more && err == nil; {
		var batch jetstream.MessageBatch
		if batch, err = c.FetchNoWait(offersAtATime); err == nil {
			offered := q.offerAll(ctx, stage, batch)
			n, more, err = n+offered, offered > 0 && ctx.Err() == nil, batch.Error()
		}
	}
	var info *jetstream.ConsumerInfo
	if err == nil {
		info, err = c.Info(ctx)
	}
	if err != nil {
		return n, 0, fmt.Errorf("offer what waits for %s to all: %w", host, err)
	}
	return n, info.NumAckPending, nil
}

// offerAll offers the jobs of a batch, and returns when all are settled.
func (q *Queue) offerAll(ctx context.Context, stage Stage, batch jetstream.MessageBatch) int {
	var offered atomic.Int64
	p := Pool{Stage: stage, Handle: func(context.Context, *Task) Settlement {
		offered.Add(1)
		return Settlement{kind: offer}
	}}
	var hands sync.WaitGroup
	for msg := range batch.Messages() {
		hands.Go(func() { q.deliver(ctx, p, msg) })
	}
	hands.Wait()
	return int(offered.Load())
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
			err = q.announce(ctx, r.Job)
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
