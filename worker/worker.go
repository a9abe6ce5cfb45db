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
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
)

// Options configure a worker. Every field without a default must be set.
type Options struct {
	Queue        *queue.Queue
	Client       *authenta.Client
	MutationRate float64       // creates per second
	QueryRate    float64       // polls and list pages per second
	Uploads      int           // uploads at a time; default 4
	InFlight     int           // media awaiting a result, at most; default 100,000
	PollTimeout  time.Duration // how long a result is awaited; default 1h
	Grace        time.Duration // for uploads in hand when Run's context ends; default 20s
	FirstPoll    time.Duration // age of an upload at its first poll; default 2s, in which the quickest models answer
	Log          *slog.Logger  // default slog.Default()

	// LateAfter is how long the platform may take to notice bytes that it has; default 30s, from design facts
	// about storage events. An unanswered PUT is repeated only when it still has not noticed them by then.
	LateAfter time.Duration
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
	def(&o.FirstPoll, 2*time.Second)
	if o.Uploads == 0 {
		o.Uploads = 4
	}
	if o.InFlight == 0 {
		o.InFlight = 100_000
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// polls is how many results are asked for at a time. With answers within a second it keeps up with the default
// query rate of 10/s, and memory small.
const polls = 16

// A Worker works on the jobs of one queue. New starts nothing; Run does all.
type Worker struct {
	Options
	mutations *rate.Limiter
	queries   *rate.Limiter
	uploading *Gate // closed while nothing may be uploaded
	polling   *Gate // closed while no result may be asked for
	room      *room
}

// New returns a worker.
func New(o Options) *Worker {
	o = o.withDefaults()
	return &Worker{
		Options:   o,
		mutations: limiter(o.MutationRate),
		queries:   limiter(o.QueryRate),
		uploading: newGate("uploads", o.Log),
		polling:   newGate("polls", o.Log),
		room:      newRoom(o.InFlight),
	}
}

// limiter spaces calls evenly; a tenth of a second's worth may come at once.
func limiter(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10)))
}

// Run works until ctx ends, then finishes what is in hand within the grace and returns nil.
func (w *Worker) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.room.watch(ctx, w.Queue) })
	g.Go(func() error {
		return w.Queue.Work(ctx, queue.Pool{
			Stage: queue.Upload, Slots: w.Uploads, Grace: w.Grace, Handle: w.upload,
			Ready: func(ctx context.Context) error {
				if err := w.room.wait(ctx); err != nil {
					return err
				}
				return w.uploading.Wait(ctx)
			},
		})
	})
	g.Go(func() error {
		return w.Queue.Work(ctx, queue.Pool{
			Stage: queue.Await, Slots: polls, Grace: w.Grace, Handle: w.poll, Ready: w.polling.Wait,
		})
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

// Uploading is the gate before creates.
func (w *Worker) Uploading() *Gate { return w.uploading }

// Polling is the gate before polls.
func (w *Worker) Polling() *Gate { return w.polling }
