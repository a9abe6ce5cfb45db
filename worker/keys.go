package worker

import (
	"context"
	"time"

	"github.com/authenta/authenta-ingest/queue/control"
)

// keysEvery is how often the keys are looked at while they are refused.
const keysEvery = time.Second

// fingerprint tells the account's keys from others, or is empty if they are not known.
func (w *Worker) fingerprint() string {
	if w.Credentials == nil {
		return ""
	}
	c, err := w.Credentials()
	if err != nil {
		return ""
	}
	return c.Fingerprint()
}

// watchKeys tells the gates which keys this process has, so that new ones are tried when the old ones are refused. A
// pair in two files may be replaced one after the other: keys count when they are the same at two looks.
func (w *Worker) watchKeys(ctx context.Context) error {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	last := ""
	for {
		if gates := w.unsureOfKeys(); len(gates) > 0 {
			keys := w.fingerprint()
			for _, g := range gates {
				if keys == last {
					g.Keyed(keys)
				}
			}
			last = keys
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// unsureOfKeys are the gates to which it matters which keys this process has.
func (w *Worker) unsureOfKeys() []*control.Gate {
	var gates []*control.Gate
	for _, g := range []*control.Gate{w.Cluster.Polls, w.Cluster.Uploads} {
		if s := g.State(); s.Why == control.Unauthenticated || s.Refused != "" {
			gates = append(gates, g)
		}
	}
	return gates
}

// awaitKeys returns when this process can read its keys, which is its own business and no other process's.
func (w *Worker) awaitKeys(ctx context.Context) error {
	for told := false; ; told = true {
		if w.Credentials == nil {
			return nil
		}
		_, err := w.Credentials()
		if err == nil {
			return nil
		}
		if !told {
			w.Log.Error("nothing can be uploaded or fetched by this process without its keys", "error", err)
		}
		if err := sleep(ctx, keysEvery); err != nil {
			return err
		}
	}
}
