package main

import (
	"errors"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
)

// A byteSize is a number of bytes as people write it: 1000, 500kB, 1.5 GB, 64MiB.
type byteSize struct {
	bytes int64
	text  string // as it was written
}

// UnmarshalText reads one. The error is what was wanted.
func (s *byteSize) UnmarshalText(text []byte) error {
	written := strings.TrimSpace(string(text))
	n, err := humanize.ParseBytes(written)
	if err != nil || n > math.MaxInt64 || strings.Contains(written, ",") { // humanize takes 1,5 for 15
		return errors.New("a size such as 500kB, 10MB or 1.5GB")
	}
	*s = byteSize{int64(n), written}
	return nil
}

func (s byteSize) String() string { return s.text }
