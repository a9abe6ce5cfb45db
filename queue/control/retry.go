package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/authenta/authenta-ingest/queue"
)

// retriesAtATime is how many failures one request looks at.
const retriesAtATime = 200

// A RetryRequest has failed jobs go on.
type RetryRequest struct {
	Names    []string `json:"names,omitempty"` // each a job's key, the beginning of one, or the id of a drop that failed
	All      bool     `json:"all,omitempty"`   // instead: every failure that may end differently
	Reverify bool     `json:"reverify,omitempty"`
	From     uint64   `json:"from,omitempty"` // with All: where to go on, as the last reply has said
	To       uint64   `json:"to,omitempty"`   // with All: where to end, likewise, so that what fails anew is not retried again
}

// A RetryReply says what became of a RetryRequest.
type RetryReply struct {
	Retried []Retrial `json:"retried"`
	Refused []Retrial `json:"refused"`
	Next    uint64    `json:"next,omitempty"` // with All: where to go on; 0: that was all
	To      uint64    `json:"to,omitempty"`   // with All: where to end
}

// A Retrial is a job that was retried, or was not.
type Retrial struct {
	Job  queue.JobKey `json:"job"`  // empty: none was found
	Name string       `json:"name"` // of its file, or what was asked for
	From queue.State  `json:"from,omitempty"`
	Why  string       `json:"why,omitempty"` // it was not
}

func (c *Cluster) retry(ctx context.Context, data []byte) (any, error) {
	var r RetryRequest
	if err := decodeRequest(data, &r); err != nil {
		return nil, err
	}
	if r.All == (len(r.Names) > 0) {
		return nil, errors.New("name the jobs to retry, or ask for all, and not both")
	}
	reply := RetryReply{Retried: []Retrial{}, Refused: []Retrial{}}
	if r.All {
		err := c.retryAll(ctx, r, &reply)
		return reply, err
	}
	for _, name := range r.Names {
		key, err := c.failedJob(ctx, name)
		if err == nil {
			err = c.retryOne(ctx, key, r.Reverify, &reply)
		}
		if err != nil {
			reply.Refused = append(reply.Refused, Retrial{Job: key, Name: name, Why: err.Error()})
		}
	}
	return reply, nil
}

// failedJob is the one job that is meant by a name.
func (c *Cluster) failedJob(ctx context.Context, name string) (queue.JobKey, error) {
	keys, err := c.Queue.FailedJobs(ctx, name)
	switch {
	case err != nil:
		return "", err
	case len(keys) == 0:
		return "", errors.New("no failure has this key or id ('authenta-ingest status' shows the last ones)")
	case len(keys) > 1:
		return "", fmt.Errorf("%d failures begin like this, %s among them: say more of the key", len(keys), keys[0])
	case keys[0] == "":
		return "", errors.New("it was refused before a job was made of it; it is taken in again by itself when the file has changed")
	}
	return keys[0], nil
}

func (c *Cluster) retryOne(ctx context.Context, key queue.JobKey, reverify bool, reply *RetryReply) error {
	j, err := c.Queue.Retry(ctx, key, reverify)
	if err != nil {
		return err
	}
	reply.Retried = append(reply.Retried, Retrial{Job: key, Name: j.Drops[0].Name, From: j.State})
	c.Log.Info("a failed file is retried", "file", j.Drops[0].URI, "job", key, "from", j.State)
	return nil
}

// retryAll retries what a page of the failures has. What was retried already, or has ended otherwise, is passed over.
func (c *Cluster) retryAll(ctx context.Context, r RetryRequest, reply *RetryReply) error {
	page, err := c.Queue.Failures(ctx, r.From, r.To, retriesAtATime)
	if err != nil {
		return err
	}
	if reply.Next, reply.To = page.Next, r.To; r.To == 0 {
		reply.To = page.Last
	}
	for _, f := range page.Failures {
		if f.Job() == "" || !f.Retryable {
			continue
		}
		switch err := c.retryOne(ctx, f.Job(), r.Reverify, reply); {
		case errors.Is(err, queue.ErrNotFailed), errors.Is(err, queue.ErrUnknownJob):
		case err != nil:
			reply.Refused = append(reply.Refused, Retrial{Job: f.Job(), Name: f.Name, Why: err.Error()})
		}
	}
	return nil
}
