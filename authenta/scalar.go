package authenta

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
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

// A listOf is a JSON array without those elements that are no T; empty for anything else.
type listOf[T any] []T

func (l *listOf[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	var elements []json.RawMessage
	if json.Unmarshal(b, &elements) != nil || elements == nil {
		return nil
	}
	*l = make([]T, 0, len(elements)) // not nil: an empty array is said
	for _, element := range elements {
		var v T
		if json.Unmarshal(element, &v) == nil {
			*l = append(*l, v)
		}
	}
	return nil
}
