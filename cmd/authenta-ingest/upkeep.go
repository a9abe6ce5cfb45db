package main

import (
	"context"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// reconcileEvery is how often the ledger is compared with the queues.
	reconcileEvery = time.Hour
	// upkeepEvery is how often it is looked at whether something is to be done sooner.
	upkeepEvery = 20 * time.Second
)

// upkeep keeps the store in order until ctx ends: it is compared with itself at the start and every hour, and when something
// of it seems to be lost or the ledger is filling up.
func (d *daemon) upkeep(ctx context.Context) error {
	if d.cluster.Synced(ctx) != nil {
		return nil
	}
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	// That everything was taken in is for a process to say that takes something in.
	late, owed := d.sources, false
	var next time.Time
	for {
		if owed && d.queue.CaughtUp(ctx) == nil {
			owed = false
		}
		due := time.Now().After(next)
		if err := d.tidy(ctx, due); err != nil {
			if ctx.Err() == nil {
				d.log.Warn("the store could not be looked through; it is tried again", "next_try", upkeepEvery, "error", err)
			}
		} else if due {
			next = time.Now().Add(reconcileEvery)
			owed = owed || len(late) == 0 && len(d.sources) > 0 // of what was noticed since
		}
		select {
		case <-ctx.Done():
			return nil
		case <-behind(late):
			late = late[1:]
			owed = owed || len(late) == 0
		case <-tick.C:
		}
	}
}

// tidy does what is to be done now. What is for all is done by one process of the cluster.
func (d *daemon) tidy(ctx context.Context, due bool) error {
	var m queue.Mended
	var err error
	switch {
	case d.queue.Suspects():
		d.log.Warn("something of the store is lost; it is looked through")
		m, err = d.queue.Recover(ctx)
	case !d.cluster.Leads():
		return nil
	default:
		if m, err = d.reconcile(ctx, due); err == nil {
			_, err = d.queue.Unstick(ctx)
		}
	}
	if m != (queue.Mended{}) {
		d.log.Info("the store was looked through", "mended", m)
	}
	return err
}

// reconcile compares the ledger with the queues, if it is due or the ledger is filling up.
func (d *daemon) reconcile(ctx context.Context, due bool) (queue.Mended, error) {
	filling, err := d.queue.Filling(ctx)
	if err != nil || !due && !filling {
		return queue.Mended{}, err
	}
	return d.queue.Reconcile(ctx)
}

// redeliver has everything handed out again, unless another process has some of it in hand.
func (d *daemon) redeliver(ctx context.Context) error {
	if !d.cluster.Alone() {
		d.log.Warn("jobs that were put off may come late, as other daemons have some in hand", "daemons", d.cluster.Size())
		return nil
	}
	return d.queue.Redeliver(ctx)
}
