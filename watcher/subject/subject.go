// Package subject takes media in that come by NATS: the bytes in a message, or a message that says where they are.
//
// It promises that every message gets what a file in a folder gets: it becomes a job a model, or is refused with a failure
// that says why, once, and is acknowledged when that is durable. What was decided about a message is noted before it is done,
// so that one that is handed out again, after a crash or an outage, is not decided on again.
//
// Whoever may publish on the subjects may name files, but only below the folders that are meant for that, and addresses, but
// only of hosts that are (see [fetch]).
package subject

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/spans"
	"github.com/authenta/authenta-ingest/watcher/fetch"
	"github.com/authenta/authenta-ingest/watcher/media"
	"github.com/authenta/authenta-ingest/watcher/room"
)

// Options configure a Taker. Every field without a default must be set.
type Options struct {
	Queue   *queue.Queue
	Intake  *queue.Intake
	Models  media.Models
	Fetch   *fetch.Fetcher        // gets https: references
	Roots   []string              // folders below which file: references may point
	MaxSize int64                 // bytes; larger media are refused; 0: as large as they like, but for https:, see [fetch.Options]
	Host    string                // the machine whose files file: references name; empty: those of all who work
	Stage   bool                  // have the bytes of files staged for workers elsewhere
	Room    *room.Room            // shared with others who take files in
	Grace   time.Duration         // for messages in hand when Run's context ends; default 20s
	Log     *slog.Logger          // default slog.Default()
	Metrics prometheus.Registerer // nil: nothing is exported
}

// A Taker takes messages in. New starts nothing; Run does all.
type Taker struct {
	Options
	hashing  *media.Hashing
	roots    []string      // see Roots
	tries    tries         // of what could not be decided so far
	fetching chan struct{} // held by who asks a server
	caught   chan struct{} // closed when what was there at the start is taken in
}

// New returns a taker.
func New(o Options) (*Taker, error) {
	if o.Grace == 0 {
		o.Grace = 20 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	roots, err := Roots(o.Roots)
	if err != nil {
		return nil, err
	}
	return &Taker{Options: o, hashing: media.NewHashing(o.Metrics), roots: roots, fetching: make(chan struct{}, mostFetches), caught: make(chan struct{})}, nil
}

// Roots returns the absolute paths of folders, both as they are named and, where links lead to them, as they are.
func Roots(dirs []string) ([]string, error) {
	var roots []string
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", dir, err)
		}
		roots = append(roots, abs)
		if target, err := filepath.EvalSymlinks(abs); err == nil && target != abs {
			roots = append(roots, target)
		}
	}
	return roots, nil
}

const (
	// slots is how many messages of a stream are in hand at a time.
	slots = 32
	// mostFetches is how many servers are asked at a time: slow ones do not hold up what asks none.
	mostFetches = slots / 2
)

// Run takes messages in until ctx ends, and then returns nil.
func (t *Taker) Run(ctx context.Context) error {
	g, working := errgroup.WithContext(ctx)
	g.Go(func() error { return t.catchUp(working) })
	g.Go(func() error { return t.Intake.Keep(working) })
	g.Go(func() error {
		return t.Intake.Work(working, queue.MessagePool{Slots: slots, Grace: t.Grace, Ready: t.Room.Wait, Handle: t.handle})
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("take media from subjects: %w", err)
	}
	return nil
}

// CaughtUp is closed when every message that was there at the start is taken in.
func (t *Taker) CaughtUp() <-chan struct{} { return t.caught }

// catchUpEvery is how often it is looked at whether nothing is left.
const catchUpEvery = 200 * time.Millisecond

func (t *Taker) catchUp(ctx context.Context) error {
	tick := time.NewTicker(catchUpEvery)
	defer tick.Stop()
	var begun queue.Mark
	for {
		var err error
		if begun == nil {
			begun, err = t.Intake.End(ctx)
		}
		if reached, errReach := t.Intake.Reached(ctx, begun); err == nil && errReach == nil && reached {
			close(t.caught)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Owing is nothing: what is done with files once they are judged is the business of who watches their folders.
func (t *Taker) Owing() (open, failing int) { return 0, 0 }

// Unread is nothing: what cannot be read is refused.
func (t *Taker) Unread() int { return 0 }

// handle takes one message in.
func (t *Taker) handle(ctx context.Context, m queue.Message) (s queue.Settlement) {
	ctx, span := receiving(ctx, m)
	defer span.End()
	m.Trace = queue.TraceOf(ctx)
	defer func() {
		if v := recover(); v != nil {
			t.Log.Error("taking a message in has panicked", "message", m.ID, "panic", v, "stack", string(debug.Stack()))
			s = t.crashed(ctx, m, v)
		}
	}()
	r, err := t.decided(ctx, m)
	if err == nil {
		err = t.carryOut(ctx, m, r)
	}
	if err != nil {
		spans.Fail(span, "take in", err.Error())
	}
	return t.settle(ctx, m, err)
}

// settle says when a message that could not be taken in is to be handed out again.
func (t *Taker) settle(ctx context.Context, m queue.Message, err error) queue.Settlement {
	later, ok := errors.AsType[*notYet](err)
	switch {
	case err == nil:
		t.tries.forget(m.ID)
		return queue.Done()
	case ctx.Err() != nil:
		return queue.RetryAfter(0)
	case !ok:
		later = &notYet{after: 5 * time.Second}
	}
	level := slog.LevelWarn
	if m.Tries > 1 && later.after < time.Minute || errors.Is(err, errBusy) {
		level = slog.LevelDebug
	}
	t.Log.Log(ctx, level, "a message waits to be taken in", "message", m.ID, "next_try", later.after, "error", err)
	return queue.RetryAfter(later.after)
}

// mostCrashes is how often a message may make the intake panic before it is refused.
const mostCrashes = 3

func (t *Taker) crashed(ctx context.Context, m queue.Message, v any) queue.Settlement {
	if m.Tries < mostCrashes {
		return queue.RetryAfter(time.Second)
	}
	fault := queue.Fault{Reason: queue.Crash, Message: fmt.Sprintf("taking it in has panicked: %v", v)}
	if _, err := t.Queue.Refuse(ctx, drop(m, request{}), "", fault); err != nil {
		return queue.RetryAfter(time.Second)
	}
	return queue.Done()
}

// decided returns what is to be done about a message, and has it noted.
func (t *Taker) decided(ctx context.Context, m queue.Message) (queue.Receipt, error) {
	if m.Tries > 1 {
		switch r, err := t.Intake.Decided(ctx, m.ID); {
		case err != nil:
			return queue.Receipt{}, err
		case r != nil:
			return *r, nil
		}
	}
	r, err := t.decide(ctx, m)
	if err != nil {
		return r, err
	}
	return t.Intake.Decide(ctx, m.ID, r)
}

// carryOut does what was decided. Doing so again is harmless.
func (t *Taker) carryOut(ctx context.Context, m queue.Message, r queue.Receipt) error {
	if f := r.Refusal; f != nil {
		if _, err := t.Queue.Refuse(ctx, f.Drop, f.ContentType, f.Fault); err != nil {
			return err
		}
		tellRefused(ctx, f.Fault)
		t.Log.Debug("refused", "message", m.ID, "reason", f.Fault.Reason, "why", f.Fault.Message)
		if f.Drop.Staged == "" {
			return nil
		}
		return t.Queue.Unstage(ctx, f.Drop.Staged) // nobody needs the copy
	}
	for _, s := range r.Submissions {
		if fault, lost := r.Lost[s.Drop.ID]; lost {
			if _, err := t.Queue.Refuse(ctx, s.Drop, s.ContentType, fault); err != nil {
				return err
			}
			continue
		}
		if err := t.submit(ctx, m, s, &r); err != nil {
			return err
		}
	}
	return nil
}

// submit hands one submission of a receipt in.
func (t *Taker) submit(ctx context.Context, m queue.Message, s queue.Submission, r *queue.Receipt) error {
	s.Bytes = t.bytes(m, s)
	for {
		acceptance, err := t.Queue.Submit(ctx, s)
		switch {
		case err == nil:
			queue.TellAccepted(ctx, s, acceptance)
			t.Log.Debug("taken in", "message", m.ID, "uri", s.Drop.URI, "model", s.Model, "drop", s.Drop.ID, "acceptance", acceptance)
			return nil
		case errors.Is(err, queue.ErrFull):
			if err := t.Room.WaitAfter(ctx, err); err != nil {
				return err
			}
		case errors.Is(err, queue.ErrUnsettled), errors.Is(err, queue.ErrCrowded):
			return &notYet{time.Second, err}
		default:
			return t.lost(ctx, m, s, r, err)
		}
	}
}

// lost refuses a drop whose bytes are gone, or others, since it was decided to submit it, which they have not been. That is noted
// first: handed out again, the message could find a verdict of its content by then, and its drop would have two answers.
func (t *Taker) lost(ctx context.Context, m queue.Message, s queue.Submission, r *queue.Receipt, err error) error {
	fault, ok := errors.AsType[*refused](err)
	if !ok {
		return err
	}
	if r.Lost == nil {
		r.Lost = map[queue.DropID]queue.Fault{}
	}
	r.Lost[s.Drop.ID] = fault.Fault
	if err := t.Intake.Amend(ctx, m.ID, *r); err != nil {
		return err
	}
	_, err = t.Queue.Refuse(ctx, s.Drop, s.ContentType, fault.Fault)
	return err
}
