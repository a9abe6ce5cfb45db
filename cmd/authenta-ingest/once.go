package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// untilDone returns errOnceDone when everything that was there is judged or failed, and an exitError when the account
// keeps the rest from going on.
func (d *daemon) untilDone(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.watcher.CaughtUp():
	}
	if d.cluster.Synced(ctx) != nil {
		return nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if depths, err := d.queue.Depths(ctx); err == nil { // without an answer there is nothing to say yet
			d.report.progress(depths)
			if depths != (queue.Depths{}) {
				err = d.paused(depths)
			} else if open, _ := d.watcher.Owing(); open == 0 {
				err = errOnceDone
			}
			if err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// paused returns the end of the program if nothing on the queue can go on until a person does something.
func (d *daemon) paused(n queue.Depths) error {
	uploads, polls := d.cluster.Uploads.State(), d.cluster.Polls.State()
	unbegun := d.worker.Unbegun() >= n.Await // each of them waits for credits
	switch {
	case n.Upload > 0 && !stuck(uploads) && !stuck(polls), n.Await > 0 && !stuck(polls) && !unbegun:
		return nil
	}
	why := "the platform has not begun with what was uploaded: the account may lack credits"
	for _, gate := range []control.State{uploads, polls} {
		switch {
		case !stuck(gate):
		case gate.Hold != nil:
			why = "by hand: " + gate.Hold.Message
		default:
			why = gate.Message
		}
	}
	return &exitError{exitPaused, errors.Join(
		fmt.Errorf("paused: %s", why),
		fmt.Errorf("%d files are left on the queue; the next run goes on with them ('run --resume' at once, whatever the pause)", n.Upload+n.Await),
	)}
}

// stuck reports whether a gate stays closed for longer than a run of --once waits: until a person does something, or until
// a probe that is not due yet.
func stuck(s control.State) bool {
	later := func(t time.Time) bool { return t.IsZero() || time.Until(t) > 0 }
	if s.Hold != nil && later(s.Hold.Until) {
		return true
	}
	s.Hold = nil
	return s.NeedsSomebody() && s.Prober == "" && later(s.Until)
}
