package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// With replicas, a write is refused while another to the same record is on its way to them. Whoever is told of a conflict has to
// find what it was about: it goes on from there, and what was on its way may never arrive.
func TestWhoeverIsToldOfAConflictFindsWhatItWasAbout(t *testing.T) {
	t.Parallel()
	url := clusterURL(newCluster(t))
	var all []*queue.Queue
	for range 4 {
		all = append(all, openQueue(t, dial(t, url), replicas(3)))
	}
	lost := 0
	for round := range 40 {
		key := fmt.Sprint("record.", round)
		var writers sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i, q := range append(all, all...) {
			writers.Go(func() {
				_, err := q.Control().Put(deadline(t), key, fmt.Append(nil, i), 0)
				e, read := q.Control().Get(deadline(t), key)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case read != nil:
					t.Error(read)
				case errors.Is(err, queue.ErrConflict):
					if lost++; len(e.Data) == 0 {
						t.Errorf("%s: told of a conflict, and nothing is there", key)
					}
				case err != nil:
					t.Error(err)
				default:
					won++
				}
			})
		}
		writers.Wait()
		if won != 1 {
			t.Errorf("%s: %d writers have won", key, won)
		}
	}
	if lost == 0 {
		t.Error("no writers met")
	}
}

// A store that processes open at the same time, for the first time, is bound to their platform by one of them.
func TestProcessesThatBindAStoreTogether(t *testing.T) {
	t.Parallel()
	url := clusterURL(newCluster(t))
	openQueue(t, dial(t, url), replicas(3), func(o *queue.Options) { o.Platform = "" }) // the streams are there
	for round := range 4 {
		var all sync.WaitGroup
		for range 6 {
			conn := dial(t, url)
			all.Go(func() {
				_, err := queue.Open(deadline(t), conn, queue.Options{Platform: fmt.Sprint("https://platform-", round), Namespace: queue.Namespace(fmt.Sprint("n", round%2)), Replicas: 3, Log: quiet})
				if round < 2 && err != nil {
					t.Error(err)
				} else if round >= 2 && err == nil {
					t.Error("two platforms share a store")
				}
			})
		}
		all.Wait()
	}
}

// Watchers that start together, for the first time, have the same subjects captured: one of them makes the stream, and the others
// do not see it at once.
func TestWatchersThatCaptureTogether(t *testing.T) {
	t.Parallel()
	url := clusterURL(newCluster(t))
	for round := range 3 {
		ns := queue.Namespace(fmt.Sprint("n", round))
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 6 {
			q, err := queue.Attach(dial(t, url), queue.Options{Namespace: ns, Replicas: 3, Log: quiet})
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				<-start
				if err := queue.MakeIntakeStream(q, deadline(t)); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
	}
}

// A broker that restarts is no reason for a process to end that is just starting.
func TestWhatAStartNeedsIsTriedAgainWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	q := openQueue(t, dial(t, e.url("")))
	e.stop()
	tried := make(chan error, 1)
	done := make(chan error, 1)
	go func() {
		done <- q.Persist(deadline(t), func(ctx context.Context) error {
			_, err := q.Recover(ctx)
			select {
			case tried <- err:
			default:
			}
			return err
		})
	}()
	if err := <-tried; err == nil {
		t.Fatal("the broker was not away")
	}
	e.start()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
