// Package room has those who take files in wait while the queue has no room for more.
package room

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// askEvery is how often a full queue is asked whether it has room again.
	askEvery = time.Second
	// tellTime is how long an event may take to publish; the disk it is written to may be the one that is full.
	tellTime = time.Second
)

// A Room keeps files from being read that the queue cannot take now: it is full, its disk is, or it is out of reach. Those
// who wait for the same queue share one, so that its state is told of once. It is safe for concurrent use.
type Room struct {
	queue *queue.Queue
	log   *slog.Logger

	mu    sync.Mutex
	since time.Time     // when there was none; zero: there is some
	asked chan struct{} // closed when there is room again; nil: nobody has found that there is none
}

// New returns the room of a queue. It starts nothing.
func New(q *queue.Queue, log *slog.Logger) *Room { return &Room{queue: q, log: log} }

// Wait returns when there is room. Its error is ctx's.
func (r *Room) Wait(ctx context.Context) error {
	if err := r.queue.Room(ctx); err != nil {
		return r.WaitAfter(ctx, err)
	}
	r.tell(ctx, nil)
	return ctx.Err()
}

// WaitAfter is Wait for those who have found out why there is none. One of them asks for all.
func (r *Room) WaitAfter(ctx context.Context, why error) error {
	r.mu.Lock()
	asked := r.asked
	if asked == nil {
		r.asked = make(chan struct{})
	}
	r.mu.Unlock()
	if asked == nil {
		return r.ask(ctx, why)
	}
	select {
	case <-asked:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// ask asks until there is room. Its error is ctx's.
func (r *Room) ask(ctx context.Context, why error) error {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		close(r.asked)
		r.asked = nil
	}()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for ; why != nil; why = r.queue.Room(ctx) {
		r.tell(ctx, why)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	r.tell(ctx, nil)
	return nil
}

// An intakeEvent is the message on <ns>.events.intake_paused and <ns>.events.intake_resumed.
type intakeEvent struct {
	At      time.Time `json:"at"`
	Since   time.Time `json:"since"` // when the intake was paused
	Message string    `json:"message,omitempty"`
}

// tell says, once, that files are no longer taken in, or that they are again.
func (r *Room) tell(ctx context.Context, why error) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	since, now := r.since, time.Now()
	if paused := !since.IsZero(); paused == (why != nil) {
		r.mu.Unlock()
		return
	}
	r.since = time.Time{}
	if why != nil {
		r.since = now
	}
	r.mu.Unlock()
	e, kind := intakeEvent{At: now.UTC(), Since: since.UTC()}, "intake_resumed"
	if why != nil {
		e, kind = intakeEvent{At: now.UTC(), Since: now.UTC(), Message: why.Error()}, "intake_paused"
		r.log.Warn("no more files are taken in, until the queue has room", "error", why)
	} else {
		r.log.Info("files are taken in again", "after", now.Sub(since).Round(time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if err := r.queue.Event(ctx, kind, kind+e.At.Format(time.RFC3339Nano), e); err != nil {
		r.log.Debug("an event is not published", "kind", kind, "error", err)
	}
}
