package control

import (
	"context"

	"golang.org/x/time/rate"
)

// A Pacer spaces the calls of one kind so that those of the whole cluster together keep a rate. Each process has an equal
// share of it.
type Pacer struct {
	total   float64 // calls per second, of the cluster
	limiter *rate.Limiter
	present func(context.Context) error // waits until the cluster knows of this process

	// turn holds the one who waits at the limiter. A limiter gives out times far ahead to all who wait, and would not
	// take them back when the share shrinks.
	turn chan struct{}
}

func newPacer(total float64, present func(context.Context) error) *Pacer {
	p := &Pacer{total: total, limiter: rate.NewLimiter(rate.Limit(total), 1), present: present, turn: make(chan struct{}, 1)}
	p.share(1)
	return p
}

// Wait returns when the next call may be made, or with ctx's error.
func (p *Pacer) Wait(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	if err := p.present(ctx); err != nil {
		return err
	}
	return p.limiter.Wait(ctx)
}

// share sets this process's rate as one of n. A tenth of a second's worth may come at once.
func (p *Pacer) share(n int) {
	mine := p.total / float64(max(n, 1))
	p.limiter.SetLimit(rate.Limit(mine))
	p.limiter.SetBurst(max(1, int(mine/10)))
}
