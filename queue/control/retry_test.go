package control_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// R8: 'retry --all' of files that fail again at once (their folder is not mounted) must come to an end.
func TestRetryAllEnds(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.join()
	q := b.queue()
	const n = 450
	for i := range n {
		digest := queue.Digest(fmt.Sprintf("%064x", i))
		_, err := q.Submit(deadline(t), queue.Submission{
			Drop:   queue.Drop{ID: queue.DropID(fmt.Sprint("drop", i)), URI: fmt.Sprintf("file:///in/%d", i), Name: "x", QueuedAt: time.Now().UTC()},
			Digest: digest, Size: 1, ContentType: "video/mp4", Model: "DF-1",
		})
		must(t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- q.Work(ctx, queue.Pool{Stage: queue.Upload, Slots: 4, Grace: time.Second,
			Ready: func(ctx context.Context) error { return ctx.Err() },
			Handle: func(context.Context, *queue.Task) queue.Settlement {
				return queue.Reject(queue.Fault{Reason: queue.Unreadable})
			},
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	await(t, "all have failed", func() bool { d, err := q.Depths(deadline(t)); return err == nil && d == queue.Depths{} })
	remote := control.Remote{Conn: q.NATS(), Namespace: "authenta"}
	retried := 0
	r := control.RetryRequest{All: true}
	for page := 0; ; page++ {
		reply, err := remote.Retry(deadline(t), r)
		must(t, err)
		retried += len(reply.Retried)
		if r.From, r.To = reply.Next, reply.To; r.From == 0 {
			break
		}
		if page == 12 {
			t.Fatalf("%d retried of %d, and no end", retried, n)
		}
	}
	if retried > n {
		t.Errorf("%d retried of %d", retried, n)
	}
}
