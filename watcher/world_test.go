package watcher

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
	"github.com/authenta/authenta-ingest/watcher/media"
)

const (
	patience = time.Minute            // bounds every wait for something that has to happen
	settle   = 100 * time.Millisecond // of the watchers here
)

var quiet = slog.New(slog.DiscardHandler)

// A world is a folder to watch, and a queue on an embedded server of its own.
type world struct {
	*queue.Queue
	t    testing.TB
	dir  string // the folder
	conn *queue.Conn
	js   jetstream.JetStream
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
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	return worldOn(t, conn)
}

// worldOn is newWorld on a connection, which it closes with the test.
func worldOn(t testing.TB, conn *queue.Conn) *world {
	t.Helper()
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir()) // as New does
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, conn: conn, js: js}
	w.Queue = w.open(nil)
	return w
}

// open opens another queue on the same store, with a hook at its durable writes.
func (w *world) open(step func(string)) *queue.Queue {
	w.t.Helper()
	q, err := queue.Open(deadline(w.t), w.conn, queue.Options{Platform: "https://platform.example", Log: quiet, Step: step})
	if err != nil {
		w.t.Fatal(err)
	}
	return q
}

// options are those of the watchers here: scans are too rare to be of help.
func (w *world) options(change ...func(*Options)) Options {
	o := Options{
		Queue: w.Queue, Dirs: []string{w.dir}, Models: media.Models{Images: []queue.Model{"AC-1"}, Videos: []queue.Model{"DF-1"}},
		Settle: settle, Rescan: time.Hour, Log: quiet,
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func (w *world) watcher(change ...func(*Options)) *Watcher {
	w.t.Helper()
	watcher, err := New(w.options(change...))
	if err != nil {
		w.t.Fatal(err)
	}
	return watcher
}

// A running watcher.
type running struct {
	*Watcher
	t    testing.TB
	stop func() // ends Run, and waits for it; the test does so at its end
}

func (w *world) run(change ...func(*Options)) running {
	w.t.Helper()
	return start(w.t, w.watcher(change...))
}

func start(t testing.TB, w *Watcher) running {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	r := running{Watcher: w, t: t}
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return when its context had ended")
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r running) caughtUp() {
	r.t.Helper()
	select {
	case <-r.CaughtUp():
	case <-time.After(patience):
		r.t.Fatal("the watcher did not catch up")
	}
}

// scanned has a watcher of its own look at everything that has settled, and stop.
func (w *world) scanned(change ...func(*Options)) {
	w.t.Helper()
	r := w.run(change...)
	r.caughtUp()
	r.stop()
}

// An arrival is a drop on the queue and what was found in it.
type arrival struct {
	id          queue.DropID
	path        string // from its URI
	digest      queue.Digest
	size        int64
	contentType string
	model       queue.Model
}

func (a arrival) String() string {
	return fmt.Sprintf("%s (%d bytes, %s, %s)", a.path, a.size, a.contentType, a.model)
}

// arrivals lists the drops in the ledger by their paths. Nobody works on the jobs, unless the test does, so that all are
// there.
func (w *world) arrivals() []arrival {
	w.t.Helper()
	var all []arrival
	for _, job := range records[queue.Job](w, "KV_authenta-ledger") {
		for _, d := range job.Drops {
			all = append(all, arrival{d.ID, pathOf(w.t, d.URI), job.Digest, job.Size, job.ContentType, job.Model})
		}
	}
	slices.SortFunc(all, func(a, b arrival) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.model, b.model)) })
	return all
}

// of lists the arrivals of one path.
func (w *world) of(path string) []arrival {
	w.t.Helper()
	return slices.DeleteFunc(w.arrivals(), func(a arrival) bool { return a.path != path })
}

func (w *world) failures() []queue.Failure { return records[queue.Failure](w, "authenta-failures") }
func (w *world) verdicts() []queue.Verdict { return records[queue.Verdict](w, "authenta-verdicts") }

// queued counts the messages on the work queue.
func (w *world) queued() int {
	w.t.Helper()
	s, err := w.js.Stream(deadline(w.t), "authenta-jobs")
	if err != nil {
		w.t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}

// records reads all that a stream holds.
func records[T any](w *world, stream string) []T {
	w.t.Helper()
	ctx := deadline(w.t)
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	left := s.CachedInfo().State.Msgs
	if left == 0 {
		return nil
	}
	c, err := w.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	messages, err := c.Messages()
	if err != nil {
		w.t.Fatal(err)
	}
	defer messages.Stop()
	var all []T
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			w.t.Fatalf("read stream %s: %v", stream, err)
		}
		if len(msg.Data()) > 0 {
			var v T
			if err := json.Unmarshal(msg.Data(), &v); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, v)
		}
		if meta, err := msg.Metadata(); err != nil || meta.NumPending == 0 {
			return all
		}
	}
}

// judgeAll has every job judged from now on.
func (w *world) judgeAll() {
	w.t.Helper()
	pool := func(stage queue.Stage, handle queue.Handler) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- w.Work(ctx, queue.Pool{
				Stage: stage, Slots: 1, Grace: patience, Handle: handle,
				Ready: func(ctx context.Context) error { return ctx.Err() },
			})
		}()
		w.t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				w.t.Errorf("work on the %s queue: %v", stage, err)
			}
		})
	}
	pool(queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		if task.Apply(ctx, queue.Created{MediaID: "mid", At: time.Now().UTC()}) != nil {
			return queue.RetryAfter(0)
		}
		return queue.HandOver()
	})
	pool(queue.Await, func(context.Context, *queue.Task) queue.Settlement {
		return queue.Conclude(queue.Judgement{Outcome: queue.Real})
	})
}

// resize gives a stream another byte cap, and returns what it was.
func (w *world) resize(stream string, bytes int64) (was int64) {
	w.t.Helper()
	ctx := deadline(w.t)
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	config := s.CachedInfo().Config
	was, config.MaxBytes = config.MaxBytes, bytes
	if _, err := w.js.UpdateStream(ctx, config); err != nil {
		w.t.Fatal(err)
	}
	return was
}

// forget empties streams: what their records' time to live does, at once.
func (w *world) forget(streams ...string) {
	w.t.Helper()
	for _, name := range streams {
		s, err := w.js.Stream(deadline(w.t), name)
		if err == nil {
			err = s.Purge(deadline(w.t))
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// pathOf is what a reader of the message makes of a URI.
func pathOf(t testing.TB, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Host != "" || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(uri, "file:///") {
		t.Errorf("URI %q is not one of a local file alone: %v", uri, err)
		return ""
	}
	return u.Path
}

func digestOf(data []byte) queue.Digest {
	sum := sha256.Sum256(data)
	return queue.Digest(hex.EncodeToString(sum[:]))
}

// deadline returns a context for something that has to be done soon.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("took too long"))
	t.Cleanup(cancel)
	return ctx
}

// await waits until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// awaitArrivals waits until every path has arrived, and returns what arrived.
func (w *world) awaitArrivals(paths ...string) []arrival {
	w.t.Helper()
	var got []arrival
	missing := func() []string {
		got = w.arrivals()
		return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
			return slices.ContainsFunc(got, func(a arrival) bool { return a.path == p })
		})
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		left := missing()
		if len(left) == 0 {
			return got
		}
		if time.Now().After(end) {
			w.t.Fatalf("%d of %d files did not arrive, such as %q", len(left), len(paths), left[0])
		}
	}
}

// wantOnly says what has arrived besides the given paths, and which arrived not exactly once.
func (w *world) wantOnly(paths ...string) {
	w.t.Helper()
	count := map[string]int{}
	for _, a := range w.arrivals() {
		count[a.path]++
	}
	for _, p := range paths {
		if count[p] != 1 {
			w.t.Errorf("%q arrived %d times, want once", p, count[p])
		}
		delete(count, p)
	}
	for p, n := range count {
		w.t.Errorf("%q arrived %d times, want never", p, n)
	}
	for _, f := range w.failures() {
		w.t.Errorf("failure %s %s of %q", f.Reason, f.Message, f.URI)
	}
}

// entry reads what is remembered of a path.
func (w *world) entry(path string) (*queue.FileEntry, error) {
	w.t.Helper()
	return w.Registry("").Entry(deadline(w.t), queue.FileKeyOf(path))
}

// remembered counts the files in the registry.
func (w *world) remembered() int {
	w.t.Helper()
	s, err := w.js.Stream(deadline(w.t), "KV_authenta-files")
	if err != nil {
		w.t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}

// awaitEntry waits until the registry has a file as it is now.
func (w *world) awaitEntry(path string) {
	w.t.Helper()
	file := seen(w.t, path).version
	await(w.t, fmt.Sprintf("%q is dealt with as it is now", path), func() bool {
		entry, err := w.entry(path)
		if err != nil {
			w.t.Fatal(err)
		}
		return entry != nil && entry.File.Same(file)
	})
}

// sentinel has a file arrive, after which what came before it in the same way would have arrived too. It returns its
// path.
func (w *world) sentinel() string {
	w.t.Helper()
	path := put(w.t, w.dir+"/sentinel.jpg", picture(99_999_999))
	w.awaitArrivals(path)
	return path
}

// A logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// warnings lists the warnings in which some words occur.
func (l *logbook) warnings(words string) []string { return l.with("level=WARN", words) }

// with lists the lines in which all the words occur.
func (l *logbook) with(words ...string) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			all = append(all, line)
		}
	}
	return all
}
