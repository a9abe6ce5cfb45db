// Package monitor tells those who run a daemon how it is, over HTTP, and systemd.
//
// It promises an answer in bounded time whatever the daemon waits for: it is there before NATS is, and ends last. It only
// reads. That the process is alive (/healthz) is told apart from whether it does its work (/readyz): to start it anew helps
// only if its loops do not turn, and neither a broker that is away nor a pause is mended by that.
//
// What is looked at is not its business: those who make a monitor say what there is to check.
package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Options configure a monitor.
type Options struct {
	Metrics  http.Handler  // what /metrics serves; nil: nothing
	Patience time.Duration // how long the daemon may take to say how it is; default 5 s
	Stale    time.Duration // how long a loop may take to turn until the process is not healthy any more; default 3 min: a disk may stall for two
	Token    string        // what who asks for the status from another machine has to show, as a bearer token; empty: nobody there is told
	Log      *slog.Logger  // default slog.Default()
}

// Probes ask a daemon at work how it is. Both have to return soon after ctx ends.
type Probes struct {
	Checks func(ctx context.Context) []Check      // all that readiness depends on, in the order in which it is told
	Status func(ctx context.Context) (any, error) // what /api/status serves, as JSON
}

// A Monitor watches one process, which tells it how far it is. New starts nothing; Serve, ServeProfiles and Notify start what
// Close ends. It is safe for concurrent use.
type Monitor struct {
	o       Options
	flights singleflight.Group
	ctx     context.Context // of questions to the daemon, which several may share; ends with Close
	cancel  context.CancelFunc
	made    time.Time
	changed chan struct{} // has an element when the stage is another than systemd knows of

	notifiers sync.WaitGroup
	unheard   sync.Once // it was said that systemd cannot be told anything

	mu      sync.Mutex
	stage   stage
	doing   string // what the process is starting with
	probes  Probes // since the stage was working
	pulses  []*pulse
	servers []*server
}

// A stage is how far a process is.
type stage int

const (
	starting stage = iota
	working
	stopping
)

// New returns the monitor of a process that is about to start.
func New(o Options) *Monitor {
	if o.Patience == 0 {
		o.Patience = 5 * time.Second
	}
	if o.Stale == 0 {
		o.Stale = 3 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	m := &Monitor{o: o, doing: "it has just begun", made: time.Now(), changed: make(chan struct{}, 1)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Starting says what the process is about to do before it can work, for a person: "connecting to NATS".
func (m *Monitor) Starting(doing string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doing = doing
	m.change()
}

// Working says that the process has begun to work, and how it can be asked how it is.
func (m *Monitor) Working(p Probes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stage == starting {
		m.stage, m.probes = working, p
		m.change()
	}
}

// Stopping says that the process ends what it has in hand. Nothing that follows makes it ready again.
func (m *Monitor) Stopping() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stage = stopping
	m.change()
}

// change has systemd be told, if it wants to know.
func (m *Monitor) change() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Close ends the servers and whoever is connected to them. A systemd that does not read what it is told is not waited for.
func (m *Monitor) Close() {
	m.Stopping()
	m.cancel()
	told := make(chan struct{})
	go func() {
		defer close(told)
		m.notifiers.Wait()
	}()
	select {
	case <-told:
	case <-time.After(hangUp):
	}
	m.mu.Lock()
	servers := m.servers
	m.mu.Unlock()
	for _, s := range servers {
		s.close()
	}
}

// now is how far the process is, what it is starting with, and how it can be asked once it has worked.
func (m *Monitor) now() (stage, string, Probes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stage, m.doing, m.probes
}

// ask has a question answered within the time that there is for it. Whoever asks the same meanwhile shares the answer, so
// that questions that take long do not pile up.
func (m *Monitor) ask(ctx context.Context, what string, answer func(context.Context) (any, error)) (any, error) {
	asked := m.flights.DoChan(what, func() (reply any, err error) {
		defer func() { // the files in work are worth more than an answer
			if p := recover(); p != nil {
				m.o.Log.Error("a question has made the program fail", "question", what, "why", p, "stack", string(debug.Stack()))
				err = fmt.Errorf("the program has failed at it: %v", p)
			}
		}()
		ctx, cancel := context.WithTimeout(m.ctx, m.o.Patience)
		defer cancel()
		return answer(ctx)
	})
	late := time.NewTimer(m.o.Patience)
	defer late.Stop()
	select {
	case r := <-asked:
		return r.Val, r.Err
	case <-late.C:
		return nil, fmt.Errorf("no answer within %s; NATS may be away", m.o.Patience)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
