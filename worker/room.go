package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// room keeps the number of media that await a result below a limit. The count is a second old at most, so the limit
// may be passed by what is uploaded in a second.
type room struct {
	limit    int
	full     atomic.Bool
	awaiting atomic.Int64 // how many there are, of the whole cluster
}

func newRoom(limit int) *room { return &room{limit: limit} }

const roomInterval = time.Second

// watch keeps the count, and tells it, until ctx ends.
func (r *room) watch(ctx context.Context, q *queue.Queue, tell func(awaiting int)) error {
	tick := time.NewTicker(roomInterval)
	defer tick.Stop()
	for {
		if d, err := q.Depths(ctx); err == nil { // without an answer, the last one stands
			r.full.Store(d.Await >= r.limit)
			r.awaiting.Store(int64(d.Await))
			tell(d.Await)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// wait blocks while there is no room.
func (r *room) wait(ctx context.Context) error {
	for r.full.Load() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(roomInterval):
		}
	}
	return ctx.Err()
}
