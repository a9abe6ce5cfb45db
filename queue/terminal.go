package queue

import (
	"time"
)

// A Head is what every terminal message begins with: which drop it answers, and what was judged.
type Head struct {
	ID          DropID   `json:"id"`
	RetryOf     DropID   `json:"retry_of,omitempty"` // the drop whose failure was retried
	URI         string   `json:"uri"`
	Name        string   `json:"name"`
	Meta        Meta     `json:"meta"`
	With        []DropID `json:"with,omitempty"` // the drops of the same arrival under other models; each has its own answer
	Digest      Digest   `json:"sha256"`
	Size        int64    `json:"size"`
	ContentType string   `json:"content_type"`
	Model       Model    `json:"model"`
	MediaID     string   `json:"mid"`
}

// A Verdict is the message on <ns>.verdicts.<model>.<outcome>.
type Verdict struct {
	Head
	Platform string `json:"platform"`
	Judgement
	Cached     bool      `json:"cached"` // answered by a verdict from before this drop
	QueuedAt   time.Time `json:"queued_at"`
	UploadedAt time.Time `json:"uploaded_at"`
	JudgedAt   time.Time `json:"judged_at"`
}

// A Failure is the message on <ns>.failures.<model>.<reason>. Where no model takes the file, the model's
// token is "none".
type Failure struct {
	Head
	Fault
	Retryable bool      `json:"retryable"`
	Attempts  int       `json:"attempts"` // uploads begun
	FailedAt  time.Time `json:"failed_at"`
}

// noModel stands in a subject where a file has no model.
const noModel = "none"

func (j Job) head(d Drop) Head {
	meta := d.Meta
	if meta == nil {
		meta = Meta{}
	}
	return Head{
		ID: d.ID, RetryOf: d.RetryOf, URI: d.URI, Name: d.Name, Meta: meta, With: d.With,
		Digest: j.Digest, Size: j.Size, ContentType: j.ContentType, Model: j.Model, MediaID: j.MediaID,
	}
}

// verdict is a judged job's answer to a drop.
func (j Job) verdict(d Drop, platform string, cached bool) Verdict {
	return Verdict{
		Head: j.head(d), Platform: platform, Judgement: *j.Judgement, Cached: cached,
		QueuedAt: d.QueuedAt.UTC(), UploadedAt: j.UploadedAt.UTC(), JudgedAt: j.EndedAt.UTC(),
	}
}

// failure is a failed job's answer to a drop.
func (j Job) failure(d Drop) Failure {
	return Failure{
		Head: j.head(d), Fault: *j.Fault, Retryable: j.Fault.Reason.Retryable(),
		Attempts: j.Attempts, FailedAt: j.EndedAt.UTC(),
	}
}
