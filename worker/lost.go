package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

const (
	listPage  = 100 // records a page; the platform may give fewer
	listPages = 5   // how far back a lost record is looked for
	// clockSkew is how far the platform's clock may be behind ours.
	clockSkew = 5 * time.Minute
)

// findLost looks in the platform's list, newest first, for the media record that a create without an answer may have
// left: our name for it, its model, its size where the list tells, and no older than that create. nil: none. With a settlement, it could not be looked for now.
func (w *Worker) findLost(ctx context.Context, j queue.Job) (*authenta.Media, *queue.Settlement) {
	oldest := j.Creating.Add(-clockSkew)
	var best *authenta.Media
	for offset, page := 0, 0; page < listPages; page++ {
		got, settled := w.page(ctx, offset, w.certainly)
		if settled != nil {
			return nil, settled
		}
		passed := false // a record from before the create
		for _, m := range got.Media {
			if !m.CreatedAt.IsZero() && m.CreatedAt.Before(oldest) {
				passed = true
				continue
			}
			if isOf(m, j) && (best == nil || best.Status == authenta.StatusInited) {
				best = &m
			}
		}
		offset += len(got.Media)
		if passed || len(got.Media) == 0 || offset >= got.Total {
			break
		}
	}
	return best, nil
}

// isOf reports whether a record of the list is one that we made for the job and have not given up.
func isOf(m authenta.Media, j queue.Job) bool {
	return !slices.Contains(j.Abandoned, string(m.ID)) && m.Name == j.Name && m.Model == authenta.Model(j.Model) && (m.Size == 0 || m.Size == j.Size)
}

// page makes one Query call for a page of the list, if the gate and the budget let it.
func (w *Worker) page(ctx context.Context, offset int, count func(context.Context) error) (authenta.Page, *queue.Settlement) {
	t, err := w.enter(ctx, control.Query, count)
	if err != nil {
		s := t.refused(ctx, err)
		return authenta.Page{}, &s
	}
	p, err := w.listed(ctx, authenta.ListOptions{Limit: listPage, Offset: offset}, nil)
	if e, ok := errors.AsType[*authenta.Error](err); ok && e.Kind == authenta.KindNotFound { // there is no list, and so nothing on it
		t.withdrawn(ctx)
		return authenta.Page{}, nil
	}
	if err != nil {
		s := t.refused(ctx, err)
		return authenta.Page{}, &s
	}
	t.answered(ctx)
	return p, nil
}
