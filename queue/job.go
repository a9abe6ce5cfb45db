package queue

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// A State says how far a job came. Who moves it on, and what holds after a crash in it, stands beside each.
type State string

// The states of a job.
const (
	// Queued: an uploader creates a media record at the platform next. While Job.Creating is set, one may
	// have been created and its answer lost: the platform's list is asked before another.
	Queued State = "queued"
	// Reserved: the platform has a media record, and an upload URL is known. While Job.Sending is set, the
	// bytes may have arrived: the platform is asked before they are sent again.
	Reserved State = "reserved"
	// Uploaded: the platform has the bytes and has been paid. A poller asks for the result.
	Uploaded State = "uploaded"
	// Judged: the verdict is in the record. What may be missing are its messages; they are published again.
	Judged State = "judged"
	// Failed: as Judged, with a fault. A retry takes the job back to Job.Stopped.
	Failed State = "failed"
)

// ended reports whether the record is terminal: it has its answer, and expires.
func (s State) ended() bool { return s == Judged || s == Failed }

// A Drop is one arrival of a file.
type Drop struct {
	ID       DropID    `json:"id"`
	RetryOf  DropID    `json:"retry_of,omitempty"` // the drop whose failure was retried for this one
	URI      string    `json:"uri"`
	Host     string    `json:"host,omitempty"` // the machine whose processes see the file at URI; empty: whoever works does
	Name     string    `json:"name"`
	Meta     Meta      `json:"meta,omitempty"`
	With     []DropID  `json:"with,omitempty"`   // the drops of the same arrival under other models
	Staged   string    `json:"staged,omitempty"` // the object of the staging bucket that has its bytes; empty: they are at URI only
	File     FileID    `json:"file"`             // the version that was hashed
	Trace    Trace     `json:"trace,omitzero"`   // where it came from, in the trace of whoever handed it in
	QueuedAt time.Time `json:"queued_at"`
}

// Meta is what whoever handed a file in wants to find in its answer, as JSON values.
type Meta map[string]json.RawMessage

// A Job is the ledger's record of one content under one model. It is a value: [Job.Next] makes the
// changed one.
type Job struct {
	Key         JobKey `json:"key"`
	Digest      Digest `json:"sha256"`
	Size        int64  `json:"size"` // bytes
	ContentType string `json:"content_type"`
	Model       Model  `json:"model"`
	Name        string `json:"name,omitempty"` // as given to the platform, once one was

	State State  `json:"state"`
	Drops []Drop `json:"drops"` // those that wait for this job's answer; at most maxDrops

	// At is the machine whose workers have the job's message, as long as the platform has no bytes; empty: all. It is the
	// truth about where the message is: one that was left elsewhere is nobody's to work on.
	At string `json:"at,omitempty"`
	// Passed are the machines that could not read any of the files: all those that it lists have been looked at from there.
	// At most maxPassed.
	Passed []string `json:"passed,omitempty"`

	// Answered are earlier drops, which had a failure before the job was taken up again; at most maxAnswered.
	Answered []DropID `json:"answered,omitempty"`

	MediaID    string    `json:"mid,omitempty"`
	UploadURL  string    `json:"upload_url,omitempty"` // presigned: a secret
	URLExpires time.Time `json:"url_expires,omitzero"`
	Abandoned  []string  `json:"abandoned,omitempty"` // media records that never got bytes, newest last

	Creating time.Time `json:"creating,omitzero"`  // since when a create may be under way or unanswered
	Sending  time.Time `json:"sending,omitzero"`   // since when a PUT may be under way or unanswered
	Asked    time.Time `json:"asked,omitzero"`     // when the platform said, of an unanswered PUT first, of a taken one last, that it has no bytes
	Copied   bool      `json:"copied,omitempty"`   // the bytes of the last PUT are those of a copy that was checked, and not of a file that others may alter
	Attempts int       `json:"attempts,omitempty"` // PUTs begun
	Refusals int       `json:"refusals,omitempty"` // PUTs that storage refused for what they were

	Unanswered bool `json:"unanswered,omitempty"` // the call that may be under way has ended, or its process, and that is known
	Crashes    int  `json:"crashes,omitempty"`    // how often work on it went down with its process, or would have

	QueuedAt   time.Time `json:"queued_at"`
	UploadedAt time.Time `json:"uploaded_at,omitzero"`
	ResumedAt  time.Time `json:"resumed_at,omitzero"` // when a retry took it up again
	EndedAt    time.Time `json:"ended_at,omitzero"`

	Judgement *Judgement `json:"judgement,omitempty"` // in Judged
	Fault     *Fault     `json:"fault,omitempty"`     // in Failed
	Stopped   State      `json:"stopped,omitempty"`   // in Failed: where a retry goes on
}

// What bounds a record, so that with its verdict it fits a message of 1 MB, which is what servers take by default.
const (
	maxDrops     = 100
	maxAnswered  = 500
	maxAbandoned = 8
	maxPassed    = 100
	maxRecord    = 512 << 10 // bytes of its drops
)

// fits reports whether a record has room for the job's drops, as it is written.
func (j Job) fits() bool {
	most := 0
	for _, d := range j.Drops {
		most += d.mostSize()
	}
	if most <= maxRecord {
		return true
	}
	data, err := json.Marshal(j.Drops)
	return err == nil && len(data) <= maxRecord
}

// mostSize is more than what the drop takes in a record.
func (d Drop) mostSize() int {
	n := len(d.URI) + len(d.Name) + len(d.Staged) + len(d.Host) + len(d.Trace.Parent) + len(d.Trace.State)
	for k, v := range d.Meta {
		n += len(k) + len(v) + 6
	}
	for _, id := range d.With {
		n += len(id) + 3
	}
	return 600 + 6*n // no byte takes more than the six of \u003c
}

// admit returns the job with one drop more, by the event that brings it. Where the record has no room for the drop, it is tried
// without its trace.
func (j Job) admit(d Drop, by func(Drop) Event) (Job, bool) {
	plain := d
	plain.Trace = Trace{}
	for _, d := range []Drop{d, plain} {
		if next, err := j.Next(by(d)); err == nil && next.fits() {
			return next, true
		}
	}
	return j, false
}

// underWay reports whether a call to the platform may be under way, or have ended without an answer.
func (j Job) underWay() bool { return !j.Sending.IsZero() || !j.Creating.IsZero() }

// cutOff reports whether the process that made a call has gone down in the middle of it, as far as is known.
func (j Job) cutOff() bool { return j.underWay() && !j.Unanswered }

// check finds what cannot be in a record that this package has written.
func (j Job) check(key JobKey) error {
	switch {
	case j.Key != key || len(j.Drops) == 0:
	case j.State == Queued, j.State == Uploaded, j.State == Reserved:
		return nil
	case j.State == Judged && j.Judgement != nil, j.State == Failed && j.Fault != nil && j.Stopped != "":
		return nil
	}
	return fmt.Errorf("no job %s in state %q", key, j.State)
}

// waits reports whether the job lists the drop.
func (j Job) waits(id DropID) bool {
	return slices.ContainsFunc(j.Drops, func(d Drop) bool { return d.ID == id })
}

// A Judgement is what the platform found, and where its reports are.
type Judgement struct {
	Outcome      Outcome       `json:"outcome"`
	Confidence   *float64      `json:"confidence,omitempty"` // 0 to 1
	Faces        *int          `json:"faces,omitempty"`
	Deepfakes    *int          `json:"deepfakes,omitempty"`
	Participants []Participant `json:"participants,omitempty"`
	ResultURL    string        `json:"result_url,omitempty"`  // presigned, short-lived
	HeatmapURL   string        `json:"heatmap_url,omitempty"` // presigned, short-lived
}

// A Participant is one face of a video.
type Participant struct {
	ID         int      `json:"id"`
	Fake       *bool    `json:"fake,omitempty"` // nil: not said
	Confidence *float64 `json:"confidence,omitempty"`
	Heatmap    string   `json:"heatmap,omitempty"` // presigned, short-lived
}

// A Fault says why a job failed. Code and Message are the platform's own words, where it said any.
type Fault struct {
	Reason  Reason `json:"reason"`
	Code    string `json:"code"`
	Message string `json:"message"`
}
