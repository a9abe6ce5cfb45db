package subject

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
	"github.com/authenta/authenta-ingest/watcher/fetch"
	"github.com/authenta/authenta-ingest/watcher/media"
	"github.com/authenta/authenta-ingest/watcher/room"
)

var long = flag.Bool("long", false, "crash at every step")

func TestMain(m *testing.M) {
	// nats.go leaves this one behind where an object is put by its own object store, as tests do.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

// patience bounds every wait for something that has to happen.
const patience = time.Minute

var quiet = slog.New(slog.DiscardHandler)

// A world is a queue on an embedded server of its own, a folder, a web server, and a platform that judges all real.
type world struct {
	*queue.Queue
	t      testing.TB
	conn   *queue.Conn
	js     jetstream.JetStream
	dir    string // the root
	web    *httptest.Server
	served map[string]http.HandlerFunc

	mu       sync.Mutex
	verdicts []queue.Verdict
	failures []queue.Failure
	reads    map[queue.DropID]string // what a worker has found staged
}

func newWorld(t testing.TB) *world {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Listen: embedded.Off, Sync: "1s", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, dir: t.TempDir(), served: map[string]http.HandlerFunc{}, reads: map[queue.DropID]string{}}
	if w.conn, err = server.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.conn.Close)
	if w.js, err = jetstream.New(w.conn.Conn); err != nil {
		t.Fatal(err)
	}
	w.Queue = w.open(nil)
	w.web = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		serve := w.served[r.URL.Path]
		w.mu.Unlock()
		if serve == nil {
			serve = http.NotFound
		}
		serve(rw, r)
	}))
	t.Cleanup(w.web.Close)
	w.follow()
	return w
}

func (w *world) open(step func(string)) *queue.Queue {
	w.t.Helper()
	q, err := queue.Open(w.deadline(), w.conn, queue.Options{Platform: "https://platform.example", Log: quiet, Step: step})
	if err != nil {
		w.t.Fatal(err)
	}
	return q
}

func (w *world) deadline() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// background runs something until the test ends, or stop is called.
func (w *world) background(what string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("%s: %v", what, err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// follow notes the terminal messages.
func (w *world) follow() {
	w.background("follow", func(ctx context.Context) error {
		return w.Follow(ctx, queue.Position{}, queue.Reader{
			Verdict: func(v queue.Verdict, _ []byte, _ uint64) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.verdicts = append(w.verdicts, v)
			},
			Failure: func(f queue.Failure, _ []byte, _ uint64) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.failures = append(w.failures, f)
			},
		})
	})
}

// options are those of the takers here.
func (w *world) options(q *queue.Queue, change ...func(*Options)) Options {
	w.t.Helper()
	in, err := q.Intake(w.deadline(), "", queue.Named{Subjects: []string{"media.in"}, Roots: []string{w.dir}})
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(w.web.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.web.Certificate())
	f, err := fetch.New(fetch.Options{Hosts: []string{u.Host}, Private: true, MaxSize: 1 << 20, Stall: time.Second, Roots: roots})
	if err != nil {
		w.t.Fatal(err)
	}
	o := Options{
		Queue: q, Intake: in, Models: media.Models{Images: []queue.Model{"AC-1"}, Videos: []queue.Model{"DF-1"}},
		Fetch: f, Roots: []string{w.dir}, Room: room.New(q, quiet), Log: quiet,
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

// take has messages taken in until the test ends, or stop is called.
func (w *world) take(change ...func(*Options)) (stop func()) {
	w.t.Helper()
	return w.takeFrom(w.Queue, change...)
}

func (w *world) takeFrom(q *queue.Queue, change ...func(*Options)) (stop func()) {
	w.t.Helper()
	t, err := New(w.options(q, change...))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.background("take", t.Run)
}

// judge has every job judged. What is staged of its drops is read before.
func (w *world) judge() (stop func()) {
	pool := func(stage queue.Stage, handle queue.Handler) func() {
		return w.background(string(stage), func(ctx context.Context) error {
			return w.Work(ctx, queue.Pool{
				Stage: stage, Slots: 2, Grace: patience, Handle: handle, Ready: func(ctx context.Context) error { return ctx.Err() },
			})
		})
	}
	stopUploads := pool(queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		for _, d := range task.Drops {
			if d.Staged != "" {
				w.readStaged(ctx, d)
			}
		}
		if task.Apply(ctx, queue.Created{MediaID: "mid", At: time.Now().UTC()}) != nil {
			return queue.RetryAfter(0)
		}
		return queue.HandOver()
	})
	stopPolls := pool(queue.Await, func(context.Context, *queue.Task) queue.Settlement {
		return queue.Conclude(queue.Judgement{Outcome: queue.Real})
	})
	return func() {
		stopUploads()
		stopPolls()
	}
}

func (w *world) readStaged(ctx context.Context, d queue.Drop) {
	text := "nothing there"
	if o, err := w.OpenStaged(ctx, d.Staged); err == nil {
		text = readAll(o)
		o.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads[d.ID] = text
}

// publish publishes on the subject, and returns the id of the drop.
func (w *world) publish(data []byte, header ...string) queue.DropID {
	w.t.Helper()
	m := nats.NewMsg("media.in")
	m.Data = data
	for i := 0; i < len(header); i += 2 {
		m.Header[header[i]] = []string{header[i+1]}
	}
	ack, err := w.js.PublishMsg(w.deadline(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	return queue.DropID(ack.Stream + "-" + itoa(ack.Sequence))
}

// refer publishes a reference.
func (w *world) refer(fields map[string]any) queue.DropID {
	w.t.Helper()
	data, err := json.Marshal(fields)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.publish(data)
}

func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		if holds() {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// verdict waits for a drop's, and failure for the other end.
func (w *world) verdict(id queue.DropID) (found queue.Verdict) {
	w.t.Helper()
	w.await("the verdict of "+string(id), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, v := range w.verdicts {
			if v.ID == id {
				found = v
				return true
			}
		}
		return false
	})
	return found
}

func (w *world) failure(id queue.DropID) (found queue.Failure) {
	w.t.Helper()
	w.await("the failure of "+string(id), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, f := range w.failures {
			if f.ID == id {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

// settled waits until every message is taken in.
func (w *world) settled() {
	w.t.Helper()
	w.await("every message is taken in", func() bool {
		n, err := w.Untaken(w.deadline())
		return err == nil && n == 0
	})
}

// wantNothingStaged waits until the staging bucket is empty.
func (w *world) wantNothingStaged() {
	w.t.Helper()
	w.await("nothing is staged", func() bool {
		s, err := w.js.Stream(w.deadline(), "OBJ_"+w.MediaBucket())
		return err != nil || s.CachedInfo().State.Msgs == 0
	})
}

func (w *world) serve(path string, h http.HandlerFunc) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served[path] = h
	return w.web.URL + path
}

func (w *world) write(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}
