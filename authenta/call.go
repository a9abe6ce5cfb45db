package authenta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// A call is one request to the API, which has one resource: /api/media, or one record of it.
type call struct {
	op     Op
	method string
	media  MediaID // empty: the whole collection
	query  url.Values
	body   any // sent as JSON; nil: nothing
}

// mutation is the platform's word for a call that changes something.
func (k call) mutation() bool { return k.method != http.MethodGet }

// do makes the call, once, and lets decode read the body of a success; an answer that decode refuses is no success.
// Its error is an *Error.
func (c *Client) do(ctx context.Context, k call, decode func(body []byte) error) error {
	if ctx.Err() != nil {
		return &Error{Op: k.op, Media: k.media, Kind: KindUnavailable, Err: context.Cause(ctx)}
	}
	keys, err := c.credentials()
	if err == nil {
		err = keys.Check()
	}
	if err != nil {
		return &Error{Op: k.op, Media: k.media, Kind: KindUnauthenticated, Err: err}
	}
	var sent trace
	began := time.Now()
	e := c.attempt(ctx, k, keys, &sent, decode)
	if e != nil {
		e.Op, e.Media = k.op, k.media
		e.Code, e.Message = clean(e.Code, keys.keys()...), clean(e.Message, keys.keys()...)
		e.MaybeDone = k.mutation() && e.Kind == KindUnavailable && sent.maybe()
	}
	c.observe(k.op, began, e, 0)
	if e == nil {
		return nil
	}
	return e
}

func (c *Client) attempt(ctx context.Context, k call, keys Credentials, sent *trace, decode func([]byte) error) *Error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %v", c.timeout))
	defer cancel()
	nowhere := &guard{forbidden: c.forbidden}
	req, err := c.newRequest(nowhere.follow(sent.follow(ctx)), k, keys)
	if err != nil {
		return &Error{Kind: KindRejected, Err: err}
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return &Error{Kind: KindUnavailable, Err: causeOf(ctx, err)}
	}
	defer resp.Body.Close()
	c.http1.Store(resp.ProtoMajor == 1)
	body, e := checkResponse(ctx, resp)
	if e != nil {
		return e
	}
	if err := decode(body); err != nil {
		return &Error{Kind: KindUnavailable, Status: resp.StatusCode, Message: "unusable answer: " + err.Error()}
	}
	return nil
}

func (c *Client) newRequest(ctx context.Context, k call, keys Credentials) (*http.Request, error) {
	u := c.base.JoinPath("api", "media", string(k.media))
	u.RawQuery = k.query.Encode()
	var body io.Reader
	if c.http1.Load() {
		// Over HTTP/1, net/http would repeat a call without a body when its kept connection dies, and the platform count
		// both. With one, be it empty, it does not, and announces none. HTTP/2 repeats only what was not processed.
		body = io.MultiReader()
	}
	if k.body != nil {
		b, err := json.Marshal(k.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	keys.setHeaders(req.Header)
	req.Header.Set("Accept", "application/json")
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.userAgent != "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	return req, nil
}

// causeOf is why a request under ctx failed with err: what ended ctx, if it has ended; otherwise err without the URL
// that net/http likes to put in front.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
