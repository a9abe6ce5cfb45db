package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"
)

// A Body is what a URL points at, as it comes. One goroutine reads it.
type Body struct {
	Size        int64  // bytes, as the server says; -1: it does not say
	ContentType string // as the server says, without parameters, in lower case; empty: it says nothing of use
	Name        string // what the URL's path ends in; may be empty

	ctx    context.Context
	cancel context.CancelCauseFunc
	from   io.ReadCloser
	url    string      // as it was given
	stalls *time.Timer // runs while a byte is waited for
	pace   pace
	max    int64
	left   int64 // of max
	err    error // of the first Read that had one; all later ones have it too
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, f *Fetcher, resp *http.Response) *Body {
	b := &Body{Size: resp.ContentLength, ctx: ctx, cancel: cancel, from: resp.Body, max: f.maxSize, left: f.maxSize}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil {
		b.ContentType = cut(t, maxName)
	}
	b.pace = pace{window: f.stall}
	stalled := fmt.Errorf("no byte came for %v", f.stall)
	b.stalls = time.AfterFunc(f.stall, func() { cancel(stalled) })
	b.stalls.Stop()
	return b
}

// Read reads as any reader does. io.EOF means that all of it came, as far as the server said how much that is.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left+1] // the one too many tells that there are more
	}
	n, err := b.wait(p)
	if int64(n) > b.left {
		n, err = int(b.left), &Error{Kind: TooLarge, Err: tooLarge(-1, b.max)}
	}
	b.left -= int64(n)
	switch {
	case err == nil:
	case err == io.EOF:
		b.err = err
	default:
		b.err = asError(b.url, err)
	}
	return n, b.err
}

// wait reads once, and has an eye on the time.
func (b *Body) wait(p []byte) (int, error) {
	b.stalls.Reset(b.pace.window)
	began := time.Now()
	n, err := b.from.Read(p)
	b.stalls.Stop()
	switch {
	case err == nil:
		return n, b.pace.add(n, time.Since(began))
	case err == io.EOF && b.ctx.Err() == nil: // a server that sees us leave may end in good order where it is
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection ended before the file did")
	}
	return n, failed(b.ctx, err)
}

// Close ends it. What has not come yet is not read.
func (b *Body) Close() error {
	b.stalls.Stop()
	b.cancel(nil)
	return b.from.Close()
}

// minRate is how much has to come, in bytes a second: 1 GB within a day. Whoever sends a byte now and then would hold a
// slot for years.
const minRate = 16 << 10

// A pace is how fast something comes while it is waited for.
type pace struct {
	window time.Duration // over which it is measured
	waited time.Duration // in the present window
	got    int64         // bytes in it
}

// add counts n bytes that were waited for. The error says that they come too slowly.
func (p *pace) add(n int, waited time.Duration) error {
	p.got += int64(n)
	p.waited += waited
	if p.waited < p.window {
		return nil
	}
	got, in := p.got, p.waited
	p.got, p.waited = 0, 0
	if float64(got) < minRate*in.Seconds() {
		return fmt.Errorf("only %s came in %v, and less than %s a second is not waited for",
			humanize.Bytes(uint64(got)), in.Round(time.Second), humanize.IBytes(minRate))
	}
	return nil
}
