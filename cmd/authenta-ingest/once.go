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
// keeps the rest from going on. A watcher leaves what it has put on the queue to the workers, and stays only for files with
// which something is to be done once they are judged.
func (d *daemon) untilDone(ctx context.Context) error {
	for _, s := range d.sources {
		select {
		case <-ctx.Done():
			return nil
		case <-s.CaughtUp():
		}
	}
	if d.cluster.Synced(ctx) != nil {
		return nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if depths, err := d.queue.Depths(ctx); err == nil { // without an answer there is nothing to say yet
			d.report.progress(depths)
			if err := d.done(ctx, depths); err != nil {
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

// done returns the end of the program if nothing is left that it should wait for; n is what is on the queue.
func (d *daemon) done(ctx context.Context, n queue.Depths) error {
	works := d.cluster.Self.Role.Works()
	open := 0
	for _, s := range d.sources {
		waiting, _ := s.Owing()
		open += waiting
	}
	switch {
	case n != (queue.Depths{}) && works:
		return d.held(ctx, n)
	case open == 0:
		return errOnceDone
	case n == (queue.Depths{}):
		return nil // all have their answers
	case len(d.cluster.Workers()) == 0:
		return &exitError{exitPaused, fmt.Errorf("no worker is there: %d files wait for their verdicts; "+
			"start one (INGEST_ROLE=worker), and the next run does with the files what is to be done with them", n.Upload+n.Await)}
	}
	return d.held(ctx, n)
}

// held returns the end of the program if nothing on the queue can go on until a person does something: to the account, or on
// another machine.
func (d *daemon) held(ctx context.Context, n queue.Depths) error {
	files, waits := d.stranded(ctx)
	if waits != nil && n.Await == 0 && n.Upload <= files {
		return &exitError{exitPaused, waits}
	}
	n.Upload -= min(files, n.Upload)
	err := d.paused(n)
	if e, paused := errors.AsType[*exitError](err); paused && waits != nil {
		e.err = errors.Join(e.err, waits)
	}
	return err
}

// stranded counts the files that wait for machines on which nobody works, once all who work have looked for them. The error
// says which those are.
func (d *daemon) stranded(ctx context.Context) (files int, waits error) {
	if !d.offers.settled(workersNow(d.cluster)) {
		return 0, nil
	}
	waiting, err := d.cluster.Waiting(ctx)
	if err != nil {
		return 0, nil
	}
	for _, w := range waiting {
		if !w.Works {
			waits = errors.Join(waits, errors.New(waitingLine(w)))
			files += w.Files
		}
	}
	return files, waits
}

// paused returns the end of the program if nothing on the queue can go on until a person does something.
func (d *daemon) paused(n queue.Depths) error {
	uploads, polls := d.cluster.Uploads.State(), d.cluster.Polls.State()
	unbegun := d.unbegun() >= n.Await // each of them waits for credits
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

// unbegun is how many media this process knows to be at the platform, which has not begun with them.
func (d *daemon) unbegun() int {
	if d.worker == nil {
		return 0
	}
	return d.worker.Unbegun()
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
