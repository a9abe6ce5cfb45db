package queue_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// patience bounds every wait for something that has to happen.
const patience = time.Minute

// A store is a queue on an embedded server of its own.
type store struct {
	*queue.Queue
	t      testing.TB
	conn   *queue.Conn
	server *embedded.Server
}

// newStore opens a store in a new folder; it is closed with the test.
func newStore(t testing.TB, change ...func(*queue.Options)) *store {
	t.Helper()
	return openStore(t, t.TempDir(), change...)
}

// openStore opens the store of a folder; it is closed with the test, if not before.
func openStore(t testing.TB, dir string, change ...func(*queue.Options)) *store {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: dir, Listen: embedded.Off, Sync: "1s", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, server: server}
	t.Cleanup(s.close)
	if s.conn, err = server.Connect(); err != nil {
		t.Fatal(err)
	}
	s.Queue = openQueue(t, s.conn, change...)
	return s
}

// openQueue opens a queue on a connection.
func openQueue(t testing.TB, conn *queue.Conn, change ...func(*queue.Options)) *queue.Queue {
	t.Helper()
	o := queue.Options{Platform: platformURL, Log: quiet}
	for _, c := range change {
		c(&o)
	}
	q, err := queue.Open(deadline(t), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

const platformURL = "https://platform.example"

var quiet = slog.New(slog.DiscardHandler)

func (s *store) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if err := s.server.Close(); err != nil {
		s.t.Error(err)
	}
}

// deadline returns a context for something that has to be done soon.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await waits until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !becomes(patience, holds) {
		t.Fatalf("waited %s in vain: %s", patience, what)
	}
}

// becomes reports whether a condition holds within a time.
func becomes(within time.Duration, holds func() bool) bool {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); ; <-tick.C {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// A terminal is a message on the verdicts or failures stream.
type terminal struct {
	stream  string
	subject string
	id      queue.DropID // its Nats-Msg-Id
	data    []byte
}

// terminals reads all terminal messages, verdicts first.
func terminals(t testing.TB, q *queue.Queue) []terminal {
	t.Helper()
	var all []terminal
	for _, name := range []string{"verdicts", "failures"} {
		for _, m := range messages(t, q, name) {
			all = append(all, terminal{
				stream: name, subject: m.Subject, id: queue.DropID(m.Header.Get(jetstream.MsgIDHeader)), data: m.Data,
			})
		}
	}
	return all
}

// verdicts counts the messages on the verdicts stream.
func verdicts(t testing.TB, q *queue.Queue) uint64 {
	t.Helper()
	return lookUp(t, q, string(q.Namespace)+"-verdicts").CachedInfo().State.Msgs
}

// lookUp finds a stream, even if the broker is only just back.
func lookUp(t testing.TB, q *queue.Queue, name string) jetstream.Stream {
	t.Helper()
	var stream jetstream.Stream
	var err error
	if !becomes(patience, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		stream, err = queue.JetStreamOf(q).Stream(ctx, name)
		return err == nil
	}) {
		t.Fatal(err)
	}
	return stream
}

// messages reads all of a stream, or of a bucket's.
func messages(t testing.TB, q *queue.Queue, name string) []*jetstream.RawStreamMsg {
	t.Helper()
	ctx := deadline(t)
	if name == "ledger" || name == "files" {
		name = "KV_" + string(q.Namespace) + "-" + name
	} else {
		name = string(q.Namespace) + "-" + name
	}
	stream := lookUp(t, q, name)
	var all []*jetstream.RawStreamMsg
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && seq > 0; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err == nil {
			all = append(all, m)
		}
	}
	return all
}

// answers lists each drop's distinct terminal messages as "verdict fake" or "failure timeout".
func answers(t testing.TB, q *queue.Queue) map[queue.DropID][]string {
	t.Helper()
	found := map[queue.DropID][]string{}
	for _, m := range terminals(t, q) {
		what := fmt.Sprintf("%s %s", strings.TrimSuffix(m.stream, "s"), m.subject[strings.LastIndex(m.subject, ".")+1:])
		if !slices.Contains(found[m.id], what) {
			found[m.id] = append(found[m.id], what)
		}
	}
	return found
}

// answersTo lists those of one drop.
func answersTo(t testing.TB, q *queue.Queue, id queue.DropID) []string {
	t.Helper()
	return answers(t, q)[id]
}

// awaitAnswer waits for the answer of a drop, and says if it has got more than one.
func awaitAnswer(t testing.TB, q *queue.Queue, id queue.DropID, want string) {
	t.Helper()
	awaitAnswers(t, q, []queue.DropID{id}, want)
}

// awaitAnswers waits for the answers of several drops, which are all the same.
func awaitAnswers(t testing.TB, q *queue.Queue, ids []queue.DropID, want string) {
	t.Helper()
	var got map[queue.DropID][]string
	missing := func(id queue.DropID) bool { return len(got[id]) == 0 }
	await(t, fmt.Sprintf("drops %s get an answer", ids), func() bool {
		got = answers(t, q)
		return !slices.ContainsFunc(ids, missing)
	})
	for _, id := range ids {
		if !slices.Equal(got[id], []string{want}) {
			t.Errorf("drop %s: answers %q, want %q", id, got[id], want)
		}
	}
}

func verdictFor(t testing.TB, q *queue.Queue, id queue.DropID) queue.Verdict {
	t.Helper()
	for _, m := range terminals(t, q) {
		if m.id == id && m.stream == "verdicts" {
			return decode[queue.Verdict](t, m.data)
		}
	}
	t.Fatalf("no verdict for drop %s", id)
	return queue.Verdict{}
}

func decode[T any](t testing.TB, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// digestOf makes up a digest.
func digestOf(content string) queue.Digest {
	return queue.Digest(fmt.Sprintf("%064x", content))[:64]
}

// submission makes up a drop of a content. Equal arguments give the same drop.
func submission(content, path string) queue.Submission {
	uri := "file://" + path
	file := queue.FileID{Device: 1, Inode: 2, Size: int64(len(content)), ModTime: time.Unix(1_700_000_000, 5).UTC()}
	digest := digestOf(content)
	return queue.Submission{
		Drop: queue.Drop{
			ID: queue.DropIDOf(uri, file, digest, "DF-1"), URI: uri, Name: path[strings.LastIndex(path, "/")+1:],
			File: file, QueuedAt: time.Unix(1_700_000_100, 0).UTC(),
		},
		Digest: digest, Size: file.Size, ContentType: "video/mp4", Model: "DF-1",
	}
}

func keyOf(s queue.Submission) queue.JobKey { return queue.KeyOf(s.Digest, s.Model) }

// submit submits, and demands an acceptance.
func submit(t testing.TB, q *queue.Queue, s queue.Submission, want queue.Acceptance) {
	t.Helper()
	got, err := q.Submit(deadline(t), s)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("submitted %s: %s, want %s", s.Drop.URI, got, want)
	}
}

func dropIDs(all []queue.Submission) []queue.DropID {
	var ids []queue.DropID
	for _, s := range all {
		ids = append(ids, s.Drop.ID)
	}
	return ids
}

// persist submits as a watcher does: until it is accepted.
func persist(t testing.TB, q *queue.Queue, s queue.Submission) {
	t.Helper()
	await(t, "the file is accepted", func() bool {
		_, err := q.Submit(deadline(t), s)
		return err == nil
	})
}

// jobOf reads a job's record.
func jobOf(t testing.TB, q *queue.Queue, s queue.Submission) queue.Record {
	t.Helper()
	r, err := queue.Load(q, deadline(t), keyOf(s))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantDepths waits until the queues hold so many jobs.
func wantDepths(t testing.TB, q *queue.Queue, want queue.Depths) {
	t.Helper()
	var got queue.Depths
	if !becomes(patience, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var err error
		got, err = q.Depths(ctx)
		return err == nil && got == want
	}) {
		t.Fatalf("queue depths %+v, want %+v", got, want)
	}
}

// working has the jobs of a stage worked on, one at a time, until the test ends or the returned function is called.
func working(t testing.TB, q *queue.Queue, stage queue.Stage, handle queue.Handler) (stop func()) {
	t.Helper()
	return pooling(t, q, queue.Pool{Stage: stage, Handle: handle})
}

// pooling is working with more to say.
func pooling(t testing.TB, q *queue.Queue, p queue.Pool) (stop func()) {
	t.Helper()
	p.Slots = cmp.Or(p.Slots, 1)
	p.Grace = cmp.Or(p.Grace, patience)
	if p.Ready == nil {
		p.Ready = func(ctx context.Context) error { return ctx.Err() }
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Work(ctx, p) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("work on the %s queue: %v", p.Stage, err)
			}
		case <-time.After(2 * patience):
			t.Errorf("work on the %s queue did not end", p.Stage)
		}
	})
	t.Cleanup(stop)
	return stop
}

// always settles every job the same way.
func always(s queue.Settlement) queue.Handler {
	return func(context.Context, *queue.Task) queue.Settlement { return s }
}

// uploaded takes a job to where the platform has its bytes.
func uploaded(ctx context.Context, task *queue.Task) queue.Settlement {
	for _, e := range []queue.Event{
		queue.CreateStarted{Name: "clip-00000000", At: time.Now().UTC()},
		queue.Created{MediaID: "mid-1", UploadURL: "https://storage.example/put", Expires: time.Now().Add(time.Hour).UTC(), At: time.Now().UTC()},
	} {
		if err := task.Apply(ctx, e); err != nil {
			return queue.RetryAfter(0)
		}
	}
	return queue.HandOver()
}

// judgement is a verdict's substance.
func judgement() queue.Judgement {
	confidence, faces, deepfakes := 0.98, 1, 1
	fake := true
	return queue.Judgement{
		Outcome: queue.Fake, Confidence: &confidence, Faces: &faces, Deepfakes: &deepfakes,
		Participants: []queue.Participant{{ID: 0, Fake: &fake, Confidence: &confidence, Heatmap: "https://storage.example/h?a=1&b=2"}},
		ResultURL:    "https://storage.example/r", HeatmapURL: "https://storage.example/m",
	}
}

// judgeAll has every job uploaded and judged from now on.
func judgeAll(t testing.TB, q *queue.Queue) (stop func()) {
	a := working(t, q, queue.Upload, uploaded)
	b := working(t, q, queue.Await, always(queue.Conclude(judgement())))
	return func() { a(); b() }
}

// rejectAll has every job fail from now on.
func rejectAll(t testing.TB, q *queue.Queue, stage queue.Stage, reason queue.Reason) (stop func()) {
	return working(t, q, stage, always(queue.Reject(queue.Fault{Reason: reason, Message: "made up"})))
}

// setAckWait shortens the time after which the broker hands out again what nobody gave a sign of.
func setAckWait(t testing.TB, q *queue.Queue, d time.Duration, hosts ...string) {
	t.Helper()
	ctx := deadline(t)
	stages := []queue.Stage{queue.Upload, queue.Await}
	for _, host := range hosts {
		if err := queue.MakeConsumer(q, ctx, host); err != nil {
			t.Fatal(err)
		}
		stages = append(stages, queue.UploadAt(host))
	}
	for _, stage := range stages {
		c, err := queue.JetStreamOf(q).Consumer(ctx, string(q.Namespace)+"-jobs", stage.Consumer())
		if err != nil {
			t.Fatal(err)
		}
		config := c.CachedInfo().Config
		config.AckWait = d
		if _, err := queue.JetStreamOf(q).UpdateConsumer(ctx, string(q.Namespace)+"-jobs", config); err != nil {
			t.Fatal(err)
		}
	}
}

// setMaxBytes gives a stream a smaller cap.
func setMaxBytes(t testing.TB, q *queue.Queue, stream string, bytes int64) {
	t.Helper()
	ctx := deadline(t)
	s, err := queue.JetStreamOf(q).Stream(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.MaxBytes = bytes
	if _, err := queue.JetStreamOf(q).UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
}

// step sets the hook for durable writes and acknowledgements.
func step(hook func(point string)) func(*queue.Options) {
	return func(o *queue.Options) { o.Step = hook }
}

// meta is what a drop brings along: one text.
func meta(key, text string) queue.Meta {
	value, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return queue.Meta{key: value}
}
