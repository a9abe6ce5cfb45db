package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// handedIn begins the names of objects that were put into the staging bucket to be handed in. What follows is known to nobody but
// who did that.
const handedIn = "submit/"

// HandedIn reports whether an object of the staging bucket is one of those.
func HandedIn(name string) bool { return strings.HasPrefix(name, handedIn) }

// PutIn stages a file that is to be handed in, and returns the address to hand in. Once that is done, the object goes when the
// file has its answers. Where nobody has ever taken files in, nothing is staged.
func (q *Queue) PutIn(ctx context.Context, r io.Reader) (uri string, err error) {
	subject := q.ns.subject("intake")
	switch _, err := q.js.StreamNameBySubject(ctx, subject); {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return "", q.nobodyTakesIn()
	case err != nil:
		return "", fmt.Errorf("ask who takes in what is published on %s: %w", subject, q.conn.explain(explainNoAnswer(err)))
	}
	name := handedIn + rand.Text()
	if err := q.Stage(ctx, name, r); err != nil {
		return "", err
	}
	return ObjectURI(q.MediaBucket(), name), nil
}

// NotHandedIn reports whether an error of [Queue.HandIn] says for certain that nothing was handed in. After another one, such as a
// connection that was lost, it may have been: the file that was put in for it may be needed.
func NotHandedIn(err error) bool {
	_, answered := errors.AsType[*jetstream.APIError](err)
	return answered || errors.Is(err, ErrFull) || errors.Is(err, errNobodyTakesIn) || errors.Is(err, nats.ErrMaxPayload)
}

// TakeBack removes a file that was put in and was not handed in.
func (q *Queue) TakeBack(ctx context.Context, uri string) error {
	_, name, err := ObjectName(uri)
	if err != nil {
		return err
	}
	return q.Unstage(ctx, name)
}

// HandIn publishes a message for the intake, and returns the id of its drop when it is durable. See [NotHandedIn] for its errors.
func (q *Queue) HandIn(ctx context.Context, header nats.Header, data []byte) (DropID, error) {
	m := nats.NewMsg(q.ns.subject("intake"))
	m.Data = data
	for name, values := range header {
		if !strings.HasPrefix(name, "Nats-") { // orders to the broker, but for the one by which it knows what comes twice
			m.Header[name] = values
		}
	}
	if id := header.Get(nats.MsgIdHdr); id != "" {
		m.Header.Set(nats.MsgIdHdr, id)
	}
	ack, err := q.js.PublishMsg(ctx, m)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return "", q.nobodyTakesIn()
	case isFull(err):
		return "", fmt.Errorf("%w: %d MB wait to be taken in: %w", ErrFull, intakeBytes>>20, err)
	case err != nil:
		return "", fmt.Errorf("publish on %s: %w", m.Subject, q.conn.explain(err))
	}
	return messageID(ack.Stream, ack.Sequence), nil
}

var errNobodyTakesIn = errors.New("no daemon has taken files in at this NATS server")

func (q *Queue) nobodyTakesIn() error {
	return fmt.Errorf("%w in the namespace %s: is one running that watches, with this INGEST_NAMESPACE?", errNobodyTakesIn, q.ns)
}
