package authenta

import (
	"fmt"
	"time"
)

// A MediaID names a media record. Those that a [Client] returns, and those it sends, are 1 to 64 of [A-Za-z0-9_-].
type MediaID string

// maxMediaID is generous: the platform's ids are 24 hex digits.
const maxMediaID = 64

// ParseMediaID returns s as an id, or an error if it cannot be one.
func ParseMediaID(s string) (MediaID, error) {
	if len(s) == 0 || len(s) > maxMediaID {
		return "", fmt.Errorf("a media id has 1 to %d characters, not %d", maxMediaID, len(s))
	}
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return "", fmt.Errorf("%q is no media id", s)
		}
	}
	return MediaID(s), nil
}

// isWordByte reports whether b is one of [A-Za-z0-9_-].
func isWordByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b == '-'
}

// A Model names what the platform looks for in a file: "DF-1", face swaps and deepfakes in video; "AC-1", images made or
// edited by AI.
type Model string

// A Status is how far the platform has come with a record, in upper case. A value that is not among the constants means
// "not yet".
type Status string

// The statuses that are documented. Each but the first says that the file is there, and may have been paid for.
const (
	StatusInited    Status = "INITED"    // there is a record, and no file yet that the platform knows of
	StatusUploaded  Status = "UPLOADED"  // the file is there and being processed
	StatusProcessed Status = "PROCESSED" // the result is there
	StatusFailed    Status = "FAILED"    // there will be no result
	StatusError     Status = "ERROR"     // there will be no result
)

// Final reports whether the status is the record's last.
func (s Status) Final() bool {
	return s == StatusProcessed || s == StatusFailed || s == StatusError
}

// Media is a media record. What the platform does not say, or says in a way that makes no sense, is zero, or nil where zero
// would say something.
type Media struct {
	ID        MediaID
	Name      string // as given to Create
	Type      string // "Image" or "Video"
	Status    Status
	Model     Model
	Size      int64 // bytes
	CreatedAt time.Time

	UploadURL     PresignedURL // comes from Create, which has checked it; otherwise Upload does
	UploadExpires time.Time    // by expiresIn or else by the URL itself, counted from when the answer came; at most 2 hours on

	Fake         *bool
	Confidence   *float64      // 0 to 1
	Faces        *int          // of a video
	Deepfakes    *int          // how many of Faces are fake
	Participants []Participant // at most MaxParticipants

	ResultURL, HeatmapURL, SourceURL PresignedURL // short-lived; http or https, at most 8 KiB
}

// A Participant is one face of a video. Fields are nil or empty where the platform does not say.
type Participant struct {
	ID         int
	Fake       *bool
	Confidence *float64 // 0 to 1
	Heatmap    PresignedURL
}
