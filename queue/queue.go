package queue

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Options say how the streams and buckets are made.
type Options struct {
	Namespace  Namespace     // first token of every subject; default "authenta"
	Platform   string        // address of the platform that judges; a store serves one platform
	Replicas   int           // copies of every stream and bucket; default 1
	StageBytes int64         // what the staging bucket may hold; default 10 GB
	InFlight   int           // media awaiting a result, per cluster; default 100,000
	ResultTTL  time.Duration // how long a verdict answers for the same content; default 720h
	Log        *slog.Logger  // default slog.Default()

	Metrics prometheus.Registerer // nil: nothing is exported
	Models  []Model               // whose metrics are there before the first of their jobs

	// Room, if set, returns why the broker's disk has no room for new work; nil: it has.
	Room func() error

	// Step, if set, is called before and after each durable write and acknowledgement, with its name. Tests
	// crash there.
	Step func(point string)
}

func (o Options) withDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = "authenta"
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.StageBytes == 0 {
		o.StageBytes = 10e9
	}
	if o.InFlight == 0 {
		o.InFlight = 100_000
	}
	if o.ResultTTL == 0 {
		o.ResultTTL = 720 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Room == nil {
		o.Room = func() error { return nil }
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	return o
}

// A Queue is the durable half of the daemon. It is safe for concurrent use. It starts no goroutine but for
// a call or a write that is under way, and does not own the connection.
type Queue struct {
	Options
	ns      Namespace
	conn    *Conn
	js      jetstream.JetStream
	metrics *metrics
	jobs    jetstream.Stream
	ledger  jetstream.Stream
	files   jetstream.Stream
	control *Bucket

	attached bool // see Attach

	consumers sync.Map // Stage to its jetstream.Consumer, of those that were needed so far

	media  *media
	rooms  struct{ jobs, ledger, files *room }
	groups struct{ jobs, ledger, files *group }

	submitting sync.Map     // JobKey to a channel that is closed when the submission of its content has ended
	lookFirst  atomic.Int64 // submissions that look for a record of their content before they write one

	inHand sync.Map // Stage + JobKey of what this process works on
	letGo  sync.Map // JobKey of those whose call has ended, which could not be noted

	suspect, recovering atomic.Bool // something seems to be lost, and is looked into
}

// minVersion is the first nats-server with per-message TTLs, which the ledger's terminal records need.
var minVersion = [2]int{2, 11}

// Byte caps of the streams and buckets. Full, jobs, ledger and registry refuse new entries (back-pressure); what
// others read drops its oldest. An upload queue entry takes some 150 bytes, a record 1 kB, a verdict 1 kB.
const (
	jobsBytes     = 256 << 20
	ledgerBytes   = 4 << 30
	filesBytes    = 1 << 30
	verdictsBytes = 2 << 30
	failuresBytes = 512 << 20
	eventsBytes   = 64 << 20
	controlBytes  = 16 << 20
)

// ackWait is how long a delivery may go without a sign of life before the job is handed out again. A worker
// gives signs three times as often and lets go of the job by itself well before (see hold).
const ackWait = 15 * time.Second

// Open makes or updates the streams, buckets and consumers, and may be called any number of times. Its errors
// name what the server lacks.
func Open(ctx context.Context, conn *Conn, o Options) (*Queue, error) {
	o = o.withDefaults()
	if !o.Namespace.Valid() {
		return nil, fmt.Errorf("namespace %q: use letters, digits, - and _", o.Namespace)
	}
	if o.ResultTTL < time.Second { // the broker counts in seconds
		return nil, fmt.Errorf("INGEST_RESULT_TTL=%s: want 1s or more", o.ResultTTL)
	}
	if err := checkVersion(conn.ConnectedServerVersion()); err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn.Conn, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		return nil, err
	}
	q := &Queue{Options: o, ns: o.Namespace, conn: conn, js: js, metrics: newMetrics(o.Metrics, o.Models), media: newMedia()}
	err = q.Persist(ctx, func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		return err
	})
	if err != nil {
		return nil, explainNoJetStream(conn.explain(err))
	}
	for _, step := range []func(context.Context) error{q.bind, q.setUp} {
		if err := q.Persist(ctx, step); err != nil {
			return nil, conn.explain(err)
		}
	}
	return q, nil
}

// Attach returns a queue for those who hand files in and read answers. It makes no streams, and has jobs neither submitted nor worked on.
func Attach(conn *Conn, o Options) (*Queue, error) {
	o = o.withDefaults()
	js, err := jetstream.New(conn.Conn, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		return nil, err
	}
	return &Queue{Options: o, ns: o.Namespace, conn: conn, js: js, metrics: newMetrics(nil, nil), media: newMedia(), attached: true}, nil
}

// Persist does something again while NATS does not answer, or its servers have not found together, until ctx ends. What is done
// has to allow that some of it was done before. That the server has said no is an answer, be it by not answering a user who
// lacks a permission.
func (q *Queue) Persist(ctx context.Context, do func(context.Context) error) error {
	undated, cancel := withoutDeadline(ctx)
	defer cancel()
	for told := false; ; told = true {
		err := do(undated)
		away := unready(err) || !q.conn.IsConnected() && !q.conn.IsClosed()
		if err == nil || !away || ctx.Err() != nil || q.conn.denied.Load() != nil {
			return err
		}
		if !told {
			q.Log.Warn("NATS cannot do it yet; waiting for it", "error", err)
		}
		if pause(ctx, 250*time.Millisecond) != nil {
			return err
		}
	}
}

// withoutDeadline returns a context that ends when ctx does, and of which nobody can tell when that will be: an answer that is
// lost would be waited for until then, instead of for the time that a request has.
func withoutDeadline(ctx context.Context) (context.Context, func()) {
	undated, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return undated, func() {
		stop()
		cancel(nil)
	}
}

func checkVersion(v string) error {
	parts := strings.SplitN(v, ".", 3)
	if len(parts) == 3 {
		major, err1 := strconv.Atoi(parts[0])
		minor, err2 := strconv.Atoi(parts[1])
		if err1 == nil && err2 == nil && (major > minVersion[0] || major == minVersion[0] && minor >= minVersion[1]) {
			return nil
		}
	}
	return fmt.Errorf("the NATS server is version %q; %d.%d or later is needed (per-message TTLs): upgrade it",
		v, minVersion[0], minVersion[1])
}

func (q *Queue) setUp(ctx context.Context) error {
	limits := func(name, subject string, bytes int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: q.ns.name(name), Subjects: []string{subject}, Replicas: q.Replicas,
			MaxBytes: bytes, MaxAge: q.ResultTTL,
		}
	}
	jobs := jetstream.StreamConfig{
		Name: q.ns.name("jobs"), Subjects: []string{q.ns.subject("jobs", ">")}, Replicas: q.Replicas,
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: jobsBytes,
		AllowAtomicPublish: true,
	}
	var err error
	if q.jobs, err = q.stream(ctx, jobs); err != nil {
		return err
	}
	q.rooms.jobs, q.groups.jobs = newRoom(q.jobs), q.groupFor(q.jobs)
	for _, cfg := range []jetstream.StreamConfig{
		limits("verdicts", q.ns.subject("verdicts", ">"), verdictsBytes),
		limits("failures", q.ns.subject("failures", ">"), failuresBytes),
		limits("events", q.ns.subject("events", ">"), eventsBytes),
	} {
		if _, err := q.stream(ctx, cfg); err != nil {
			return err
		}
	}
	for _, stage := range []Stage{Upload, Await} {
		if _, err := q.consumer(ctx, stage, ""); err != nil {
			return q.advise(err, jobs)
		}
	}
	if q.ledger, err = q.bucket(ctx, "ledger", ledgerBytes, jetstream.DefaultPersistMode); err != nil {
		return err
	}
	q.rooms.ledger, q.groups.ledger = newRoom(q.ledger), q.groupFor(q.ledger)
	// An entry of the registry may be lost in a crash: its file is then hashed and submitted once more, as the same
	// drop. So it need not wait for the disk, which has enough to do.
	lazily := jetstream.AsyncPersistMode
	if q.Replicas > 1 || q.clustered() { // replicas do not allow it, and are lazy anyway; and it can never be changed
		lazily = jetstream.DefaultPersistMode
	}
	if q.files, err = q.bucket(ctx, "files", filesBytes, lazily); err != nil {
		return err
	}
	q.rooms.files, q.groups.files = newRoom(q.files), q.groupFor(q.files)
	q.warnOfOneCopy()
	return nil
}

// bucket makes a KV bucket and returns its stream. It is made as a stream, and records are written to that, because the
// KV interface cannot say how a bucket persists, and drops a record's TTL when it updates it.
func (q *Queue) bucket(ctx context.Context, name string, bytes int64, persist jetstream.PersistModeType) (jetstream.Stream, error) {
	name = q.ns.name(name)
	return q.stream(ctx, jetstream.StreamConfig{
		Name: "KV_" + name, Subjects: []string{"$KV." + name + ".>"}, Replicas: q.Replicas, MaxBytes: bytes,
		Discard: jetstream.DiscardNew, PersistMode: persist,
		// What makes a stream a bucket to KV clients:
		MaxMsgsPerSubject: 1, AllowRollup: true, DenyDelete: true,
		AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Minute,
		AllowAtomicPublish: persist != jetstream.AsyncPersistMode, // which excludes it
		AllowDirect:        true,                                  // as long as it has one copy
	})
}

// bind ties the store to its platform: the verdicts and media ids of one mean nothing at another.
func (q *Queue) bind(ctx context.Context) error {
	stream, err := q.bucket(ctx, "control", controlBytes, jetstream.DefaultPersistMode)
	if err != nil {
		return err
	}
	q.control = &Bucket{q: q, name: q.ns.name("control"), stream: stream}
	if q.Platform == "" {
		return nil
	}
	const key = "platform"
	_, _, err = q.publishOnce(ctx, write{subject: q.control.subject(key), data: []byte(q.Platform), last: 0})
	if err == nil || !isConflict(err) {
		return err
	}
	entry, err := q.control.Get(ctx, key)
	if err != nil {
		return err
	}
	if bound := string(entry.Data); bound != q.Platform {
		return fmt.Errorf("this store holds jobs and verdicts of %s, and AUTHENTA_URL is %s: "+
			"give each platform its own INGEST_STATE_DIR or INGEST_NAMESPACE", bound, q.Platform)
	}
	return nil
}

// NATS is the connection to the broker. It stays its owner's.
func (q *Queue) NATS() *nats.Conn { return q.conn.Conn }

// Depths counts the jobs that wait for their upload, at whichever machine, and those that await a result, those in hand included.
type Depths struct{ Upload, Await int }

// Depths asks the broker how much is on the queues. The sum is exact; a job that changes queues may be counted on
// either.
func (q *Queue) Depths(ctx context.Context) (Depths, error) {
	awaits, err := q.consumer(ctx, Await, "")
	if err != nil {
		return Depths{}, err
	}
	await, err := awaits.Info(ctx) // it hears of new messages a little late
	if err != nil {
		return Depths{}, fmt.Errorf("count the %s queue: %w", Await, err)
	}
	jobs, err := q.jobs.Info(ctx)
	if err != nil {
		return Depths{}, fmt.Errorf("count the jobs: %w", err)
	}
	n := int(jobs.State.Msgs)
	awaiting := min(n, int(await.NumPending)+await.NumAckPending)
	return Depths{Upload: n - awaiting, Await: awaiting}, nil
}
