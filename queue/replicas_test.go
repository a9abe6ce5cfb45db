package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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
	rounds := 2
	if *long {
		rounds = 20
	}
	for round := range rounds {
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

// The server goes away through which a slot has asked for a job, and not the one that has the request: it is no reason to ask for two.
func TestAFreeSlotAsksForOneJobAlsoAfterItsServerWasLost(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, second := openQueue(t, dial(t, clusterURL(c)), replicas(3)), openQueue(t, dial(t, clusterURL(c)), replicas(3))
	consumer := func() *jetstream.ConsumerInfo {
		t.Helper()
		var info *jetstream.ConsumerInfo
		await(t, "the queue has a leader", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			upload, err := queue.JetStreamOf(second).Consumer(ctx, "authenta-jobs", "upload")
			if err == nil {
				info = upload.CachedInfo()
			}
			return err == nil && info.Cluster.Leader != ""
		})
		return info
	}
	through := moveAway(t, first, consumer().Cluster.Leader)
	got := make(chan string, 10)
	hold := make(chan bool)
	block := func(who string) queue.Handler {
		return func(_ context.Context, task *queue.Task) queue.Settlement {
			got <- who + " " + string(task.Digest[:4])
			<-hold
			return queue.Reject(queue.Fault{Reason: queue.Rejected})
		}
	}
	working(t, first, queue.Upload, block("first"))
	await(t, "the slot has asked", func() bool { return consumer().NumWaiting == 1 })
	for _, e := range c {
		if e.options.ServerName == through {
			e.stop()
		}
	}
	await(t, "it is connected again", first.NATS().IsConnected)
	await(t, "the slot has asked again", func() bool { return consumer().NumWaiting > 0 })
	submit(t, second, submission("a", "/in/a"), queue.AcceptedNew)
	submit(t, second, submission("b", "/in/b"), queue.AcceptedNew)
	one := <-got
	if len(one) < 5 || one[:5] != "first" {
		t.Fatalf("got by %s", one)
	}
	working(t, second, queue.Upload, block("second"))
	if other := <-got; other[:6] != "second" {
		t.Errorf("got by %s", other)
	}
	if n := consumer().NumRedelivered; n > 0 {
		t.Errorf("%d jobs were handed out to a slot that was not free", n)
	}
	close(hold)
}

// moveAway has a queue's connection made to another server than the one that is named.
func moveAway(t *testing.T, q *queue.Queue, from string) string {
	t.Helper()
	await(t, "it is connected elsewhere", func() bool {
		is := q.NATS().ConnectedServerName()
		if is == "" {
			return false
		}
		if is == from {
			_ = q.NATS().ForceReconnect() // or it is on its way already
		}
		return is != from
	})
	return q.NATS().ConnectedServerName()
}
