// Package worker takes jobs from the queue, uploads their files to the platform, polls for the results, and says
// what became of them.
//
// It promises to make no call to the platform that the ledger does not know of: a media record is noted before
// its file is sent, a create before it is asked for, and whatever was begun and not answered is looked up before it
// is begun again. What the account cannot take (quota, credits, keys) and what is broken in between (outages)
// makes files wait at a closed gate; only a file's own fault fails it.
//
// It touches folders only to read the one file in hand. Everything durable is the queue's.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/worker/pace"
)

// Options configure a worker. Every field without a default must be set.
type Options struct {
	Queue       *queue.Queue
	Client      *authenta.Client
	Cluster     *control.Cluster // running; what it allows is done
	Host        string           // this machine, if those who share the queue see different files; empty: all see the same
	Uploads     int              // uploads at a time; default 4
	InFlight    int              // media awaiting a result, at most; default 100,000
	PollTimeout time.Duration    // how long a result is awaited; default 1h
	Grace       time.Duration    // for uploads in hand when Run's context ends; default 20s
	FirstPoll   time.Duration    // age of an upload at its first poll, while nothing is known of its like; default pace.DefaultFirst
	Log         *slog.Logger     // default slog.Default()

	// Credentials are the account's keys as they are now; nil: they never change. While they are refused they are looked
	// at every second, so that new ones are tried at once.
	Credentials func() (authenta.Credentials, error)

	// LateAfter is how long the platform may take to notice bytes that it has; default 30s, many times
	// what storage events take. An unanswered PUT is repeated only when it still has not noticed them by then.
	LateAfter time.Duration

	clock func() time.Time // the wall clock, which a test may have jump
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.PollTimeout, time.Hour)
	def(&o.Grace, 20*time.Second)
	def(&o.LateAfter, 30*time.Second)
	def(&o.FirstPoll, pace.DefaultFirst)
	if o.Uploads == 0 {
		o.Uploads = 4
	}
	if o.InFlight == 0 {
		o.InFlight = 100_000
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.clock == nil {
		o.clock = time.Now
	}
	return o
}

// polls is how many due media are in hand at a time. Most of them are answered by a page of the list that is asked for
// once; with calls that take half a second, those that are asked for singly keep up with any rate that accounts are granted.
const polls = 24

// A Worker works on the jobs of one queue. New starts nothing; Run does all.
type Worker struct {
	Options
	room     *room
	memory   *memory
	list     *list
	past     *past
	answered atomic.Int64  // when the platform last answered a call as it should, in nanoseconds
	scout    chan struct{} // held by the one who asks for a result that may well not be there
}

// New returns a worker.
func New(o Options) *Worker {
	o = o.withDefaults()
	return &Worker{
		Options: o, room: newRoom(o.InFlight), memory: newMemory(o.Queue.Control(), o.clock, o.Log), list: newList(), past: newPast(), scout: make(chan struct{}, 1),
	}
}

// now is the time as the ledger writes it. What is measured by it may be wrong by a jump of the clock.
func (w *Worker) now() time.Time { return w.clock().UTC() }

// Run works until ctx ends, then finishes what is in hand within the grace and returns nil.
func (w *Worker) Run(ctx context.Context) error {
	if w.Cluster.Synced(ctx) != nil {
		return nil
	}
	for _, g := range []*control.Gate{w.Cluster.Polls, w.Cluster.Uploads} {
		g.Keyed(w.fingerprint())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.room.watch(ctx, w.Queue, w.Cluster.Budget.Awaits) })
	g.Go(func() error { return w.memory.keep(ctx) })
	g.Go(func() error { return w.watchKeys(ctx) })
	g.Go(func() error { return w.probePolls(ctx) })
	for _, p := range w.uploadPools() {
		g.Go(func() error { return w.Queue.Work(ctx, p) })
	}
	g.Go(func() error {
		return w.Queue.Work(ctx, queue.Pool{
			Stage: queue.Await, Slots: polls, Grace: w.Grace, Handle: w.poll, Ready: w.readyToPoll,
		})
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

// readyToUpload returns when an upload may begin: there is room for its result, and both gates let it through.
func (w *Worker) readyToUpload(ctx context.Context) error {
	for {
		if err := w.room.wait(ctx); err != nil {
			return err
		}
		if err := w.Cluster.Polls.Until(ctx, canBeFetched); err != nil {
			return err
		}
		if err := w.awaitKeys(ctx); err != nil {
			return err
		}
		if w.Cluster.Uploads.State().Why == control.Spent { // files that have their record need no create
			return sleep(ctx, spentPause)
		}
		if err := w.Cluster.Uploads.Wait(ctx); err != nil {
			return err
		}
		if canBeFetched(w.Cluster.Polls.State()) {
			return nil
		}
	}
}

// spentPause is how often a slot looks for a file that needs no create, while no more can be made.
const spentPause = 5 * time.Second

// readyToPoll returns when a result may be asked for.
func (w *Worker) readyToPoll(ctx context.Context) error {
	if err := w.awaitKeys(ctx); err != nil {
		return err
	}
	return w.Cluster.Polls.Wait(ctx)
}

// canBeFetched reports whether results can be asked for, or will be before long, by the state of the polls' gate. What
// cannot be fetched is not paid for.
func canBeFetched(polls control.State) bool { return !polls.NeedsSomebody() }

// Unbegun is how many media this worker knows to be at the platform, which has not begun with them. That takes credits.
func (w *Worker) Unbegun() int { return w.memory.unbegun() }
