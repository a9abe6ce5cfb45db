package authenta

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// offset is how much of f has been handed to the network. If that cannot be told it is all of it, the answer that calls
// for more care.
func offset(f *os.File) int64 {
	n, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return math.MaxInt64
	}
	return n
}

// watch cancels an upload of size bytes of f that makes no progress. It returns when ctx ends.
func (c *Client) watch(ctx context.Context, cancel context.CancelCauseFunc, f *os.File, size int64) {
	tick := time.NewTicker(max(min(c.stall, c.answer)/10, time.Millisecond)) // so a time-out is at most a tenth late
	defer tick.Stop()
	p := progress{stall: c.stall, answer: c.answer, size: size, moved: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := p.observe(offset(f), now); err != nil {
				cancel(err)
			}
		}
	}
}

// progress is how far an upload has come, and since when it is there.
type progress struct {
	stall, answer time.Duration // see Options
	size          int64
	at            int64
	moved         time.Time
}

// observe notes how far the upload has come by now. The error says that it has been there for too long.
func (p *progress) observe(at int64, now time.Time) error {
	if at != p.at {
		p.at, p.moved = at, now
	}
	switch idle := now.Sub(p.moved); {
	case p.at < p.size && idle >= p.stall:
		return fmt.Errorf("no byte moved for %v", p.stall)
	case p.at >= p.size && idle >= p.answer:
		return fmt.Errorf("no answer within %v of the last byte", p.answer)
	}
	return nil
}
