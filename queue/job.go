package queue

import (
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

// stage returns the queue on which a job in work has its message.
func (s State) stage() Stage {
	if s == Uploaded {
		return Await
	}
	return Upload
}

// A Drop is one arrival of a file.
type Drop struct {
	ID       DropID            `json:"id"`
	URI      string            `json:"uri"`
	Name     string            `json:"name"`
	Meta     map[string]string `json:"meta,omitempty"`
	File     FileID            `json:"file"` // the version that was hashed
	QueuedAt time.Time         `json:"queued_at"`
}

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

	MediaID    string    `json:"mid,omitempty"`
	UploadURL  string    `json:"upload_url,omitempty"` // presigned: a secret
	URLExpires time.Time `json:"url_expires,omitzero"`
	Abandoned  []string  `json:"abandoned,omitempty"` // media records that never got bytes, newest last

	Creating time.Time `json:"creating,omitzero"`  // since when a create may be under way or unanswered
	Sending  time.Time `json:"sending,omitzero"`   // since when a PUT may be under way or unanswered
	Asked    time.Time `json:"asked,omitzero"`     // when the platform first said that it has no bytes of that PUT
	Attempts int       `json:"attempts,omitempty"` // PUTs begun

	QueuedAt   time.Time `json:"queued_at"`
	UploadedAt time.Time `json:"uploaded_at,omitzero"`
	ResumedAt  time.Time `json:"resumed_at,omitzero"` // when a retry took it up again
	EndedAt    time.Time `json:"ended_at,omitzero"`

	Judgement *Judgement `json:"judgement,omitempty"` // in Judged
	Fault     *Fault     `json:"fault,omitempty"`     // in Failed
	Stopped   State      `json:"stopped,omitempty"`   // in Failed: where a retry goes on
}

// maxDrops bounds a record: with names of 255 bytes in paths of 4 KiB, a hundred drops still fit a message
// of 1 MB, which is what servers take by default.
const maxDrops = 100

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
