package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrNotFailed says that a job cannot be retried, because it has not failed: it is in work, or has its verdict.
var ErrNotFailed = errors.New("it has not failed")

// ErrUnknownJob says that nothing is known of a job, or no more.
var ErrUnknownJob = errors.New("no such job is known")

// Retry has a failed job go on: where it stopped, so that what was paid for is not paid for again, or with reverify from
// the beginning, so that it is. Each of its drops has had its failure; a new drop stands for it and will have its own
// answer, which names it. The job is returned as it is then.
func (q *Queue) Retry(ctx context.Context, key JobKey, reverify bool) (Job, error) {
	for {
		j, err := q.retry(ctx, key, reverify)
		if !errors.Is(err, ErrConflict) || ctx.Err() != nil {
			return j, err
		}
	}
}

func (q *Queue) retry(ctx context.Context, key JobKey, reverify bool) (Job, error) {
	r, err := q.load(ctx, key)
	switch {
	case errors.Is(err, errNoJob):
		return Job{}, ErrUnknownJob
	case err != nil:
		return Job{}, err
	case r.State != Failed:
		return r.Job, fmt.Errorf("%w: it is %s", ErrNotFailed, r.State)
	}
	// As in submitEnded: the earlier drops leave the record.
	if err := q.announceAgain(ctx, r.Job); err != nil {
		return r.Job, err
	}
	if err := q.gone(ctx, key); err != nil {
		return r.Job, err
	}
	e := Retried{Reverify: reverify, At: time.Now().UTC()}
	for _, d := range r.Drops {
		d.ID, d.RetryOf, d.QueuedAt = retryID(d.ID, r.EndedAt), d.ID, e.At
		e.Drops = append(e.Drops, d)
	}
	next, err := r.Next(e)
	if err != nil {
		return r.Job, err
	}
	if r, err = q.advance(ctx, r, next); err != nil {
		return r.Job, err
	}
	return r.Job, q.enqueue(ctx, r.Job)
}

// A FailurePage is some of what has failed, oldest first, as the stream of failures has it.
type FailurePage struct {
	Failures []Failure
	Next     uint64 // where the next page begins; 0: there is none
	Last     uint64 // where the stream ended
}

// Failures returns a page of at most n, from a place in the stream to another; 0 is its beginning, and its end.
func (q *Queue) Failures(ctx context.Context, from, to uint64, n int) (FailurePage, error) {
	s, err := q.js.Stream(ctx, q.ns.name("failures"))
	if err != nil {
		return FailurePage{}, fmt.Errorf("read the failures: %w", err)
	}
	state := s.CachedInfo().State
	p := FailurePage{Last: state.LastSeq}
	if to == 0 || to > p.Last {
		to = p.Last
	}
	for seq := max(from, state.FirstSeq); seq <= to && seq > 0; seq++ {
		if n--; n < 0 {
			p.Next = seq
			break
		}
		if p.Failures, err = appendFailure(ctx, p.Failures, s, seq); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Job is the key of the job that failed; empty: no job was made of the file.
func (f Failure) Job() JobKey {
	if f.Digest == "" {
		return ""
	}
	return KeyOf(f.Digest, f.Model)
}

// shortKey is how many characters of a key are enough to tell jobs apart, for people.
const shortKey = 12

// Short is the beginning of a key, as people may name it.
func (k JobKey) Short() string { return string(k)[:min(len(k), shortKey)] }

// named reports whether a person who says a name means this failure: by its job's key or the beginning of one, or its
// drop's id.
func (f Failure) named(name string) bool {
	return name == string(f.ID) || len(name) >= minName && f.Job() != "" && strings.HasPrefix(string(f.Job()), name)
}

// minName is the shortest beginning of a key that is taken for one.
const minName = 6

// FailedJobs finds the jobs that a person means by a name: the key of a job, the beginning of one, or the id of a drop that
// failed. A failure without a job is found, too, as an empty key.
func (q *Queue) FailedJobs(ctx context.Context, name string) ([]JobKey, error) {
	if key := JobKey(name); key.Valid() {
		return []JobKey{key}, nil
	}
	found := map[JobKey]bool{}
	for from, more := uint64(0), true; more; {
		p, err := q.Failures(ctx, from, 0, failuresAtATime)
		if err != nil {
			return nil, err
		}
		for _, f := range p.Failures {
			if f.named(name) {
				found[f.Job()] = true
			}
		}
		from, more = p.Next, p.Next != 0
	}
	return slices.Collect(maps.Keys(found)), nil
}

const failuresAtATime = 1000
