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
	asking chan struct{} // has an element while somebody asks the broker for all; whoever waits for that does so no longer than it may

	mu    sync.Mutex
	asked time.Time
	left  int64 // bytes that may be taken before it asks again
}

func newRoom(s jetstream.Stream) *room { return &room{stream: s, asking: make(chan struct{}, 1)} }

// has returns ErrFull if there is no room for n bytes.
func (r *room) has(ctx context.Context, n int64) error {
	if r.known(n) {
		return nil
	}
	asks := "ask how full stream " + r.stream.CachedInfo().Config.Name + " is"
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", asks, ctx.Err())
	}
	if r.known(n) { // somebody has asked meanwhile
		return nil
	}
	info, err := r.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", asks, err)
	}
	free := info.Config.MaxBytes/4*3 - int64(info.State.Bytes)
	if free < n {
		return fmt.Errorf("%w: stream %s holds %d MB", ErrFull, info.Config.Name, info.State.Bytes>>20)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.left = time.Now(), max(n, free/2) // other processes take from it too
	return nil
}

// known reports whether the last answer says that there is room for n bytes.
func (r *room) known(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left >= n && time.Since(r.asked) <= time.Second
}

// take counts n bytes.
func (r *room) take(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left -= n
}
