package subject

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/fetch"
	"github.com/authenta/authenta-ingest/watcher/media"
)

// look looks at the media of a message, all of it. Its error is a [refused] if it never will be taken, or a [notYet].
func (t *Taker) look(ctx context.Context, m queue.Message, req request) (content, error) {
	if req.uri == "" {
		return t.read(ctx, bytes.NewReader(m.Data), int64(len(m.Data)))
	}
	u, err := url.Parse(req.uri)
	if err != nil {
		return content{}, refuse(queue.Invalid, "its uri is no address: want %s", addresses)
	}
	switch u.Scheme {
	case "file":
		return t.lookAtFile(ctx, m, req.uri)
	case "nats-object":
		return t.lookAtObject(ctx, m, req.uri)
	case "https":
		return t.lookAtURL(ctx, m, req.uri)
	}
	return content{}, refuse(queue.Invalid, "%s cannot be followed: want %s", Shown(req.uri), addresses)
}

const addresses = "file:///…, nats-object://bucket/name or https://…"

// read reads media and finds out what they are. Of what is none, it reads the beginning only.
func (t *Taker) read(ctx context.Context, r io.Reader, size int64) (content, error) {
	if t.MaxSize > 0 && size > t.MaxSize {
		return content{size: size}, refuse(queue.TooLarge, "it has %d bytes, and %d are the most (INGEST_MAX_SIZE)", size, t.MaxSize)
	}
	began := time.Now()
	l := newLook(ctx, r)
	c := content{contentType: l.contentType, size: size}
	if l.err != nil || !media.Is(l.contentType) {
		return c, l.err
	}
	_, err := io.Copy(io.Discard, l)
	c.digest, c.size = l.digest(), l.size
	if err == nil {
		t.hashing.Done(c.size, time.Since(began))
	}
	return c, err
}

// A looking reader finds out what passes through it.
type looking struct {
	contentType string // by the beginning
	began       int    // bytes of that
	size        int64  // bytes so far
	err         error  // of reading the beginning

	ctx  context.Context // ends reading
	from io.Reader
	hash hash.Hash
}

func newLook(ctx context.Context, r io.Reader) *looking {
	beginning := make([]byte, media.Beginning)
	n, err := io.ReadFull(r, beginning)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	l := &looking{began: n, err: err, ctx: ctx, from: io.MultiReader(bytes.NewReader(beginning[:n]), r), hash: sha256.New()}
	if n > 0 {
		l.contentType = media.Detect(beginning[:n])
	}
	return l
}

func (l *looking) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, fmt.Errorf("stopped: %w", err)
	}
	n, err := l.from.Read(p)
	l.hash.Write(p[:n])
	l.size += int64(n)
	return n, err
}

func (l *looking) digest() queue.Digest { return queue.Digest(hex.EncodeToString(l.hash.Sum(nil))) }

// lookAtObject looks at an object of an object store. It stays where it is: its owner keeps it until its answer is there. What
// 'submit' has put into the staging bucket is removed like other copies, which nobody else may name.
func (t *Taker) lookAtObject(ctx context.Context, m queue.Message, uri string) (content, error) {
	bucket, name, err := queue.ObjectName(uri)
	if err != nil {
		return content{}, refuse(queue.Invalid, "%s is not an address such as nats-object://bucket/name; a ? or # in a name has to be escaped, as %%3F or %%23",
			Shown(uri))
	}
	ours := bucket == t.Queue.MediaBucket()
	if ours && !queue.HandedIn(name) {
		return content{}, refuse(queue.Invalid, "%s: the objects of bucket %s are others' copies: put yours into a bucket of your own", uri, bucket)
	}
	c, err := t.lookIn(ctx, bucket, name)
	if ours {
		c.staged = name
	}
	switch {
	case errors.Is(err, queue.ErrNoObject):
		err = t.again(m, soon, 0, queue.Unreadable, err)
	case errors.Is(err, queue.ErrDamaged):
		err = refuse(queue.Unreadable, "%v", err)
	}
	return c, err
}

func (t *Taker) lookIn(ctx context.Context, bucket, name string) (content, error) {
	o, err := t.Queue.OpenObject(ctx, bucket, name)
	if err != nil {
		return content{}, err
	}
	defer o.Close()
	return t.read(ctx, o, o.Size)
}

// lookAtURL gets what an https: reference points at, and stages it: it may not be there a second time.
func (t *Taker) lookAtURL(ctx context.Context, m queue.Message, address string) (content, error) {
	staged := string(m.ID) + "-fetched"
	c, err := t.lookAtStaged(ctx, staged)
	if !errors.Is(err, queue.ErrNoObject) {
		return c, err
	}
	select {
	case t.fetching <- struct{}{}:
		defer func() { <-t.fetching }()
	default:
		return content{}, &notYet{time.Second, errBusy}
	}
	body, err := t.Fetch.Open(ctx, address)
	if err != nil {
		return content{}, t.fetchError(ctx, m, err)
	}
	defer body.Close()
	l := newLook(ctx, body)
	c = content{contentType: l.contentType, size: max(body.Size, int64(l.began))}
	if l.err != nil || !media.Is(l.contentType) {
		return c, t.fetchError(ctx, m, l.err)
	}
	if err := t.Queue.Stage(ctx, staged, l); err != nil {
		return c, t.stageError(ctx, m, err)
	}
	// Somebody else may have been faster, and the server may have given him something else.
	return t.lookAtStaged(ctx, staged)
}

func (t *Taker) lookAtStaged(ctx context.Context, name string) (content, error) {
	c, err := t.lookIn(ctx, t.Queue.MediaBucket(), name)
	c.staged = name
	return c, err
}

// fetchError says what an error of fetching does to its message.
func (t *Taker) fetchError(ctx context.Context, m queue.Message, err error) error {
	e, ok := errors.AsType[*fetch.Error](err)
	if !ok || ctx.Err() != nil {
		return err
	}
	switch e.Kind {
	case fetch.NotAllowed:
		return refuse(queue.Invalid, "%v", err)
	case fetch.TooLarge:
		return refuse(queue.TooLarge, "%v", err)
	case fetch.Gone:
		return refuse(queue.Unreadable, "%v", err)
	}
	return t.again(m, outage, e.RetryAfter, queue.Unreadable, err)
}

// stageError likewise, of fetching and staging at a time.
func (t *Taker) stageError(ctx context.Context, m queue.Message, err error) error {
	switch {
	case errors.Is(err, queue.ErrTooLarge):
		return refuse(queue.TooLarge, "%v", err)
	case errors.Is(err, queue.ErrFull):
		return t.full(ctx, err)
	}
	return t.fetchError(ctx, m, err)
}

// full has a message wait until there is room again.
func (t *Taker) full(ctx context.Context, err error) error {
	if waited := t.Room.WaitAfter(ctx, err); waited != nil {
		return waited
	}
	return &notYet{5 * time.Second, err}
}
