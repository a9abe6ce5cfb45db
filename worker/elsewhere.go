package worker

import (
	"context"

	"github.com/authenta/authenta-ingest/queue"
)

// elsewhere settles a job none of whose files can be used here: another machine may have one.
func (w *Worker) elsewhere(ctx context.Context, t *queue.Task, fault queue.Fault) queue.Settlement {
	to := route(t.Job, w.Host, placesOf(w.Cluster.Workers()))
	if to == "" {
		if w.Host != "" {
			fault.Message += " (on " + w.Host + ")"
		}
		return queue.Reject(fault)
	}
	if !t.Creating.IsZero() { // no record of an unanswered create was found: there is none
		if err := t.Apply(ctx, queue.CreateRefused{}); err != nil {
			return w.letGo(t, err)
		}
	}
	w.Cluster.Await(to, t.Drops[0].URI)
	return queue.Pass(w.Host, to)
}
