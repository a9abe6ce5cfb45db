package authenta

import (
	"net/http"
	"strconv"
	"time"
)

// MaxRetryAfter is the most that an [Error] makes of a Retry-After header: whoever waits longer than the gates' longest
// pause, on the word of whatever answered, is stuck.
const MaxRetryAfter = time.Hour

// retryAfter reads Retry-After in either of its forms, seconds or a date; 0 if it is missing, past or nonsense. A date
// is taken relative to the answer's own Date, so that our clock does not matter.
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
