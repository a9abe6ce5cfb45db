package main

import (
	"context"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// reconcileEvery is how often the ledger is compared with the queues.
	reconcileEvery = time.Hour
	// fillingEvery is how often it is looked at whether the ledger is filling up.
	fillingEvery = time.Minute
)

// upkeep has the ledger compared with the queues at the start and every hour, and when it is filling up. One process of a
// cluster does it, for all.
func (d *daemon) upkeep(ctx context.Context) error {
	if d.cluster.Synced(ctx) != nil {
		return nil
	}
	tick := time.NewTicker(fillingEvery)
	defer tick.Stop()
	var next time.Time
	for {
		if d.cluster.Leads() && d.reconcile(ctx, time.Now().After(next)) {
			next = time.Now().Add(reconcileEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reconcile compares and mends, if it is due or the ledger is filling up, and reports whether it has.
func (d *daemon) reconcile(ctx context.Context, due bool) bool {
	filling, err := d.queue.Filling(ctx)
	var m queue.Mended
	if err == nil && (due || filling) {
		m, err = d.queue.Reconcile(ctx)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.log.Warn("the ledger could not be compared with the queues; it is tried again", "next_try", fillingEvery, "error", err)
	case m != queue.Mended{}:
		d.log.Info("compared the ledger with the queues", "jobs_put_back", m.Requeued, "verdicts_forgotten_early", m.Evicted)
	}
	return err == nil && (due || filling)
}
