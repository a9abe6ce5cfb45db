package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// untilDone returns errOnceDone when everything that was there is judged or failed, and an exitError when the account
// keeps the rest from going on.
func (d *daemon) untilDone(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.watcher.CaughtUp():
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if depths, err := d.queue.Depths(ctx); err == nil { // without an answer there is nothing to say yet
			d.report.progress(depths)
			if depths == (queue.Depths{}) {
				return errOnceDone
			}
			if err := d.paused(depths); err != nil {
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
	uploads, uploadsPaused := d.worker.Uploading().Closed()
	polls, pollsPaused := d.worker.Polling().Closed()
	if n.Upload > 0 && (!uploadsPaused || !uploads.Reason.Account()) ||
		n.Await > 0 && (!pollsPaused || !polls.Reason.Account()) {
		return nil
	}
	why := uploads
	if n.Upload == 0 {
		why = polls
	}
	return &exitError{exitPaused, errors.Join(
		fmt.Errorf("paused: %s", why.Said),
		fmt.Errorf("%d files are left on the queue; the next run goes on with them", n.Upload+n.Await),
	)}
}
