package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/authenta/authenta-ingest/queue"
)

// The requests of the control service, each a subject below <ns>.ctl. Every process of a cluster answers; a request goes
// to one of them. Those of the first three are answered with a Status.
const (
	statusVerb = "status"
	pauseVerb  = "pause"
	resumeVerb = "resume"
	retryVerb  = "retry"
	submitVerb = "submit"
)

// answerTime bounds what a request may take.
const answerTime = 5 * time.Second

// Which gates a request is about.
const (
	OfUploads = "uploads"
	OfPolls   = "polls"
	OfAll     = "all"
)

// A PauseRequest closes gates by hand.
type PauseRequest struct {
	Gates   string `json:"gates,omitempty"` // OfUploads, OfPolls or OfAll; empty: all
	For     string `json:"for,omitempty"`   // such as "1h30m"; empty: until they are opened by hand
	Message string `json:"message,omitempty"`
}

// A ResumeRequest opens gates by hand.
type ResumeRequest struct {
	Gates string `json:"gates,omitempty"` // as in a PauseRequest
	// Renewed says that the platform has granted the quotas anew: the calls are counted from zero again.
	Renewed bool `json:"renewed,omitempty"`
}

// A SubmitReply answers a request that hands a file in: the message, with its headers, is as those on the subjects that bring media.
type SubmitReply struct {
	ID queue.DropID `json:"id"` // of its drop. Those of further models begin with it
}

// serve answers requests until ctx ends.
func (c *Cluster) serve(ctx context.Context) error {
	service, err := micro.AddService(c.Queue.NATS(), micro.Config{
		Name: "authenta-ingest", Version: "1.0.0", Description: "status, pause, resume, retry and submit of " + c.Self.String(),
	})
	if err != nil {
		return fmt.Errorf("start the control service: %w", err)
	}
	defer func() { _ = service.Stop() }() // an error means that the connection is gone, and took it along
	group := service.AddGroup(string(c.Queue.Namespace) + ".ctl")
	for verb, do := range map[string]doer{
		statusVerb: c.thenStatus(nil),
		pauseVerb:  c.thenStatus(c.pause),
		resumeVerb: c.thenStatus(c.resume),
		retryVerb:  c.retry,
	} {
		err := group.AddEndpoint(verb, micro.HandlerFunc(func(r micro.Request) { c.answer(ctx, r, do) }))
		if err != nil {
			return fmt.Errorf("start the control service: %w", err)
		}
	}
	err = group.AddEndpoint(submitVerb, micro.HandlerFunc(func(r micro.Request) {
		c.answer(ctx, r, func(ctx context.Context, data []byte) (any, error) {
			id, err := c.Queue.HandIn(ctx, nats.Header(r.Headers()), data)
			return SubmitReply{ID: id}, err
		})
	}))
	if err != nil {
		return fmt.Errorf("start the control service: %w", err)
	}
	<-ctx.Done()
	return nil
}

// A doer does what a request asks for, and returns the answer.
type doer func(context.Context, []byte) (any, error)

// thenStatus does something and answers how things are then.
func (c *Cluster) thenStatus(do func(context.Context, []byte) error) doer {
	return func(ctx context.Context, data []byte) (any, error) {
		if do != nil {
			if err := do(ctx, data); err != nil {
				return nil, err
			}
		}
		return c.Status(ctx)
	}
}

// answer does what a request asks for.
func (c *Cluster) answer(ctx context.Context, r micro.Request, do doer) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	reply, err := do(ctx, r.Data())
	if err == nil {
		err = r.RespondJSON(reply)
	} else {
		err = r.Error("500", err.Error(), nil)
	}
	if err != nil {
		c.Log.Debug("a request was not answered", "subject", r.Subject(), "error", err)
	}
}

// gates are those that a request names.
func (c *Cluster) gates(names string) ([]*Gate, error) {
	switch names {
	case OfUploads:
		return []*Gate{c.Uploads}, nil
	case OfPolls:
		return []*Gate{c.Polls}, nil
	case OfAll, "":
		return []*Gate{c.Polls, c.Uploads}, nil
	}
	return nil, fmt.Errorf("%q: want %s, %s or %s", names, OfUploads, OfPolls, OfAll)
}

func (c *Cluster) pause(ctx context.Context, data []byte) error {
	var r PauseRequest
	if err := decodeRequest(data, &r); err != nil {
		return err
	}
	var d time.Duration
	if r.For != "" {
		var err error
		if d, err = time.ParseDuration(r.For); err != nil || d <= 0 {
			return fmt.Errorf("for %q: want a duration such as 1h30m", r.For)
		}
	}
	return c.each(r.Gates, func(g *Gate) error { return g.Pause(ctx, r.Message, d) })
}

func (c *Cluster) resume(ctx context.Context, data []byte) error {
	var r ResumeRequest
	if err := decodeRequest(data, &r); err != nil {
		return err
	}
	if r.Renewed {
		if err := c.Budget.Renewed(ctx); err != nil {
			return err
		}
	}
	return c.each(r.Gates, func(g *Gate) error { return g.Resume(ctx) })
}

// decodeRequest reads a request. An empty one asks for what is done if nothing is said.
func decodeRequest(data []byte, to any) error {
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	return nil
}

func (c *Cluster) each(names string, do func(*Gate) error) error {
	gates, err := c.gates(names)
	for _, g := range gates {
		err = errors.Join(err, do(g))
	}
	return err
}

// A Remote asks the daemons of a cluster over NATS.
type Remote struct {
	Conn      *nats.Conn
	Namespace queue.Namespace
}

// Status asks how the cluster is doing.
func (r Remote) Status(ctx context.Context) (s Status, err error) {
	return s, r.ask(ctx, statusVerb, struct{}{}, &s)
}

// Pause closes gates by hand, for all.
func (r Remote) Pause(ctx context.Context, p PauseRequest) (s Status, err error) {
	return s, r.ask(ctx, pauseVerb, p, &s)
}

// Resume opens gates by hand, for all.
func (r Remote) Resume(ctx context.Context, p ResumeRequest) (s Status, err error) {
	return s, r.ask(ctx, resumeVerb, p, &s)
}

// Retry has failed jobs go on. Where the reply says that there is more, the request is to be made again from there.
func (r Remote) Retry(ctx context.Context, p RetryRequest) (reply RetryReply, err error) {
	return reply, r.ask(ctx, retryVerb, p, &reply)
}

func (r Remote) ask(ctx context.Context, verb string, request, reply any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(whole, 2*answerTime)
	defer cancel()
	msg, err := r.Conn.RequestWithContext(ctx, string(r.Namespace)+".ctl."+verb, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("no daemon answers in the namespace %s at this NATS server: is one running, and is that its INGEST_NAMESPACE?", r.Namespace)
	case err != nil && !r.Conn.IsConnected():
		return errors.New("the connection to NATS is lost: does its server, or the daemon with it, still run?")
	case err != nil && errors.Is(r.Conn.LastError(), nats.ErrPermissionViolation): // which the server only says asynchronously
		return fmt.Errorf("ask a daemon for %s: the NATS user lacks a permission: %w", verb, r.Conn.LastError())
	case errors.Is(err, context.DeadlineExceeded) && whole.Err() == nil:
		return fmt.Errorf("no daemon has answered within %s: it may be waiting for its NATS server, which its log says; try again", 2*answerTime)
	case err != nil:
		return fmt.Errorf("ask a daemon for %s: %w", verb, err)
	}
	if said := msg.Header.Get(micro.ErrorHeader); said != "" {
		return errors.New(said)
	}
	if err := json.Unmarshal(msg.Data, reply); err != nil {
		return fmt.Errorf("the daemon's answer cannot be read (is it of another version?): %w", err)
	}
	return nil
}
