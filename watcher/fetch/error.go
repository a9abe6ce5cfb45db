package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/authenta/authenta-ingest/authenta/retryafter"
)

// A Kind says what may be done about an [Error].
type Kind string

// The kinds.
const (
	NotAllowed Kind = "not allowed" // the reference must not be followed: a mistake of who made it, or of a setting
	TooLarge   Kind = "too large"   // by what it says, or by what came
	Gone       Kind = "gone"        // the server does not give it, or not in a way that can be used: no use to ask again
	MayPass    Kind = "may pass"    // ask again later. Also if the caller's context has ended
)

// An Error is every error of fetching. Its text is fit for a log and for a message to others: of the URL it has what
// [Redacted] leaves.
type Error struct {
	Kind       Kind
	URL        string        // as Redacted has it
	Status     int           // HTTP status of the answer, where that is what is wrong; 0: it is something else
	RetryAfter time.Duration // how long the answer asked to wait, at most [retryafter.Most]; 0: it did not say
	Err        error         // the cause; context.Cause of the caller's context if that has ended
}

// Error says what was fetched and why it was not.
func (e *Error) Error() string { return fmt.Sprintf("fetch %s: %s", e.URL, clean(e.Err.Error())) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// asError is err as the error of fetching a URL.
func asError(rawURL string, err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Kind: MayPass, Err: err}
	}
	e.URL = Redacted(rawURL)
	return e
}

// failed is why a connection under ctx failed with err.
func failed(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return &Error{Kind: MayPass, Err: context.Cause(ctx)}
	}
	if a, ok := errors.AsType[*addressError](err); ok {
		return &Error{Kind: NotAllowed, Err: a}
	}
	return &Error{Kind: MayPass, Err: err}
}

// answered is what an answer means that is not the file.
func answered(resp *http.Response) *Error {
	e := &Error{Kind: Gone, Status: resp.StatusCode, RetryAfter: retryafter.Of(resp.Header)}
	e.Err = fmt.Errorf("the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)) // in no words of its own
	switch status := resp.StatusCode; {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		e.Kind = MayPass
	}
	return e
}

// tooLarge says that size bytes were announced; -1: more than allowed came, and nobody knows how many.
func tooLarge(size, most int64) error {
	if size < 0 {
		return fmt.Errorf("it has more than the %s that are taken at most (%s)", humanize.Bytes(uint64(most)), sizeSetting)
	}
	return fmt.Errorf("it has %s, and %s are taken at most (%s)",
		humanize.Bytes(uint64(size)), humanize.Bytes(uint64(most)), sizeSetting)
}
