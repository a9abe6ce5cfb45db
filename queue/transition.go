package queue

import (
	"fmt"
	"slices"
	"time"
)

// An Event is something that happened to a job. The set is closed: it is what this file lists.
type Event interface {
	// on returns the job after the event, and whether the event can happen to a job in its state.
	on(Job) (Job, bool)
}

// Next returns the job as it is after the event. It is pure, and an error means that the event cannot
// happen in the job's state: somebody else has moved the job on, or the caller is wrong.
func (j Job) Next(e Event) (Job, error) {
	next, ok := e.on(j)
	if !ok {
		return j, fmt.Errorf("job %s: %T cannot happen when %s", j.Key, e, j.State)
	}
	return next, nil
}

// Joined: another file with the same content waits for the same answer. A job that waits for a machine which may not see
// that file is everybody's again. One that has a call under way stays where it is: its worker may be at it.
type Joined struct{ Drop Drop }

func (e Joined) on(j Job) (Job, bool) {
	j.Drops = append(slices.Clip(j.Drops), e.Drop)
	j.Passed = slices.DeleteFunc(slices.Clone(j.Passed), func(host string) bool { return host == e.Drop.Host })
	if !j.underWay() && j.At != e.Drop.Host {
		j.At = ""
	}
	return j, !j.State.ended() && len(j.Drops) <= maxDrops
}

// Passed: a machine can read none of the files, and does not say that they are gone: another one may see them.
type Passed struct {
	By, To string
	Looked int // drops that the job listed when it was passed on: one that joined meanwhile may be there
}

func (e Passed) on(j Job) (Job, bool) {
	ok := (j.State == Queued || j.State == Reserved) && !j.underWay() && e.To != e.By && e.Looked == len(j.Drops)
	j.Passed = slices.DeleteFunc(slices.Clone(j.Passed), func(host string) bool { return host == e.By })
	j.Passed = append(j.Passed, e.By)
	j.Passed = j.Passed[max(0, len(j.Passed)-maxPassed):]
	j.At = e.To
	return j, ok
}

// Offered: a job that waits for a machine is everybody's again, and those that could not read its files are to look anew:
// who works has changed.
type Offered struct{}

func (Offered) on(j Job) (Job, bool) {
	ok := (j.State == Queued || j.State == Reserved) && j.At != ""
	j.At, j.Passed = "", nil
	return j, ok
}

// CreateStarted: a create is about to be sent. It is in the ledger before the request leaves. The first name that is
// given to the platform stays, so that a lost record can be found by it.
type CreateStarted struct {
	Name string
	At   time.Time
}

func (e CreateStarted) on(j Job) (Job, bool) {
	j.Creating, j.Unanswered = e.At, false
	if j.Name == "" {
		j.Name = e.Name
	}
	return j, j.State == Queued
}

// CreateRefused: the platform answered that it created nothing, or the request never left.
type CreateRefused struct{}

func (CreateRefused) on(j Job) (Job, bool) {
	j.Creating = time.Time{}
	return j, j.State == Queued
}

// Created: the platform has a media record, and its bytes are about to be sent. It is in the ledger before
// the first byte leaves.
type Created struct {
	MediaID   string
	UploadURL string
	Expires   time.Time // the end of the upload URL's life
	Copied    bool      // the bytes are those of a copy that nobody alters
	At        time.Time
}

func (e Created) on(j Job) (Job, bool) {
	ok := j.State == Queued
	j.State, j.Creating = Reserved, time.Time{}
	j.MediaID, j.UploadURL, j.URLExpires = e.MediaID, e.UploadURL, e.Expires
	return j.sending(e.At, e.Copied), ok
}

// Adopted: the list has a media record of a create whose answer was lost, and it has its bytes.
type Adopted struct {
	MediaID string
	At      time.Time
}

func (e Adopted) on(j Job) (Job, bool) {
	ok := j.State == Queued
	j.Creating, j.MediaID = time.Time{}, e.MediaID
	return j.uploaded(e.At), ok
}

// SendStarted: the bytes are about to be sent again, to the same URL.
type SendStarted struct {
	Copied bool // the bytes are those of a copy that nobody alters
	At     time.Time
}

func (e SendStarted) on(j Job) (Job, bool) {
	return j.sending(e.At, e.Copied), j.State == Reserved
}

// SendFailed: the PUT failed, and the bytes are certainly not at the platform.
type SendFailed struct {
	Refused bool // storage refused these bytes, with an answer of its own
}

func (e SendFailed) on(j Job) (Job, bool) {
	j.Sending, j.Asked = time.Time{}, time.Time{}
	if e.Refused {
		j.Refusals++
	}
	return j, j.State == Reserved
}

// NotThereYet: the platform says that it has no bytes of a PUT. If that was not answered, they may only be late; if it was
// taken, their processing has not begun, for which it takes credits.
type NotThereYet struct{ At time.Time }

func (e NotThereYet) on(j Job) (Job, bool) {
	j.Asked = e.At
	return j, j.State == Uploaded || j.State == Reserved && !j.Sending.IsZero()
}

// Abandoned: the media record can take no bytes any more (its URL is too old), and has got none.
type Abandoned struct{}

func (Abandoned) on(j Job) (Job, bool) {
	return j.anew(), j.State == Reserved
}

// Unanswered: the call under way has ended without an answer that says what became of it, and the process that made it
// knows. Where nobody says so, that process has gone down in the middle of it.
type Unanswered struct{}

func (Unanswered) on(j Job) (Job, bool) {
	ok := j.underWay()
	j.Unanswered = true
	return j, ok
}

// Crashed: the process that had the job in hand has gone down in the middle of a call, or would have.
type Crashed struct{}

func (Crashed) on(j Job) (Job, bool) {
	j.Crashes++
	j.Unanswered = j.underWay() // so that it is counted once
	return j, !j.State.ended()
}

// Taken: the platform has the bytes.
type Taken struct{ At time.Time }

func (e Taken) on(j Job) (Job, bool) {
	ok := j.State == Reserved
	return j.uploaded(e.At), ok
}

// Concluded: the platform has judged.
type Concluded struct {
	Judgement Judgement
	At        time.Time
}

func (e Concluded) on(j Job) (Job, bool) {
	ok := j.State == Uploaded
	j.State, j.EndedAt, j.Judgement = Judged, e.At, &e.Judgement
	return j, ok
}

// GaveUp: this content cannot be judged, by its own fault. Where the fault lies in the files, it has to be known how
// many were looked at: one that joined meanwhile may be better.
type GaveUp struct {
	Fault  Fault
	Looked int // drops that the job listed when it was given up
	At     time.Time
}

func (e GaveUp) on(j Job) (Job, bool) {
	ok := !j.State.ended() && (!e.Fault.Reason.inFile() || e.Looked == len(j.Drops))
	j.Stopped, j.State, j.EndedAt, j.Fault = j.State, Failed, e.At, &e.Fault
	return j, ok
}

// Shared: another drop has had a failed job's answer, and will be retried with it.
type Shared struct{ Drop Drop }

func (e Shared) on(j Job) (Job, bool) {
	j.Drops = append(slices.Clip(j.Drops), e.Drop)
	return j, j.State == Failed && len(j.Drops) <= maxDrops
}

// Retried: a failed job goes on, for drops that want its answer. The earlier drops have had theirs.
type Retried struct {
	Drops    []Drop
	Reverify bool // begin anew and pay again, instead of going on where it stopped
	At       time.Time
}

func (e Retried) on(j Job) (Job, bool) {
	ok := j.State == Failed && j.Stopped != "" && len(e.Drops) > 0
	j.State, j.Stopped, j.Fault, j.EndedAt = j.Stopped, "", nil, time.Time{}
	j.Refusals, j.Crashes, j.At, j.Passed = 0, 0, "", nil
	j.Answered = slices.Clip(j.Answered)
	for _, d := range j.Drops {
		if !slices.ContainsFunc(e.Drops, func(e Drop) bool { return e.ID == d.ID }) {
			j.Answered = append(j.Answered, d.ID)
		}
	}
	j.Answered = j.Answered[max(0, len(j.Answered)-maxAnswered):]
	j.Drops, j.ResumedAt = slices.Clone(e.Drops), e.At
	if e.Reverify {
		j = j.anew()
	}
	return j, ok
}

// anew takes a job back to its beginning. Its media record is given up, whatever it has.
func (j Job) anew() Job {
	j.State = Queued
	j.Abandoned = slices.Clip(j.Abandoned)
	if j.MediaID != "" {
		j.Abandoned = append(j.Abandoned, j.MediaID)
	}
	j.Abandoned = j.Abandoned[max(0, len(j.Abandoned)-maxAbandoned):]
	j.MediaID, j.UploadURL, j.URLExpires = "", "", time.Time{}
	j.Sending, j.Asked, j.UploadedAt, j.Unanswered = time.Time{}, time.Time{}, time.Time{}, false
	return j
}

func (j Job) sending(at time.Time, copied bool) Job {
	j.Copied = copied
	j.Sending, j.Asked, j.Unanswered = at, time.Time{}, false
	j.Attempts++
	return j
}

func (j Job) uploaded(at time.Time) Job {
	j.State, j.UploadedAt, j.At, j.Passed = Uploaded, at, "", nil
	j.Sending, j.Asked, j.Unanswered, j.Crashes = time.Time{}, time.Time{}, false, 0
	j.UploadURL, j.URLExpires = "", time.Time{}
	return j
}
