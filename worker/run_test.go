package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

func TestRunFinishesTheUploadInHand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	begun := make(chan bool)
	end := make(chan bool)
	r.Faults(once(sandbox.OpPut, before(func() { begun <- true; <-end }, pass)))
	a := r.file("a.jpg")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.worker.Run(ctx) }()
	<-begun
	cancel()
	select {
	case err := <-ended:
		t.Errorf("Run left an upload in hand: %v", err)
	default:
	}
	close(end)
	must(t, <-ended)
	if j := r.job(a); j.State != queue.Uploaded {
		t.Errorf("%s", j.State)
	}
	r.wantPaidOnce(a)
}

func TestRunReturnsWhenTheGraceIsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, options(func(o *Options) { o.Grace = 50 * time.Millisecond }))
	begun := make(chan bool, 1)
	r.Faults(always(sandbox.OpPut, before(func() { begun <- true }, sandbox.Hang)))
	a := r.file("a.jpg")
	stop := r.run()
	<-begun
	stop() // fails the test if Run does not return
	if j := r.job(a); j.State != queue.Reserved || r.answer(a) != "" {
		t.Errorf("%s, answered %q", j.State, r.answer(a))
	}
	for _, g := range []*control.Gate{r.cluster.Uploads, r.cluster.Polls} {
		r.wantOpen(g)
	}
}

func TestRunReturnsWhileItsGatesAreClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.refuse(r.cluster.Uploads, control.Create, control.Quota)
	r.refuse(r.cluster.Polls, control.Create, control.Quota)
	a := r.file("a.jpg")
	stop := r.run()
	stop()
	r.wantWaiting(a)
	for op := range r.Ledger().Calls {
		t.Errorf("%s was called", op)
	}
}

func TestRunReturnsWhileThereIsNoRoom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.worker.room.full.Store(true)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- r.worker.room.wait(ctx) }()
	cancel()
	if err := <-done; err == nil {
		t.Error("there is room")
	}
}

func TestNoMoreAwaitAResultThanMayBe(t *testing.T) {
	t.Parallel()
	const limit, rate, files = 5, 20, 40
	c := newClock()
	r := newRig(t, slow(c), options(func(o *Options) { o.InFlight = limit }), rates(func(o *control.Options) { o.MutationRate = rate }))
	var most atomic.Int64
	r.Faults(always(sandbox.OpCreate, before(func() {
		if d, err := r.queue.Depths(context.Background()); err == nil {
			most.Store(max(most.Load(), int64(d.Await)))
		}
	}, pass)))
	for i := range files {
		r.file(fmt.Sprintf("%d.jpg", i))
	}
	r.run()
	r.patience = 2 * patience // a medium that waited long is asked for seldom
	r.await("there is no room", r.worker.room.full.Load)
	r.await("all are judged", func() bool {
		if r.worker.room.full.Load() {
			c.advance(2 * time.Hour)
		}
		if d, err := r.queue.Depths(context.Background()); err == nil && d.Upload == 0 {
			c.advance(2 * time.Hour)
		}
		return r.answered() == files
	})
	r.wantNoFailure()
	t.Logf("at most %d awaited a result", most.Load())
	// A second's uploads, what the limiter lets go at once, and the slots that had asked for room before.
	if bound := int64(limit + rate + rate/10 + r.worker.Uploads); most.Load() > bound {
		t.Errorf("%d awaited a result, at most %d", most.Load(), bound)
	}
}
