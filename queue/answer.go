package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// An Answer is a terminal message.
type Answer struct {
	Failed  bool
	Message []byte // a [Verdict], or a [Failure], as JSON
}

// ErrForgotten says that nothing is known any more of a job: its answer has expired.
var ErrForgotten = errors.New("the answer has expired")

// Answer returns what a job has answered to a drop, once that is on its stream; nil: not yet. After a retry that is the
// answer to the drop that stands for it now.
func (q *Queue) Answer(ctx context.Context, key JobKey, id DropID, uri string) (*Answer, error) {
	r, err := q.load(ctx, key)
	switch {
	case errors.Is(err, errNoJob):
		return nil, fmt.Errorf("job %s: %w", key, ErrForgotten)
	case err != nil:
		return nil, err
	case !r.State.ended():
		return nil, nil
	}
	same := func(d Drop) bool { return d.ID == id || d.URI == uri }
	if slices.Contains(r.Answered, id) && !slices.ContainsFunc(r.Drops, same) { // by a failure, after which another file went on
		return nil, fmt.Errorf("job %s: %w", key, ErrForgotten)
	}
	// As long as its message is on a queue, the one who has it in hand may be about to publish.
	if err := q.gone(ctx, key); err != nil {
		if errors.Is(err, ErrUnsettled) {
			err = nil
		}
		return nil, err
	}
	message, err := q.message(r.Job, r.dropFor(id, uri))
	return &Answer{Failed: r.State == Failed, Message: message}, err
}

// dropFor returns the drop that waits, or waited, for the job's answer to another or to one of the same file.
func (j Job) dropFor(id DropID, uri string) Drop {
	found := Drop{ID: id, URI: uri, Name: filepath.Base(uri), QueuedAt: j.QueuedAt} // one that came later is not listed
	if path, err := FilePath(uri); err == nil {
		found.Name = filepath.Base(path)
	}
	for _, d := range j.Drops {
		if d.ID == id {
			return d
		}
		if d.URI == uri {
			found = d
		}
	}
	return found
}

// message is an ended job's answer to a drop, as it is published: one that it does not list came later, and was answered at
// once.
func (q *Queue) message(j Job, d Drop) ([]byte, error) {
	if j.State == Failed {
		return encode(j.failure(d))
	}
	return encode(j.verdict(d, q.Platform, !j.waits(d.ID)))
}

func encode(message any) ([]byte, error) {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false) // people read the addresses in it
	if err := encoder.Encode(message); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(data.Bytes()), nil
}
