package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A Fullness is what a stream or bucket holds, and may hold.
type Fullness struct {
	Store string // its name without the namespace: "jobs", "ledger", "media"
	Bytes int64
	Limit int64 // 0: none
}

// Fullness asks how full the streams and buckets are, all at once. Those that nobody has needed so far are left out.
func (q *Queue) Fullness(ctx context.Context) ([]Fullness, error) {
	stores := []struct{ store, stream string }{
		{"jobs", q.ns.name("jobs")}, {"intake", q.ns.name("intake")}, {"verdicts", q.ns.name("verdicts")},
		{"failures", q.ns.name("failures")}, {"events", q.ns.name("events")}, {"ledger", "KV_" + q.ns.name("ledger")},
		{"files", "KV_" + q.ns.name("files")}, {"control", "KV_" + q.ns.name("control")}, {"media", objectStream(q.MediaBucket())},
	}
	found := make([]*Fullness, len(stores))
	asked, ctx := errgroup.WithContext(ctx)
	for i, s := range stores {
		asked.Go(func() error {
			stream, err := q.js.Stream(ctx, s.stream)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("ask how full stream %s is: %w", s.stream, err)
			}
			info := stream.CachedInfo()
			found[i] = &Fullness{Store: s.store, Bytes: int64(info.State.Bytes), Limit: max(info.Config.MaxBytes, 0)}
			return nil
		})
	}
	if err := asked.Wait(); err != nil {
		return nil, err
	}
	var all []Fullness
	for _, f := range found {
		if f != nil {
			all = append(all, *f)
		}
	}
	return all, nil
}
