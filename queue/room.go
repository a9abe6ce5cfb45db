package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What a new job takes, beside its names: an entry of a queue, a record, an entry of the registry. In bytes.
const (
	entryBytes  = 300
	recordBytes = 1000
	fileBytes   = 500
)

// Room returns nil if a new job would be taken in now. Otherwise the error says why not: ErrFull, or that the broker cannot
// be asked.
func (q *Queue) Room(ctx context.Context) error {
	if err := q.Options.Room(); err != nil {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err := q.rooms.jobs.has(ctx, entryBytes); err != nil {
		return err
	}
	if err := q.rooms.ledger.has(ctx, recordBytes); err != nil {
		return err
	}
	if err := q.rooms.files.has(ctx, fileBytes); err != nil {
		return err
	}
	return q.media.room(ctx, q)
}

// take makes sure that there is room for a new job with names of so many bytes, and counts it.
func (q *Queue) take(ctx context.Context, names int) error {
	if err := q.Room(ctx); err != nil {
		return err
	}
	q.rooms.jobs.take(entryBytes)
	q.rooms.ledger.take(int64(recordBytes + names))
	q.rooms.files.take(int64(fileBytes + names))
	return nil
}

// A room keeps new jobs from filling a stream to its byte cap: a quarter is left for those in work, whose records grow
// and whose messages change queues. It asks the broker once a second, and sooner when little is left.
type room struct {
	stream jetstream.Stream

	mu    sync.Mutex
	asked time.Time
	left  int64 // bytes that may be taken before it asks again
}

// has returns ErrFull if there is no room for n bytes.
func (r *room) has(ctx context.Context, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left >= n && time.Since(r.asked) <= time.Second {
		return nil
	}
	info, err := r.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask how full stream %s is: %w", r.stream.CachedInfo().Config.Name, err)
	}
	free := info.Config.MaxBytes/4*3 - int64(info.State.Bytes)
	if free < n {
		return fmt.Errorf("%w: stream %s holds %d MB", ErrFull, info.Config.Name, info.State.Bytes>>20)
	}
	r.asked, r.left = time.Now(), max(n, free/2) // other processes take from it too
	return nil
}

// take counts n bytes.
func (r *room) take(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left -= n
}
