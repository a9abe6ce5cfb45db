package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Blank reports whether the ledger is empty without that being noted: the store is new, or somebody has deleted its ledger.
func (q *Queue) Blank(ctx context.Context) (bool, error) {
	ledger, err := q.ledger.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the ledger: %w", err)
	}
	gaps, _, err := q.gaps(ctx)
	if err != nil {
		return false, err
	}
	noted := len(gaps) > 0 && gaps[len(gaps)-1].CaughtUp.IsZero()
	return ledger.State.LastSeq == 0 && !noted, nil
}

// Suspect notes that something of the store seems to be lost.
func (q *Queue) Suspect() { q.suspect.Store(true) }

// Suspects reports that something of the store seems to be lost: that was said, or something was met that only a loss can
// have left. Nothing is uploaded by this process until Recover has looked into it.
func (q *Queue) Suspects() bool { return q.suspect.Load() }

// Recover finds out what a loss has left of the store, and mends what can be: after a crash of the broker's machine the
// newest entries of each stream may be gone, each for itself, and a damaged disk takes whatever it likes.
//
//   - What may have been uploaded without the ledger knowing is noted as a [Gap], before anything else.
//   - What has its verdict or failure on a stream is written into the ledger, if that has forgotten it.
//   - What has it in the ledger, and not on the stream, is published again, under the same id.
//   - Files whose drops are in no record are forgotten by the registry, so that the next scan takes them in again.
//   - Jobs in work without a message are put back on their queue; messages without a job are dropped.
//
// It needs to have run, after a loss, before anything is uploaded. Doing it without need is harmless. It reads the headers
// of the ledger and all of the registry: of a million files some ten seconds.
func (q *Queue) Recover(ctx context.Context) (Mended, error) {
	m, err := q.recover(ctx)
	if err == nil {
		err = q.note(ctx, m)
	}
	if err != nil {
		return m, fmt.Errorf("find out what was lost of the store: %w", err)
	}
	return m, nil
}

func (q *Queue) recover(ctx context.Context) (m Mended, err error) {
	q.recovering.Store(true)
	defer q.recovering.Store(false)
	defer func() {
		if err != nil {
			q.Suspect()
		}
	}()
	q.suspect.Store(false)
	r := recovery{q: q, keys: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	for _, step := range []func(context.Context) error{
		r.lookForTheNewest, r.noteGap, r.listRecords, r.restore, r.findLostFiles, r.noteGap, r.forgetFiles, r.announce, r.requeue, r.dropOrphans,
	} {
		if err := step(ctx); err != nil {
			return r.mended, err
		}
	}
	return r.mended, nil
}

// A recovery is what Recover knows so far.
type recovery struct {
	q      *Queue
	mended Mended

	ledger, verdicts, failures time.Time // when the newest entry was written that is left
	newest                     time.Time // of the ledger, even if an earlier recovery was cut off
	evicted                    time.Time // records from before may have been forgotten on purpose

	seed maphash.Seed
	keys map[uint64]struct{} // of all records, by their hashes: there may be a million

	said   map[DropID]struct{} // the drops that were answered last
	ended  []JobKey            // jobs that ended then
	inWork []JobKey
	lost   []string  // subjects of files in the registry
	oldest time.Time // of those
}

func (r *recovery) hash(key JobKey) uint64 { return maphash.String(r.seed, string(key)) }

func (r *recovery) known(key JobKey) bool {
	_, ok := r.keys[r.hash(key)]
	return ok
}

// lookForTheNewest finds the newest entry that each stream has. What was written later may be lost from it.
func (r *recovery) lookForTheNewest(ctx context.Context) error {
	q := r.q
	for _, s := range []struct {
		name, subject string
		at            *time.Time
	}{
		{"KV_" + q.ns.name("ledger"), q.ns.record(">"), &r.ledger},
		{q.ns.name("verdicts"), q.ns.subject("verdicts", ">"), &r.verdicts},
		{q.ns.name("failures"), q.ns.subject("failures", ">"), &r.failures},
	} {
		stream, err := q.js.Stream(ctx, s.name)
		if err != nil {
			return err
		}
		msg, err := q.last(ctx, stream, s.subject) // the stream's own word on its end may be older than its loss
		if err == nil {
			*s.at = msg.Time
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	r.newest = r.ledger
	gaps, err := q.Gaps(ctx)
	if err != nil {
		return err
	}
	for _, g := range gaps { // of one that nobody has seen the end of, the recovery may have been cut off
		if g.CaughtUp.IsZero() {
			r.ledger = earlier(r.ledger, g.From)
		}
	}
	r.evicted, err = q.evictedTo(ctx)
	return err
}

// restore writes into the ledger what was answered after its newest record.
func (r *recovery) restore(ctx context.Context) error {
	err := readFrom(ctx, r.q, "failures", r.ledger, func(f Failure, t Trace) error { return r.restoreJob(ctx, f.job(), t) })
	if err != nil {
		return err
	}
	return readFrom(ctx, r.q, "verdicts", r.ledger, func(v Verdict, t Trace) error { return r.restoreJob(ctx, v.job(), t) })
}

func (r *recovery) restoreJob(ctx context.Context, answered Job, t Trace) error {
	if !answered.Digest.Valid() || !answered.Model.Valid() {
		return nil // no job was made of it
	}
	answered.Drops[0].Trace = t
	was, err := r.q.load(ctx, answered.Key)
	if err != nil && !errors.Is(err, errNoJob) {
		return err
	}
	next, changed := answered, true
	if err == nil {
		next, changed = was.answeredAs(answered)
	}
	if !changed {
		return nil
	}
	r.mended.Restored++
	r.ended = append(r.ended, next.Key)
	r.keys[r.hash(next.Key)] = struct{}{}
	_, err = r.q.store(ctx, next, was.revision)
	return err
}

// answeredAs is the record of a job of which a message says how it has ended. A record that has ended itself stands, but that
// a verdict is later than a failure.
func (j Job) answeredAs(a Job) (Job, bool) {
	d := a.Drops[0]
	if j.State == a.State || j.State == Judged || slices.Contains(j.Answered, d.ID) {
		return j, false
	}
	a.Creating, a.Abandoned, a.Answered, a.QueuedAt, a.Name = j.Creating, j.Abandoned, j.Answered, j.QueuedAt, j.Name
	if j.waits(d.ID) {
		a.Drops = j.Drops
	} else if !j.State.ended() {
		a.Drops = append(a.Drops, j.Drops...)
	}
	return a, true
}

// listRecords lists what the ledger has.
func (r *recovery) listRecords(ctx context.Context) error {
	return r.q.scan(ctx, r.q.ledger, func(e entry) error {
		if e.marker {
			return nil
		}
		key := JobKey(lastToken(e.subject))
		r.keys[r.hash(key)] = struct{}{}
		switch {
		case !e.ends:
			r.inWork = append(r.inWork, key)
		case time.Since(e.at) > r.q.ResultTTL: // its message would have expired
		case e.at.After(r.verdicts.Add(-sayTime)) && e.state != Failed, e.at.After(r.failures.Add(-sayTime)) && e.state != Judged:
			r.ended = append(r.ended, key)
		}
		return nil
	})
}

// findLostFiles finds the files of which the registry says that they were dealt with, and nothing else does.
func (r *recovery) findLostFiles(ctx context.Context) error {
	kept := time.Now().Add(-r.q.ResultTTL) // an older one's record may have expired
	return r.q.contents(ctx, r.q.files, time.Time{}, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		var e FileEntry
		if len(msg.Data()) == 0 || json.Unmarshal(msg.Data(), &e) != nil {
			return nil
		}
		if e.Since.IsZero() {
			e.Since = meta.Timestamp
		}
		lost, err := r.isLost(ctx, e)
		if err != nil || !lost || e.Since.Before(kept) {
			return err
		}
		if r.lost = append(r.lost, msg.Subject()); r.oldest.IsZero() || e.Since.Before(r.oldest) {
			r.oldest = e.Since
		}
		return nil
	})
}

func (r *recovery) isLost(ctx context.Context, e FileEntry) (bool, error) {
	switch {
	case e.Reason != "":
		return e.Since.After(r.failures), nil
	case e.Cached && e.Since.After(r.verdicts):
		return true, nil
	case !e.Since.After(r.evicted):
		return false, nil
	}
	for _, key := range e.Jobs {
		if !r.known(key) { // or it was made after the records were listed
			switch _, err := r.q.load(ctx, key); {
			case errors.Is(err, errNoJob):
				return true, nil
			case err != nil:
				return false, err
			}
		}
		if e.Since.After(r.ledger.Add(-sayTime)) { // the record may be one from before a drop has joined
			if left, err := r.leftOut(ctx, key, e.Drops); left || err != nil {
				return left, err
			}
		}
	}
	return false, nil
}

// leftOut reports whether a job in work does not know of any of the drops.
func (r *recovery) leftOut(ctx context.Context, key JobKey, drops []DropID) (bool, error) {
	j, err := r.q.load(ctx, key)
	if errors.Is(err, errNoJob) || err == nil && j.State.ended() {
		return false, nil
	}
	knows := func(id DropID) bool { return j.waits(id) || slices.Contains(j.Answered, id) }
	return err == nil && !slices.ContainsFunc(drops, knows), err
}

// noteGap notes of which time the ledger may not know everything.
func (r *recovery) noteGap(ctx context.Context) error {
	from, to := r.ledger, time.Now()
	if !r.oldest.IsZero() {
		from = earlier(from, r.oldest)
	}
	if r.newest.After(to) { // the clock is behind
		to = r.newest
	}
	return r.q.addGap(ctx, Gap{From: from.UTC(), To: to.UTC()})
}

func (r *recovery) forgetFiles(ctx context.Context) error {
	for _, subject := range r.lost {
		if _, err := r.q.publish(ctx, write{subject: subject, last: anySequence, ttl: time.Minute, removal: true}); err != nil {
			return err
		}
		r.mended.Forgotten++
	}
	return nil
}

// sayTime is how much later than its record an answer may be published, at most, by a worker that has its job in hand: other
// answers may come in between, which are left when it is lost.
const sayTime = ackWait

// announce publishes the answers that are not on their streams, of jobs that have ended about the time of the newest that are
// left there, or later.
func (r *recovery) announce(ctx context.Context) error {
	r.said = map[DropID]struct{}{}
	say := func(h Head) error {
		r.said[h.ID] = struct{}{}
		return nil
	}
	err := errors.Join(
		readFrom(ctx, r.q, "verdicts", tail(r.verdicts), func(v Verdict, _ Trace) error { return say(v.Head) }),
		readFrom(ctx, r.q, "failures", tail(r.failures), func(f Failure, _ Trace) error { return say(f.Head) }),
	)
	for _, key := range r.ended {
		if err != nil {
			return err
		}
		err = r.announceJob(ctx, key)
	}
	return err
}

// tail is from when on a stream has the answers of jobs that ended later than sayTime before its newest one.
func tail(newest time.Time) time.Time {
	if newest.IsZero() {
		return newest
	}
	return newest.Add(-2 * sayTime)
}

func (r *recovery) announceJob(ctx context.Context, key JobKey) error {
	j, err := r.q.load(ctx, key)
	if errors.Is(err, errNoJob) || err == nil && !j.State.ended() {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range j.Drops {
		if _, said := r.said[d.ID]; said {
			continue
		}
		news, err := r.q.answer(ctx, j.Job, d, false)
		if err != nil {
			return err
		}
		if news {
			r.q.metrics.answered(j.Job)
		}
		r.mended.Announced++
	}
	return nil
}

func (r *recovery) requeue(ctx context.Context) error {
	for _, key := range r.inWork {
		put, err := r.q.requeue(ctx, key)
		if err != nil {
			return err
		}
		if put {
			r.mended.Requeued++
		}
	}
	return nil
}

// dropOrphans drops messages whose job is lost: its file will be taken in again.
func (r *recovery) dropOrphans(ctx context.Context) error {
	info, err := r.q.jobs.Info(ctx, jetstream.WithSubjectFilter(r.q.ns.subject("jobs", ">")))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		if key := JobKey(lastToken(subject)); !r.known(key) {
			if err := r.dropOrphan(ctx, key, subject); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *recovery) dropOrphan(ctx context.Context, key JobKey, subject string) error {
	if _, err := r.q.load(ctx, key); !errors.Is(err, errNoJob) {
		return err // nil: it was made meanwhile
	}
	r.q.Step("before drop")
	if err := r.q.jobs.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
		return err
	}
	r.q.Log.Warn("dropped the message of a lost job; its file is taken in again", "job", key)
	return r.q.mend(ctx, key)
}

// readFrom hands over the messages of a stream that were stored after a time.
func readFrom[T any](ctx context.Context, q *Queue, name string, after time.Time, receive func(T, Trace) error) error {
	s, err := q.js.Stream(ctx, q.ns.name(name))
	if err != nil {
		return err
	}
	return q.contents(ctx, s, after, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) error {
		var v T
		if json.Unmarshal(msg.Data(), &v) != nil {
			return nil
		}
		return receive(v, TraceFrom(msg.Headers()))
	})
}

// job is the record of the job whose answer the verdict is, as far as that tells.
func (v Verdict) job() Job {
	j := v.Head.job(v.QueuedAt)
	j.State, j.UploadedAt, j.EndedAt, j.Judgement = Judged, v.UploadedAt, v.JudgedAt, &v.Judgement
	return j
}

// job is likewise.
func (f Failure) job() Job {
	j := f.Head.job(f.FailedAt)
	j.State, j.Attempts, j.EndedAt, j.Fault, j.Stopped = Failed, f.Attempts, f.FailedAt, &f.Fault, Queued
	switch {
	case f.MediaID == "":
	case f.Reason == Timeout || f.Reason == AnalysisFailed:
		j.Stopped = Uploaded
	default: // the platform may have its bytes, or not: it is asked before they are sent
		j.Stopped, j.Sending, j.Unanswered = Reserved, f.FailedAt, true
	}
	return j
}

func (h Head) job(at time.Time) Job {
	return Job{
		Key: KeyOf(h.Digest, h.Model), Digest: h.Digest, Size: h.Size, ContentType: h.ContentType, Model: h.Model, MediaID: h.MediaID,
		Drops: []Drop{{ID: h.ID, RetryOf: h.RetryOf, URI: h.URI, Name: h.Name, Meta: h.Meta, With: h.With, QueuedAt: at}}, QueuedAt: at,
	}
}
