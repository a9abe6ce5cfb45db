package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrFull says that the broker has no room: a stream's byte cap, or its disk. Nothing was accepted.
var ErrFull = errors.New("the broker has no room")

// ErrConflict says that a record is not as the writer believed.
var ErrConflict = errors.New("changed by somebody else")

// A write is one message for a stream, and what must hold for it to be taken.
type write struct {
	subject  string
	data     []byte
	id       string        // Nats-Msg-Id; empty: none
	last     int64         // expected last sequence of the subject; anySequence: whatever it is
	ttl      time.Duration // 0: for ever
	removal  bool          // it says that the record is gone
	state    State         // of the job whose record it is, for those who read headers only; empty: it is none
	file     string        // the mark of the file whose entry it is, likewise
	replaces bool          // what was on the subject goes
	trace    Trace         // for those who read it
	group    *group        // with which it may go together with others; nil: it goes alone
}

const (
	anySequence = -1
	stateHeader = "Authenta-State"
	fileHeader  = "Authenta-File"
)

func (w write) msg() *nats.Msg {
	m := nats.NewMsg(w.subject)
	m.Data = w.data
	if w.id != "" {
		m.Header.Set(jetstream.MsgIDHeader, w.id)
	}
	if w.last != anySequence {
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatInt(w.last, 10))
	}
	if w.ttl > 0 {
		m.Header.Set(jetstream.MsgTTLHeader, w.ttl.Round(time.Second).String())
	}
	if w.state != "" {
		m.Header.Set(stateHeader, string(w.state))
	}
	if w.file != "" {
		m.Header.Set(fileHeader, w.file)
	}
	maps.Copy(m.Header, w.trace.Header())
	if w.replaces {
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	if w.removal {
		m.Header.Set("KV-Operation", "PURGE")
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	return m
}

// A publication says what became of a write.
type publication struct {
	seq    uint64 // of the message, once it was taken
	known  bool   // it was on the stream before, by its id
	unsure bool   // an earlier try may have been taken, whose answer was lost
}

// publish writes durably: without an error, the message is on the disk of the broker. While the broker is away
// it tries again until ctx ends. A conflict is told as ErrConflict; if unsure, an earlier try may have been the one that won.
func (q *Queue) publish(ctx context.Context, w write) (p publication, err error) {
	name := strings.TrimPrefix(w.subject, string(q.ns)+".")
	began, told := time.Now(), false
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		q.Step("before " + name)
		if w.group != nil {
			p.seq, err = w.group.publish(ctx, w)
		} else {
			p.seq, p.known, err = q.publishOnce(ctx, w)
		}
		q.Step("after " + name)
		switch {
		case err == nil:
			return p, nil
		case isConflict(err):
			return p, ErrConflict
		case isFull(err):
			return p, fmt.Errorf("%w: %w", ErrFull, err)
		case !isTransient(err):
			return p, fmt.Errorf("publish %s: %w", w.subject, q.conn.explain(err))
		case isInProcess(err):
			wait = processTime
		default:
			p.unsure = true
			q.conn.miss()
		}
		if !told && time.Since(began) > quietTime {
			told = true
			q.Log.Warn("NATS has not taken a message so far; it is tried on", "subject", w.subject, "error", err)
		}
		select {
		case <-ctx.Done():
			return p, fmt.Errorf("publish %s: %w (last try: %w)", w.subject, context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

// processTime is about what it takes to copy a message to replicas.
const processTime = 10 * time.Millisecond

// quietTime is how long nothing is said of a message that NATS does not take: restarts take seconds.
const quietTime = 15 * time.Second

// tryTime is how long one request may take: an answer that was lost is not waited for until the caller's own end.
const tryTime = 5 * time.Second

// slowLink is how many bytes a second a message travels at least; what is large gets its time beyond tryTime.
const slowLink = 32 << 10

// publishOnce tries once. known: the message was on the stream before, by its id.
func (q *Queue) publishOnce(ctx context.Context, w write) (seq uint64, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime+time.Duration(len(w.data))*time.Second/slowLink)
	defer cancel()
	ack, err := q.js.PublishMsg(ctx, w.msg())
	if err != nil {
		return 0, false, err
	}
	return ack.Sequence, ack.Duplicate, nil
}

// readTime is how long one request to read may take: nothing comes of it being made again.
const readTime = 2 * time.Second

// last returns the newest message on a subject of a bucket or queue. While nobody answers it asks again, for as long as one
// request to write may take: that is about what replicas need to choose another leader.
func (q *Queue) last(ctx context.Context, s jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	for {
		once, done := context.WithTimeout(ctx, readTime)
		msg, err := s.GetLastMsgForSubject(once, subject)
		done()
		if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || !isTransient(err) {
			return msg, err
		}
		q.conn.miss()
		if pause(ctx, 100*time.Millisecond) != nil {
			return nil, err
		}
	}
}

func apiError(err error) (*jetstream.APIError, bool) {
	return errors.AsType[*jetstream.APIError](err)
}

func isConflict(err error) bool {
	e, ok := apiError(err)
	return ok && e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// isInProcess reports whether a write was refused because another one to the same subject is being copied to the replicas. That
// may come to nothing, if the server that leads is lost meanwhile: so it is no conflict yet.
func isInProcess(err error) bool {
	e, ok := apiError(err)
	return ok && e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

func isFull(err error) bool {
	e, ok := apiError(err)
	if !ok {
		return false
	}
	switch e.ErrorCode {
	case errCodeInsufficientResources, errCodeStorageExceeded, errCodeStoreFailed, errCodeAccountExceeded:
		return true
	}
	return false
}

// isTransient reports whether the same request may succeed later: all but a refusal by the server, and the end
// of the connection.
func isTransient(err error) bool {
	if e, ok := apiError(err); ok {
		return passing(e)
	}
	return !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrMaxPayload)
}

// isAway reports whether a request was not answered, or by servers that have nobody to do it just now.
func isAway(err error) bool {
	if e, ok := apiError(err); ok {
		return passing(e)
	}
	for _, away := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
	} {
		if errors.Is(err, away) {
			return true
		}
	}
	return false
}
