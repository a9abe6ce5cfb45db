package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// patience bounds every wait for something that has to happen.
const patience = time.Minute

// A rig is a worker between a queue of its own and a simulated platform of its own.
type rig struct {
	*sandbox.Platform
	t        *testing.T
	dir      string // of the files
	conn     *queue.Conn
	queue    *queue.Queue
	records  jetstream.KeyValue
	client   *authenta.Client
	options  Options
	rates    control.Options
	cluster  *control.Cluster
	worker   *Worker
	patience time.Duration

	mu       sync.Mutex
	verdicts []queue.Verdict
	failures []queue.Failure
}

// A setting changes what a rig is made of, before it is made.
type setting struct {
	platform func(*sandbox.Options)
	worker   func(*Options)
	cluster  func(*control.Options)
}

func platform(change func(*sandbox.Options)) setting { return setting{platform: change} }
func options(change func(*Options)) setting          { return setting{worker: change} }
func rates(change func(*control.Options)) setting    { return setting{cluster: change} }

// newRig makes a rig whose worker is not running yet. All of it ends with the test.
func newRig(t *testing.T, settings ...setting) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), patience: patience}
	r.newPlatform(settings)
	r.newQueue()
	r.options = Options{
		Queue: r.queue, Client: r.client, Log: quiet,
		LateAfter: 300 * time.Millisecond, FirstPoll: 20 * time.Millisecond, Grace: 5 * time.Second,
	}
	r.rates = control.Options{Queue: r.queue, MutationRate: 10000, QueryRate: 10000, Log: quiet}
	for _, s := range settings {
		if s.worker != nil {
			s.worker(&r.options)
		}
		if s.cluster != nil {
			s.cluster(&r.rates)
		}
	}
	r.cluster = control.New(r.rates)
	r.options.Cluster = r.cluster
	r.worker = New(r.options)
	background(t, "cluster", r.cluster.Run)
	must(t, r.cluster.Synced(deadline(t)))
	return r
}

func (r *rig) newPlatform(settings []setting) {
	o := sandbox.Options{Credits: sandbox.Unlimited, MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited}
	for _, s := range settings {
		if s.platform != nil {
			s.platform(&o)
		}
	}
	var err error
	r.Platform, err = sandbox.New(o)
	must(r.t, err)
	server := httptest.NewServer(r.Platform)
	transport := authenta.NewTransport()
	r.t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		must(r.t, r.Platform.Close())
	})
	r.client, err = authenta.New(authenta.Options{
		BaseURL: server.URL, Transport: transport,
		Credentials: func() (authenta.Credentials, error) {
			return authenta.Credentials{ClientID: "sandbox-id", ClientSecret: "sandbox-secret"}, nil
		},
	})
	must(r.t, err)
}

func (r *rig) newQueue() {
	server, err := embedded.Start(embedded.Options{Dir: r.t.TempDir(), Listen: embedded.Off, Sync: "1s", Log: quiet})
	must(r.t, err)
	r.t.Cleanup(func() { must(r.t, server.Close()) })
	r.conn, err = server.Connect()
	must(r.t, err)
	r.t.Cleanup(r.conn.Close)
	ctx := deadline(r.t)
	r.queue, err = queue.Open(ctx, r.conn, queue.Options{Log: quiet})
	must(r.t, err)
	js, err := jetstream.New(r.conn.Conn)
	must(r.t, err)
	r.records, err = js.KeyValue(ctx, "authenta-ledger")
	must(r.t, err)
	background(r.t, "following the answers", func(ctx context.Context) error {
		err := r.queue.Follow(ctx, queue.Position{}, queue.Reader{
			Verdict: func(v queue.Verdict, _ []byte, _ uint64) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.verdicts = append(r.verdicts, v)
			},
			Failure: func(f queue.Failure, _ []byte, _ uint64) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.failures = append(r.failures, f)
			},
		})
		if ctx.Err() != nil { // a test that ends at once cuts it off at its beginning
			return nil
		}
		return err
	})
}

// background runs something until the test ends, or the returned function is called.
func background(t *testing.T, what string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: does not end", what)
		}
	})
	t.Cleanup(stop)
	return stop
}

// run runs the worker until the test ends, or the returned function is called.
func (r *rig) run() (stop func()) { return background(r.t, "worker", r.worker.Run) }

// A file is one that was submitted.
type file struct {
	queue.Submission
	path string
}

// file writes a file with a content of its own and submits it.
func (r *rig) file(name string) file {
	r.t.Helper()
	return r.submit(write(r.t, filepath.Join(r.dir, name), "the content of "+name))
}

// submit submits a file as it is.
func (r *rig) submit(path string) file {
	r.t.Helper()
	content, err := os.ReadFile(path)
	must(r.t, err)
	f := file{path: path, Submission: queue.Submission{
		Drop: dropOf(r.t, path), Digest: digestOf(string(content)), Size: int64(len(content)),
		ContentType: "image/jpeg", Model: "AC-1",
	}}
	f.Drop.ID = queue.DropIDOf(f.Drop.URI, f.Drop.File, f.Digest, f.Model)
	_, err = r.queue.Submit(deadline(r.t), f.Submission)
	must(r.t, err)
	return f
}

func (f file) key() queue.JobKey { return queue.KeyOf(f.Digest, f.Model) }

// job reads a file's record from the ledger.
func (r *rig) job(f file) queue.Job {
	r.t.Helper()
	entry, err := r.records.Get(deadline(r.t), string(f.key()))
	must(r.t, err)
	var j queue.Job
	must(r.t, json.Unmarshal(entry.Value(), &j))
	return j
}

// answer returns how a file's drop was answered: "" while it is not.
func (r *rig) answer(f file) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.verdicts {
		if v.ID == f.Drop.ID {
			return "verdict"
		}
	}
	for _, v := range r.failures {
		if v.ID == f.Drop.ID {
			return string(v.Reason)
		}
	}
	return ""
}

// failure returns the failure of a file, which must have been answered.
func (r *rig) failure(f file) queue.Failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.failures {
		if v.ID == f.Drop.ID {
			return v
		}
	}
	return queue.Failure{}
}

// answered counts the files that have an answer.
func (r *rig) answered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.verdicts) + len(r.failures)
}

func (r *rig) wantAnswer(f file, want string) {
	r.t.Helper()
	r.await(f.Drop.Name+" is answered", func() bool { return r.answer(f) != "" })
	if got := r.answer(f); got != want {
		r.t.Errorf("%s: %s, want %s; %+v", f.Drop.Name, got, want, r.failure(f).Fault)
	}
}

// wantNoFailure checks that no file was failed.
func (r *rig) wantNoFailure() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.failures {
		r.t.Errorf("%s failed: %+v", f.Name, f.Fault)
	}
}

// wantIdle waits until both queues are empty: every delivery is acknowledged.
func (r *rig) wantIdle() {
	r.t.Helper()
	r.await("the queues are empty", func() bool {
		d, err := r.queue.Depths(deadline(r.t))
		return err == nil && d == queue.Depths{}
	})
}

// wantPaidOnce checks that each file was paid for exactly once.
func (r *rig) wantPaidOnce(files ...file) {
	r.t.Helper()
	paid := r.Ledger().Paid
	for _, f := range files {
		if n := paid[string(f.Digest)]; n != 1 {
			r.t.Errorf("%s was paid for %d times", f.Drop.Name, n)
		}
	}
}

// wantCalls checks how often something was called, whatever the answer.
func (r *rig) wantCalls(op sandbox.Op, want int) {
	r.t.Helper()
	if got := r.Ledger().Total(op); got != want {
		r.t.Errorf("%d calls of %s, want %d: %v", got, op, want, r.Ledger().Calls[op])
	}
}

// await waits until a condition holds.
func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(r.patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain: %s\n%s", what, r.state())
		}
	}
}

// state says how things are, for a test that fails.
func (r *rig) state() string {
	depths, err := r.queue.Depths(context.Background())
	l := r.Ledger()
	s := fmt.Sprintf("depths %+v %v, calls %v, paid %d, answered %d", depths, err, l.Calls, l.CreditsSpent, r.answered())
	for name, g := range map[string]*control.Gate{"uploads": r.cluster.Uploads, "polls": r.cluster.Polls} {
		s += fmt.Sprintf("\n%s: %+v", name, g.State())
	}
	return s
}

// wantClosedFor waits until a gate is closed for a reason.
func (r *rig) wantClosedFor(g *control.Gate, why control.Why) {
	r.t.Helper()
	r.await("closed for "+string(why), func() bool { return g.State().Why == why })
}

// refuse closes a gate as an answer does.
func (r *rig) refuse(g *control.Gate, c control.Call, why control.Why) {
	g.Refused(deadline(r.t), g.Now(), control.Refusal{Call: c, Why: why, Message: "no"})
}

// runOut lets a gate's deadline pass, for the whole cluster.
func (r *rig) runOut(gates ...*control.Gate) {
	for _, g := range gates {
		key := "gate.uploads"
		if g == r.cluster.Polls {
			key = "gate.polls"
		}
		for {
			e, err := r.queue.Control().Get(deadline(r.t), key)
			must(r.t, err)
			var s control.State
			if len(e.Data) == 0 {
				if g.State().Closed() { // it is about to be written
					continue
				}
				break
			}
			must(r.t, json.Unmarshal(e.Data, &s))
			if !s.Closed() || s.Why == control.Spent || s.Prober != "" { // a probe that is out will tell
				break
			}
			s.At = time.Now().UTC()
			s.Until, s.Prober, s.Lapses = s.At, "", time.Time{}
			data, err := json.Marshal(s)
			must(r.t, err)
			if _, err = r.queue.Control().Put(deadline(r.t), key, data, e.Revision); err == nil {
				break
			}
		}
	}
}

// goOn lets the gates' deadlines pass until what has to happen has: a probe may find only work that tells it nothing.
func (r *rig) goOn(what string, holds func() bool) {
	r.t.Helper()
	passed := time.Now()
	r.await(what, func() bool {
		if time.Since(passed) > 500*time.Millisecond {
			passed = time.Now()
			r.runOut(r.cluster.Uploads, r.cluster.Polls)
		}
		return holds()
	})
}

// now is the time as the ledger writes it.
func now() time.Time { return time.Now().UTC() }

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// before does something when a call comes in, and then what another effect does.
func before(do func(), effect sandbox.Effect) sandbox.Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		do()
		effect(w, r, next)
	}
}

// loseIt takes the whole request, does nothing with it, and never answers.
func loseIt(taken func()) sandbox.Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		_, _ = io.Copy(io.Discard, r.Body)
		taken()
		sandbox.Hang(w, r, next)
	}
}

// pass lets a call through.
func pass(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(w, r) }

// once is a fault that strikes one call.
func once(op sandbox.Op, do sandbox.Effect) sandbox.Fault {
	return sandbox.Fault{Op: op, Do: do, Times: 1}
}

// always is a fault that strikes every call.
func always(op sandbox.Op, do sandbox.Effect) sandbox.Fault { return sandbox.Fault{Op: op, Do: do} }

var quiet = slog.New(slog.DiscardHandler)
