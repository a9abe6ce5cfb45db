package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
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
	RetryAfter time.Duration // how long the answer asked to wait, at most MaxRetryAfter; 0: it did not say
	Err        error         // the cause; context.Cause of the caller's context if that has ended
}

// Error says what was fetched and why it was not.
func (e *Error) Error() string { return fmt.Sprintf("fetch %s: %s", e.URL, clean(e.Err.Error())) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// MaxRetryAfter is the most that is made of a Retry-After header: a server's word must not make a file wait for ever.
const MaxRetryAfter = time.Hour

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
	e := &Error{Kind: Gone, Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	e.Err = fmt.Errorf("the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)) // in no words of its own
	switch status := resp.StatusCode; {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		e.Kind = MayPass
	}
	return e
}

// retryAfter reads Retry-After in either of its forms, seconds or a date, which is taken relative to the answer's own; 0
// if it is missing, past or nonsense.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(until.Sub(now), 0), MaxRetryAfter)
}

// tooLarge says that size bytes were announced; -1: more than allowed came, and nobody knows how many.
func tooLarge(size, most int64) error {
	if size < 0 {
		return fmt.Errorf("it has more than the %s that are taken at most (%s)", humanize.Bytes(uint64(most)), sizeSetting)
	}
	return fmt.Errorf("it has %s, and %s are taken at most (%s)",
		humanize.Bytes(uint64(size)), humanize.Bytes(uint64(most)), sizeSetting)
}
