package watcher

import "time"

// A backoff doubles from one wait to the next.
type backoff struct{ first, last, wait time.Duration }

func (b *backoff) next() time.Duration {
	b.wait = min(max(2*b.wait, b.first), b.last)
	return b.wait
}

func (b *backoff) reset() { b.wait = 0 }
