package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A Digest is the SHA-256 of a whole file: 64 lower-case hex digits.
type Digest string

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Valid reports whether the digest is one.
func (d Digest) Valid() bool { return digestPattern.MatchString(string(d)) }

// A Model names what judges a file, as the platform does: "DF-1".
type Model string

var modelPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,31}$`)

// Valid reports whether the model can be a token of a subject.
func (m Model) Valid() bool { return modelPattern.MatchString(string(m)) }

// A JobKey names a job: the digest of its content, a dash, its model.
type JobKey string

var keyPattern = regexp.MustCompile(`^[0-9a-f]{64}-[A-Za-z0-9][A-Za-z0-9-]{0,31}$`)

// Valid reports whether the key is one.
func (k JobKey) Valid() bool { return keyPattern.MatchString(string(k)) }

// Digest is the job's content.
func (k JobKey) Digest() Digest { return Digest(k[:min(len(k), sha256.Size*2)]) }

// Model is what judges it.
func (k JobKey) Model() Model { return Model(k[min(len(k), sha256.Size*2+1):]) }

// KeyOf returns the key of the job that judges a content under a model.
func KeyOf(d Digest, m Model) JobKey { return JobKey(string(d) + "-" + string(m)) }

// A DropID names one arrival of a file under one model. It is the Nats-Msg-Id of the drop's
// terminal message.
type DropID string

// DropIDOf derives a drop's id from what makes an arrival: where the file is, its size and time, and
// its content. A watcher that crashed after it had submitted a file and finds it again gets the same id.
// Device, inode and change time are left out: they may change under a file that did not.
func DropIDOf(uri string, file FileID, d Digest, m Model) DropID {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d %s %s", uri, file.Size, file.ModTime.UnixNano(), d, m)
	return DropID(hex.EncodeToString(h.Sum(nil)[:12]))
}

// retryID is the id of a drop that stands for another whose job had failed then.
func retryID(d DropID, failed time.Time) DropID {
	h := sha256.New()
	fmt.Fprintf(h, "retry %s %d", d, failed.UnixNano())
	return DropID(hex.EncodeToString(h.Sum(nil)[:12]))
}

// An Outcome is what a verdict says.
type Outcome string

// The outcomes. A file is never [Real] by default.
const (
	Fake         Outcome = "fake"
	Real         Outcome = "real"
	Inconclusive Outcome = "inconclusive" // judged, but the record says neither, or no face was found
)

// A Reason says why a file could not be judged.
type Reason string

// The reasons. Quota, credits, keys and outages are none: they make a file wait.
const (
	Unsupported    Reason = "unsupported"     // not media that a model takes
	Rejected       Reason = "rejected"        // the platform refused this file
	AnalysisFailed Reason = "analysis_failed" // the platform took the file and could not judge it
	Timeout        Reason = "timeout"         // no result within the time to wait
	Unreadable     Reason = "unreadable"      // the file is gone, or may not be read
	Changed        Reason = "changed"         // the file was altered while in work
	TooLarge       Reason = "too_large"       // larger than the platform takes
	Crash          Reason = "crashed"         // working on it has brought the program down
	Invalid        Reason = "invalid"         // the message that handed it in is not as it should be
)

// Retryable reports whether another try may end differently.
func (r Reason) Retryable() bool {
	return r != Unsupported && r != Rejected && r != TooLarge && r != Invalid
}

// inFile reports whether the fault lies in one file and not in its content: another copy may be better.
func (r Reason) inFile() bool { return r == Unreadable || r == Changed }

// retriedByDrop reports whether another file with the same content is reason enough to go on with a failed
// job: the fault lay in the earlier file, or in our patience. Neither pays again.
func (r Reason) retriedByDrop() bool { return r.inFile() || r == Timeout }

// A Namespace is the first token of every subject, and the prefix of every stream's and bucket's name.
type Namespace string

var namespacePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Valid reports whether the namespace can be a subject's token and part of a stream's name.
func (n Namespace) Valid() bool { return namespacePattern.MatchString(string(n)) }

func (n Namespace) name(s string) string { return string(n) + "-" + s }
func (n Namespace) subject(tokens ...string) string {
	return string(n) + "." + strings.Join(tokens, ".")
}
func (n Namespace) job(stage Stage, key JobKey) string {
	return n.subject("jobs", string(stage), string(key))
}
func (n Namespace) record(key JobKey) string { return "$KV." + n.name("ledger") + "." + string(key) }
