package subject

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/media"
)

// A refused is an error by which a message is refused.
type refused struct{ queue.Fault }

func (e *refused) Error() string { return e.Message }

// refuse is an error by which a message is refused.
func refuse(r queue.Reason, format string, args ...any) error {
	return &refused{queue.Fault{Reason: r, Message: fmt.Sprintf(format, args...)}}
}

// A content is what was found where a message says that media are.
type content struct {
	digest      queue.Digest
	contentType string
	size        int64
	file        queue.FileID // of a file
	isFile      bool
	staged      string // the copy that was made of it, or that the message names
}

// decide finds out what a message brings. An error means that it cannot be decided now.
func (t *Taker) decide(ctx context.Context, m queue.Message) (queue.Receipt, error) {
	req, err := parse(m.Header, m.Data)
	if err != nil {
		return refusal(m, req, content{}, queue.Fault{Reason: queue.Invalid, Message: err.Error()}), nil
	}
	if req.model != "" && !t.Models.Known(req.model) {
		return refusal(m, req, content{}, queue.Fault{Reason: queue.Invalid, Message: fmt.Sprintf("there is no model %s", req.model)}), nil
	}
	c, err := t.look(ctx, m, req)
	if err != nil {
		fault, ok := errors.AsType[*refused](err)
		if !ok || ctx.Err() != nil {
			return queue.Receipt{}, err
		}
		return refusal(m, req, c, fault.Fault), nil
	}
	models := t.Models.For(c.contentType)
	switch {
	case len(models) == 0 && (req.model == "" || !t.Models.Takes(req.model, c.contentType)), c.size == 0:
		return refusal(m, req, c, media.Unsupported(c.contentType, c.size)), nil
	case req.model == "":
	case !t.Models.Takes(req.model, c.contentType):
		return refusal(m, req, c, queue.Fault{
			Reason: queue.Unsupported, Message: fmt.Sprintf("model %s does not judge files of type %s", req.model, c.contentType),
		}), nil
	default:
		models = []queue.Model{req.model}
	}
	r := receipt(m, req, c, t.Host, models)
	return r, t.copyStaged(ctx, r)
}

// copyStaged makes a copy of what is staged for each further drop, since each is removed when its own job ends. If there is no room
// for all of them, none stays: many messages that have a part of theirs could wait for each other for ever.
func (t *Taker) copyStaged(ctx context.Context, r queue.Receipt) error {
	first := r.Submissions[0].Drop.Staged
	if first == "" {
		return nil
	}
	for _, s := range r.Submissions[1:] {
		err := t.copyObject(ctx, first, s.Drop.Staged)
		if errors.Is(err, queue.ErrFull) && !queue.HandedIn(first) {
			for _, s := range r.Submissions {
				if err := t.Queue.Unstage(ctx, s.Drop.Staged); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, queue.ErrFull) {
			return t.full(ctx, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Taker) copyObject(ctx context.Context, from, to string) error {
	o, err := t.Queue.OpenStaged(ctx, from)
	if err != nil {
		return err
	}
	defer o.Close()
	return t.Queue.Stage(ctx, to, o)
}

// drop is what a message is, as far as that can be told without looking at its media.
func drop(m queue.Message, req request) queue.Drop {
	uri := m.URI
	if req.uri != "" {
		uri = Shown(req.uri)
	}
	return queue.Drop{
		ID: m.ID, URI: uri, Name: req.displayName(m.ID), Meta: req.meta, File: queue.FileID{Size: int64(len(m.Data)), ModTime: m.At},
		Trace: m.Trace, QueuedAt: time.Now().UTC(),
	}
}

func refusal(m queue.Message, req request, c content, f queue.Fault) queue.Receipt {
	d := drop(m, req)
	if req.uri != "" {
		d.File.Size = c.size
	}
	d.Staged = c.staged
	return queue.Receipt{Refusal: &queue.Refusal{Drop: d, ContentType: c.contentType, Fault: f}}
}

// receipt has a drop made for each model. The first has the message's id, and what is staged; the others want copies of it.
func receipt(m queue.Message, req request, c content, host string, models []queue.Model) queue.Receipt {
	var r queue.Receipt
	for i, model := range models {
		d := drop(m, req)
		d.File.Size = c.size
		if c.isFile {
			d.File, d.Host = c.file, host
		}
		if d.Staged = c.staged; i > 0 {
			d.ID += queue.DropID("-" + string(model))
			if c.staged != "" {
				d.Staged = string(d.ID) + "-fetched"
			}
		}
		r.Submissions = append(r.Submissions, queue.Submission{Drop: d, Digest: c.digest, Size: c.size, ContentType: c.contentType, Model: model})
	}
	for i := range r.Submissions {
		for j, other := range r.Submissions {
			if i != j {
				r.Submissions[i].Drop.With = append(r.Submissions[i].Drop.With, other.Drop.ID)
			}
		}
	}
	return r
}
