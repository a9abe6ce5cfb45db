package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errNoJob says that the ledger has no record of a job.
var errNoJob = errors.New("the ledger has no such job")

// A record is a job as the ledger has it.
type record struct {
	Job
	revision uint64 // sequence of the last message on the record's subject, a deletion's too; 0: none
}

// load reads a job's record. Without one the error is errNoJob, and the revision is what a new one has to expect.
func (q *Queue) load(ctx context.Context, key JobKey) (record, error) {
	msg, err := q.last(ctx, q.ledger, q.ns.record(key))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return record{}, errNoJob
	case err != nil:
		return record{}, fmt.Errorf("read the ledger for job %s: %w", key, err)
	case len(msg.Data) == 0: // a marker left by an expired or deleted record
		return record{revision: msg.Sequence}, errNoJob
	}
	r := record{revision: msg.Sequence}
	if err := json.Unmarshal(msg.Data, &r.Job); err != nil {
		return r, fmt.Errorf("the ledger's record of job %s is damaged: %w", key, err)
	}
	if err := r.check(key); err != nil {
		return r, fmt.Errorf("the ledger's record of job %s is damaged: %w", key, err)
	}
	return r, nil
}

// announceTime is how much longer than its answer is good for a terminal record is kept: a daemon that stops between
// the record and its messages has so long to come back and publish them.
const announceTime = 30 * 24 * time.Hour

// store writes the job over the given revision and returns the new one, or ErrConflict.
func (q *Queue) store(ctx context.Context, j Job, over uint64) (record, error) {
	data, err := json.Marshal(j)
	if err != nil {
		return record{}, err
	}
	w := write{subject: q.ns.record(j.Key), data: data, last: int64(over), state: j.State, group: q.groups.ledger}
	if j.State.ended() {
		w.ttl = q.ResultTTL + announceTime
	}
	seq, err := q.swap(ctx, q.ledger, w)
	if err != nil {
		return record{}, err
	}
	return record{Job: j, revision: seq}, nil
}

// advance is store for a job that goes on from a record, or begins. It is counted if it is in another state then.
func (q *Queue) advance(ctx context.Context, was record, next Job) (record, error) {
	r, err := q.store(ctx, next, was.revision)
	if err == nil && next.State != was.State {
		q.metrics.reached(next)
	}
	return r, err
}

// apply moves the job on by an event, and returns the record as it is then; with an error, as it was. That a drop has joined
// meanwhile changes nothing about the event; that anything else has changed, be it only where the job's message is, is an
// ErrConflict.
func (q *Queue) apply(ctx context.Context, r record, e Event) (record, error) {
	for {
		next, err := r.Next(e)
		if err != nil {
			return r, err
		}
		stored, err := q.advance(ctx, r, next)
		if err == nil {
			return stored, nil
		}
		if !errors.Is(err, ErrConflict) {
			return r, err
		}
		now, err := q.load(ctx, r.Key)
		if err != nil {
			return r, err
		}
		if !sameButDrops(r.Job, now.Job) {
			return r, ErrConflict
		}
		if now.revision == r.revision { // a replica that lags behind
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return r, err
			}
		}
		r = now
	}
}

// sameButDrops compares the jobs as the ledger writes them, without their drops, and what a drop that joins does to who has
// looked at all of them.
func sameButDrops(a, b Job) bool {
	a.Drops, b.Drops, a.Passed, b.Passed = nil, nil, nil, nil
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
