package authenta

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A scalar is a JSON string, number or boolean, whichever was sent, as text. It is empty for anything else: to the
// lenient reader that is not said. Decoding one never fails.
type scalar string

func (s *scalar) UnmarshalJSON(b []byte) error {
	*s = ""
	switch b[0] {
	case '"':
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		*s = scalar(strings.TrimSpace(text))
	case '{', '[', 'n':
	default:
		*s = scalar(b)
	}
	return nil
}

// bool is nil where the scalar is no boolean.
func (s scalar) bool() *bool {
	b, err := strconv.ParseBool(string(s))
	if err != nil {
		return nil
	}
	return &b
}

// float is nil where the scalar is no finite number.
func (s scalar) float() *float64 {
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}

// share is nil where the scalar is no number from 0 to 1.
func (s scalar) share() *float64 {
	f := s.float()
	if f == nil || *f < 0 || *f > 1 {
		return nil
	}
	return f
}

// maxText is how long a name, type, status or model may be, in bytes. Those that are known have some ten.
const maxText = 300

// text is a text fit for logs and errors; empty where it is longer than any that is known.
func (s scalar) text() string {
	if len(s) > maxText {
		return ""
	}
	return clean(string(s))
}

// count is nil where the scalar is no whole number from 0 to 2^53, the largest that JSON's numbers carry safely.
func (s scalar) count() *int {
	f := s.float()
	if f == nil || *f < 0 || *f > 1<<53 || *f != math.Trunc(*f) {
		return nil
	}
	n := int(*f)
	return &n
}

// countOrZero is count for where 0 means "not said".
func (s scalar) countOrZero() int {
	if n := s.count(); n != nil {
		return *n
	}
	return 0
}

// time is the zero time where the scalar is no RFC 3339 time.
func (s scalar) time() time.Time {
	t, err := time.Parse(time.RFC3339, string(s))
	if err != nil {
		return time.Time{}
	}
	return t
}

// maxURL is how long a URL of a media record may be, in bytes. Those that S3 signs with a session token take some 2,000.
const maxURL = 8 << 10

// webURL is a URL of a record that is for others to follow; empty if it is none of the web, or too long.
func (s scalar) webURL() PresignedURL {
	u, err := url.Parse(string(s))
	if err != nil || len(s) > maxURL || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsFunc(string(s), isOdd) {
		return ""
	}
	return PresignedURL(s)
}

// isOdd reports whether a URL cannot have the character: it is for writing on terminals, say, or broken.
func isOdd(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// elements are the elements of a JSON array, without those that are no T; none of anything else. They are read one by
// one, so that a long array takes no memory by itself.
func elements[T any](b []byte) iter.Seq[T] {
	return func(yield func(T) bool) {
		d := json.NewDecoder(bytes.NewReader(b))
		if first, err := d.Token(); err != nil || first != json.Delim('[') {
			return
		}
		for d.More() {
			var v T
			err := d.Decode(&v)
			if _, another := errors.AsType[*json.UnmarshalTypeError](err); another {
				continue
			}
			if err != nil || !yield(v) {
				return
			}
		}
	}
}
