package authenta

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// An Upload says where a file goes, and what was declared of it when its record was made: storage insists on both.
type Upload struct {
	ID          MediaID // only for errors
	URL         PresignedURL
	ContentType string
	Size        int64 // bytes, more than 0
}

// Upload puts the whole of f to storage, which starts its processing. It counts against no quota. The file stays the
// caller's and must be used by nobody else meanwhile; when Upload returns nothing reads it any more, and its offset is
// anywhere.
//
// There is no limit on the time as a whole: see Options.Stall and Options.AnswerTimeout. A file that is altered meanwhile
// without changing its size is not noticed.
//
// In an error, MaybeDone means that all bytes had been handed to the network and storage did not answer. Otherwise
// nothing is there: storage never keeps part of an object.
func (c *Client) Upload(ctx context.Context, u Upload, f *os.File) error {
	e := c.checkUpload(ctx, u, f)
	unfit, began := e != nil, time.Now()
	if !unfit {
		e = c.send(ctx, u, f)
	}
	if e != nil {
		e.Op, e.Media = OpUpload, u.ID
	}
	if !unfit {
		c.observe(OpUpload, began, e, u.Size)
	}
	if e == nil {
		return nil
	}
	return e
}

func (c *Client) checkUpload(ctx context.Context, u Upload, f *os.File) *Error {
	if err := c.checkUploadURL(ctx, u.URL); err != nil {
		return &Error{Kind: KindURLExpired, Err: err}
	}
	if u.Size <= 0 {
		return &Error{Kind: KindRejected, Message: "an empty file has nothing to judge"}
	}
	return checkSize(f, u.Size)
}

func checkSize(f *os.File, size int64) *Error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return &Error{Kind: KindUnavailable, Err: err}
	case !info.Mode().IsRegular():
		return &Error{Kind: KindFileChanged, Message: "it is not a regular file"}
	case info.Size() != size:
		return &Error{Kind: KindFileChanged, Message: fmt.Sprintf("the file has %d bytes, and %d were declared", info.Size(), size)}
	}
	return nil
}

// send puts the file and finds out what a failure means: whether storage may have the object nevertheless, and whether the
// file is to blame.
func (c *Client) send(ctx context.Context, u Upload, f *os.File) *Error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return &Error{Kind: KindUnavailable, Err: err}
	}
	e := c.put(ctx, u, f)
	sentAll := offset(f) >= u.Size
	switch {
	case e == nil && !sentAll:
		return &Error{Kind: KindUnavailable, Message: "success was answered before all of the file was sent"}
	case e == nil:
		return nil
	}
	e.MaybeDone = e.MaybeDone && sentAll
	if changed := checkSize(f, u.Size); ctx.Err() == nil && changed != nil && changed.Kind == KindFileChanged {
		e.Kind, e.Message = changed.Kind, changed.Message
	}
	return e
}

// put makes the request. MaybeDone is set in its error where there was no answer of storage's own.
func (c *Client) put(ctx context.Context, u Upload, f *os.File) *Error {
	body := newBody(f)
	req, err := newPut(u, body)
	if err != nil {
		return &Error{Kind: KindRejected, Err: causeOf(ctx, err)}
	}
	ctx, cancel := context.WithCancelCause(c.uploadGuard(req.URL).follow(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(ctx, cancel, f, u.Size)
	}()
	defer func() {
		cancel(nil)
		<-watched
		<-body.closed
	}()
	resp, err := c.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return &Error{Kind: KindUnavailable, MaybeDone: true, Err: causeOf(ctx, err)}
	}
	defer resp.Body.Close()
	return checkStorage(resp)
}

// newPut builds the request with nothing in it but what storage needs: a header more may break the signature, and the
// API's would give the account's keys away. There is no GetBody: net/http must not send a file twice.
func newPut(u Upload, b *body) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPut, string(u.URL), b.forRequest())
	if err != nil {
		return nil, err
	}
	req.ContentLength = u.Size // or net/http would send it chunked, which S3 refuses
	req.Header.Set("Content-Type", u.ContentType)
	req.Header.Set("Expect", "100-continue")
	return req, nil
}
