package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// A Budget counts the calls of the whole cluster where it is known how many were granted. A call is in the durable count
// before it is made, so that a crash never leads to more calls than were granted.
type Budget struct {
	queue  *queue.Queue
	record record
	id     string // of this process

	writing sync.Mutex // one change at a time; others of this process would only conflict

	mu       sync.Mutex
	counts   Counts
	revision uint64
	awaiting int // media whose result is awaited, as of the last look
}

// Counts returns what is counted.
func (b *Budget) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

// Create counts the create of a media record for a job, right before it is made. The error is ErrSpent, or the broker's.
func (b *Budget) Create(ctx context.Context, job queue.JobKey) error {
	if !b.Counts().Known() {
		return nil
	}
	return b.change(ctx, func(c Counts) (Counts, error) { // after the record was read: a job is counted twice rather than never
		c, err := b.look(ctx, c)
		if err != nil {
			return c, err
		}
		return c.create(job, b.awaited())
	})
}

// Query counts a poll or a list page, right before it is made. certain says that its result is as good as there, or that
// the call cannot be put off. The error is ErrSpent, ErrReserved, or the broker's.
func (b *Budget) Query(ctx context.Context, certain bool) error {
	if !b.Counts().Query.Known() {
		return nil
	}
	return b.change(ctx, func(c Counts) (Counts, error) { return c.query(certain, b.awaited()) })
}

// Tight reports whether only one Query call is left for each result that is still to come.
func (b *Budget) Tight() bool { return b.Counts().tight(b.awaited()) }

// Awaits says how many results are awaited in the whole cluster.
func (b *Budget) Awaits(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.awaiting = n
}

func (b *Budget) awaited() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.awaiting
}

// covers reports whether one more file can be uploaded, and one more call of each kind be made.
func (b *Budget) covers(ctx context.Context) (upload, query bool, err error) {
	c := b.Counts()
	if c.Query.Known() {
		if c, err = b.look(ctx, c); err != nil {
			return false, false, err
		}
	}
	return c.coversUpload(b.awaited()), c.Query.has(1), nil
}

// look asks the broker how many results are awaited, and leaves out the jobs that are not being uploaded any more.
func (b *Budget) look(ctx context.Context, c Counts) (Counts, error) {
	if !c.Query.Known() {
		return c, nil
	}
	var failed error
	c = c.without(func(job queue.JobKey) bool {
		there, err := b.queue.Uploading(ctx, job)
		failed = errors.Join(failed, err)
		return err == nil && !there
	})
	if failed != nil {
		return c, failed
	}
	d, err := b.queue.Depths(ctx)
	if err != nil {
		return c, err
	}
	b.Awaits(d.Await)
	return c, nil
}

// Grant says how many calls are granted in all; 0: not known.
func (b *Budget) Grant(ctx context.Context, mutation, query int) error {
	if c := b.Counts(); c.Mutation.Granted == mutation && c.Query.Granted == query {
		return nil
	}
	return b.change(ctx, func(c Counts) (Counts, error) {
		c.Mutation.Granted, c.Query.Granted = mutation, query
		return c, nil
	})
}

// Renewed counts from zero again: the platform has begun a new period.
func (b *Budget) Renewed(ctx context.Context) error {
	return b.change(ctx, func(c Counts) (Counts, error) { return c.renewed(), nil })
}

// change makes a change durable.
func (b *Budget) change(ctx context.Context, next func(Counts) (Counts, error)) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	for {
		b.mu.Lock()
		was, over := b.counts, b.revision
		b.mu.Unlock()
		is, err := next(was)
		if err != nil {
			return err
		}
		is.By = b.id + " " + now().Format(time.RFC3339Nano)
		data, err := json.Marshal(is)
		if err != nil {
			return err
		}
		revision, err := b.record.put(ctx, data, over)
		if err == nil {
			b.mirror(is, revision)
			return nil
		}
		if !errors.Is(err, queue.ErrConflict) {
			return fmt.Errorf("count a call: %w", err)
		}
		if data, revision, err = b.record.get(ctx); err != nil {
			return fmt.Errorf("count a call: %w", err)
		}
		if err := b.load(data, revision); err != nil {
			return err
		}
	}
}

// load mirrors the record.
func (b *Budget) load(data []byte, revision uint64) error {
	var c Counts
	if len(data) > 0 {
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("the record of the counted calls is damaged: %w", err)
		}
	}
	b.mirror(c, revision)
	return nil
}

func (b *Budget) mirror(c Counts, revision uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if revision > b.revision {
		b.counts, b.revision = c, revision
	}
}
