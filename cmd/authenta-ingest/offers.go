package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/queue/control"
)

const (
	// offersEvery is how often it is looked at whether others work now.
	offersEvery = 2 * time.Second
	// offersAgain is when it is looked at again: by then the broker hands out what dead workers had in hand, and everybody knows of
	// the change. A worker that had not heard of it may have passed a file to a machine on which nobody worked any more.
	offersAgain = 20 * time.Second
)

// offers is for which workers everything was offered that waits for machines on which nobody works.
type offers struct {
	mu   sync.Mutex
	to   string
	left int       // what was there and could not be offered
	due  time.Time // when it is to be looked at again; zero: not at all
}

// offer has files that wait for machines on which nobody works looked for anew when those who work have changed: one who has
// come may see them, and one to whom they were passed may have gone. One process does so for all; with
// myself, this one does so in any case.
func (d *daemon) offer(ctx context.Context, myself bool) error {
	if d.cluster.Synced(ctx) != nil {
		return nil
	}
	tick := time.NewTicker(offersEvery)
	defer tick.Stop()
	for {
		if myself || d.cluster.Leads() {
			if err := d.offerOnce(ctx); err != nil && ctx.Err() == nil {
				d.log.Warn("files that wait for other machines could not be offered to all; it is tried again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *daemon) offerOnce(ctx context.Context) error {
	workers := workersNow(d.cluster)
	if d.offers.made(workers) || workers == "" {
		return nil
	}
	waiting, err := d.cluster.Waiting(ctx)
	if err != nil {
		return err
	}
	left := 0
	for _, w := range waiting {
		if w.Works {
			continue
		}
		offered, held, err := d.queue.Reoffer(ctx, w.Host)
		if err != nil {
			return err
		}
		if left += held; offered > 0 {
			d.log.Info("files wait for a machine on which nobody works; all workers look for them again", "machine", w.Host, "files", offered)
		}
	}
	d.offers.make(workers, left)
	return nil
}

// workersNow tells those who work from others.
func workersNow(c *control.Cluster) string {
	var ids []string
	for _, m := range c.Workers() {
		ids = append(ids, m.ID)
	}
	return strings.Join(ids, " ")
}

// made reports whether everything was offered to these workers.
func (o *offers) made(workers string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to == workers && (o.due.IsZero() || time.Now().Before(o.due))
}

// settled reports whether everything was offered to these workers, and nothing was left to be offered.
func (o *offers) settled(workers string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to == workers && o.left == 0
}

// make notes what was offered. It is looked at once more after the workers have changed, and until nothing is left.
func (o *offers) make(workers string, left int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	again := left > 0 || o.to != workers
	if o.to, o.left, o.due = workers, left, (time.Time{}); again {
		o.due = time.Now().Add(offersAgain)
	}
}
