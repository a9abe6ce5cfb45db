package authenta

import (
	"fmt"
	"strings"
	"time"
)

// An Op is what a [Client] was doing.
type Op string

// The operations, one for each method of [Client] that makes a request.
const (
	OpCreate Op = "create media"
	OpGet    Op = "get media"
	OpList   Op = "list media"
	OpDelete Op = "delete media"
	OpUpload Op = "upload media"
)

// An Error is every error of a [Client]'s calls. Nothing in it needs to be kept secret, except that a cause taken out
// of it by errors.As is as net/http made it.
type Error struct {
	Op    Op
	Kind  Kind
	Media MediaID // empty where the call is about none, or its record is not made yet

	Status        int    // HTTP status of the answer; 0: there was none
	Code, Message string // as the platform or storage gave them, made printable and cut; empty: not said

	// RetryAfter is how long the answer asked to wait, at most [retryafter.Most]; 0: it did not say.
	RetryAfter time.Duration

	// MaybeDone means that the request may have been carried out although no answer says so. Look before repeating it:
	// a create may have left a record, an upload an object that is being processed and paid for. In doubt it is true.
	MaybeDone bool

	// Err is the cause, if there is one besides the answer. It is context.Cause of the caller's context if that ended.
	Err error
}

// Error says what was being done to which record, who answered what, and the cause.
func (e *Error) Error() string {
	parts := []string{string(e.Op)}
	if e.Media != "" {
		parts[0] += " " + string(e.Media)
	}
	if e.Status != 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s answered %d %s", e.Op.host(), e.Status, e.Code)))
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	if e.Err != nil {
		parts = append(parts, clean(e.Err.Error()))
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// host is who answers op.
func (op Op) host() string {
	if op == OpUpload {
		return "storage"
	}
	return "platform"
}
