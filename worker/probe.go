package worker

import (
	"context"
	"errors"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// probeGrace is how long the polls' gate waits at its deadline for a poll that is due anyway.
const probeGrace = 2 * time.Second

// probePolls asks for a page of the list when the polls' gate is at its deadline and no medium is due that could be the
// probe: all of them may be put off for long, or there are none, and files wait to be uploaded for as long as the gate
// is closed.
func (w *Worker) probePolls(ctx context.Context) error {
	for {
		if w.Cluster.Polls.Until(ctx, control.State.Paused) != nil || w.Cluster.Polls.Wait(ctx) != nil || sleep(ctx, probeGrace) != nil {
			return nil
		}
		if w.Cluster.Polls.State().Paused() && w.waiting(ctx) {
			w.probeByList(ctx)
		}
	}
}

// waiting reports whether there is any work.
func (w *Worker) waiting(ctx context.Context) bool {
	d, err := w.Queue.Depths(ctx)
	return err == nil && d != queue.Depths{}
}

func (w *Worker) probeByList(ctx context.Context) {
	t, err := w.enter(ctx, control.Query, w.certainly)
	if err != nil {
		return
	}
	at := time.Now()
	page, err := w.listed(ctx, authenta.ListOptions{Limit: listPage}, nil)
	if e, ok := errors.AsType[*authenta.Error](err); ok && e.Kind == authenta.KindNotFound {
		err = nil // the platform has no list, and says so to those whom it answers
	}
	if err != nil {
		t.refused(ctx, err)
		return
	}
	w.list.note(page, at, at)
	t.answered(ctx)
}

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
