package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A room keeps new jobs from filling a stream to its byte cap: a quarter is left for those in work, whose records grow
// and whose messages change queues. It asks the broker once a second, and sooner when little is left.
type room struct {
	stream jetstream.Stream

	mu    sync.Mutex
	asked time.Time
	left  int64 // bytes that may be taken before it asks again
}

// take returns ErrFull if there is no room for a new job's n bytes.
func (r *room) take(ctx context.Context, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < n || time.Since(r.asked) > time.Second {
		info, err := r.stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("ask how full stream %s is: %w", r.stream.CachedInfo().Config.Name, err)
		}
		free := info.Config.MaxBytes/4*3 - int64(info.State.Bytes)
		if free < n {
			return fmt.Errorf("%w: stream %s holds %d MB", ErrFull, info.Config.Name, info.State.Bytes>>20)
		}
		r.asked, r.left = time.Now(), max(n, free/2) // other processes take from it too
	}
	r.left -= n
	return nil
}
