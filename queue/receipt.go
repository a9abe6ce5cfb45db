package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Receipt is what was decided about a message, before anything is done. One that is handed out again is not decided on
// again: what it refers to may be gone by then, or another, and its drop would have two answers.
type Receipt struct {
	Submissions []Submission `json:"submissions,omitempty"`
	Refusal     *Refusal     `json:"refusal,omitempty"` // instead of submissions

	// Lost are those of the submissions that turned out to be impossible, as their bytes were gone when they were to be staged.
	Lost map[DropID]Fault `json:"lost,omitempty"`
}

// A Refusal is a drop that no job can be made of, and why.
type Refusal struct {
	Drop        Drop   `json:"drop"`
	ContentType string `json:"content_type,omitempty"`
	Fault       Fault  `json:"fault"`
}

// receiptLife is how long a receipt is kept: as long as a message may wait between its decision and its acknowledgement, or come
// back after a crash of the broker's machine. Fifty messages a second are then a million receipts, which is half of what the
// registry has room for.
const receiptLife = 6 * time.Hour

// Decided returns what was decided about a message; nil: nothing yet.
func (in *Intake) Decided(ctx context.Context, id DropID) (*Receipt, error) {
	r, err := in.receipt(ctx, id)
	if errors.Is(err, errDamagedReceipt) {
		in.q.Log.Warn("the receipt of a message is damaged; it is taken for new", "message", id, "error", err)
		return nil, nil
	}
	return r, err
}

var errDamagedReceipt = errors.New("it cannot be read")

func (in *Intake) receipt(ctx context.Context, id DropID) (*Receipt, error) {
	msg, err := in.q.last(ctx, in.q.files, in.subject(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && len(msg.Data) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look what was decided about message %s: %w", id, err)
	}
	var r Receipt
	if err := json.Unmarshal(msg.Data, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamagedReceipt, err)
	}
	return &r, nil
}

// Decide notes what is decided about a message, and returns what counts: what was noted first.
func (in *Intake) Decide(ctx context.Context, id DropID, r Receipt) (Receipt, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	_, err = in.q.publish(ctx, write{subject: in.subject(id), data: data, last: 0, ttl: receiptLife})
	if !errors.Is(err, ErrConflict) {
		return r, err
	}
	switch first, err := in.receipt(ctx, id); {
	case errors.Is(err, errDamagedReceipt):
		return r, in.Amend(ctx, id, r)
	case err != nil:
		return r, err
	case first != nil:
		return *first, nil
	}
	// A server that has just become the one to ask may not know it yet; or it has just expired, which is forgotten in a minute.
	return r, fmt.Errorf("something was decided about message %s before, which cannot be seen yet", id)
}

// Amend notes of a message that was decided on what has become of that.
func (in *Intake) Amend(ctx context.Context, id DropID, r Receipt) error {
	data, err := json.Marshal(r)
	if err == nil {
		_, err = in.q.publish(ctx, write{subject: in.subject(id), data: data, last: anySequence, ttl: receiptLife})
	}
	return err
}

// subject is where a message's receipt is: in the registry, which says the same of files.
func (in *Intake) subject(id DropID) string {
	return in.q.ns.fileSubject("intake." + FileKeyOf(string(id)).String())
}
