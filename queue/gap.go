package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Gap is a time of which the ledger may not know everything, because something of it was lost, or because there was no
// ledger yet: a media record that was made in it may be one that this store's files have been uploaded to.
type Gap struct {
	From     time.Time `json:"from,omitzero"`      // zero: since ever
	To       time.Time `json:"to"`                 // when the loss was noticed
	CaughtUp time.Time `json:"caught_up,omitzero"` // when the folders had been scanned once after it
}

const (
	// lateFiles is how long after the folders were scanned a file is still taken for one that the gap hides: it may have
	// waited for room, or for another watcher's scan.
	lateFiles = time.Hour
	// maxGaps is how many gaps are kept apart; then the oldest are taken together.
	maxGaps = 8
)

// Hides reports whether the job may have been uploaded in the gap without its record saying so: nothing is known of an
// upload, its file is older than the gap's end, and it was queued before all that the gap has hidden was found again.
func (g Gap) Hides(j Job) bool {
	old := func(d Drop) bool { return !d.File.ModTime.After(g.To) || d.File.ModTime.After(d.QueuedAt) } // or its time is wrong
	return j.State == Queued && slices.ContainsFunc(j.Drops, old) && (g.CaughtUp.IsZero() || j.QueuedAt.Before(g.CaughtUp.Add(lateFiles)))
}

const gapsKey = "gaps"

// Gaps returns the gaps that the store has had, oldest first.
func (q *Queue) Gaps(ctx context.Context) ([]Gap, error) {
	gaps, _, err := q.gaps(ctx)
	return gaps, err
}

func (q *Queue) gaps(ctx context.Context) (gaps []Gap, revision uint64, err error) {
	e, err := q.control.Get(ctx, gapsKey)
	if err != nil {
		return nil, 0, err
	}
	if len(e.Data) > 0 && json.Unmarshal(e.Data, &gaps) != nil { // nothing is known of what was lost, so all may be
		q.Log.Warn("the record of what the ledger may have lost is damaged")
		gaps = []Gap{{To: time.Now().UTC()}}
	}
	return gaps, e.Revision, nil
}

// addGap notes a gap, durably, before anything is done about it.
func (q *Queue) addGap(ctx context.Context, g Gap) error {
	return q.changeGaps(ctx, func(gaps []Gap) []Gap { return merge(gaps, g, q.ResultTTL) })
}

// CaughtUp notes that the folders were scanned after all gaps so far.
func (q *Queue) CaughtUp(ctx context.Context) error {
	return q.changeGaps(ctx, func(gaps []Gap) []Gap {
		for i := range gaps {
			if gaps[i].CaughtUp.IsZero() {
				gaps[i].CaughtUp = time.Now().UTC()
			}
		}
		return gaps
	})
}

func (q *Queue) changeGaps(ctx context.Context, change func([]Gap) []Gap) error {
	for {
		gaps, revision, err := q.gaps(ctx)
		if err != nil {
			return err
		}
		next := change(slices.Clone(gaps))
		if slices.Equal(next, gaps) {
			return nil
		}
		data, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if _, err = q.control.Put(ctx, gapsKey, data, revision); !errors.Is(err, ErrConflict) {
			if err != nil {
				err = fmt.Errorf("note what the ledger may have lost: %w", err)
			}
			return err
		}
	}
}

// merge adds a gap to others. What no file hides in any more is dropped, what is one gap is made one.
func merge(gaps []Gap, g Gap, life time.Duration) []Gap {
	gaps = slices.DeleteFunc(gaps, func(old Gap) bool {
		return g.To.Sub(old.To) > life || g.CaughtUp.IsZero() && !g.From.After(old.From)
	})
	gaps = append(gaps, g)
	for len(gaps) > maxGaps {
		gaps[1].From = earlier(gaps[0].From, gaps[1].From)
		if gaps[0].CaughtUp.IsZero() {
			gaps[1].CaughtUp = time.Time{}
		}
		gaps = gaps[1:]
	}
	return gaps
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
