// Package retryafter reads the header by which a server says when to come again.
package retryafter

import (
	"net/http"
	"strconv"
	"time"
)

// Most is the most that is made of it: whoever waits longer than an hour on the word of whatever answered is stuck.
const Most = time.Hour

// Of reads Retry-After in either of its forms, seconds or a date; 0 if it is missing, past or nonsense. A date
// is taken relative to the answer's own Date, so that our clock does not matter.
func Of(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, Most)
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(until.Sub(now), 0), Most)
}
