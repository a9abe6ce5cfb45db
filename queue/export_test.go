package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What the tests reach into: they are in queue_test, because they run on queue/embedded, which imports this package.

type Record = record

var (
	Load    = (*Queue).load
	Store   = (*Queue).store
	Apply   = (*Queue).apply
	Deliver = (*Queue).deliver

	ReconcileOlderThan = (*Queue).reconcile
	Announce           = (*Queue).announceAgain
	StageOf            = stageOf
	ClearParked        = (*Queue).clearParked

	Sweep = (*Queue).sweep

	KeepNamed      = (*Intake).keep
	ReceiptSubject = (*Intake).subject

	MergeGaps    = merge
	AnsweredAs   = Job.answeredAs
	JobOfFailure = Failure.job

	VerdictOf = Job.verdict
	FailureOf = Job.failure
	Admit     = Job.admit

	ErrNoJob     = errNoJob
	CheckVersion = checkVersion
	IsTransient  = isTransient
	Unready      = unready
	Unplaced     = unplaced

	BatchAcknowledged = batchAcknowledged
)

const (
	MaxDrops     = maxDrops
	MaxAnswered  = maxAnswered
	OrphanAge    = orphanAge
	AnnounceTime = announceTime
	MaxCrashes   = maxCrashes
	BatchWrites  = batchWrites
)

func (r record) Revision() uint64 { return r.revision }

func JetStreamOf(q *Queue) jetstream.JetStream { return q.js }

func RecordSubject(q *Queue, key JobKey) string   { return q.ns.record(key) }
func FileSubject(r *Registry, path string) string { return r.subject(FileKeyOf(path).String()) }

// MakeConsumer makes the consumer of a machine, as whoever first needs it does.
func MakeConsumer(q *Queue, ctx context.Context, host string) error {
	_, err := q.consumer(ctx, UploadAt(host), host)
	return err
}

// MakeIntakeStream makes the intake stream, or finds that somebody else has.
func MakeIntakeStream(q *Queue, ctx context.Context) error {
	return q.Persist(ctx, func(ctx context.Context) error {
		_, err := q.intakeStream(ctx, []string{q.ns.subject("intake")})
		return err
	})
}

func (s Stage) Consumer() string { return s.consumer() }

// Enqueue leaves a job's message on a queue, wherever it should be.
func Enqueue(q *Queue, ctx context.Context, stage Stage, key JobKey) error {
	_, err := q.publish(ctx, write{subject: q.ns.job(stage, key)})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

func JobSubject(q *Queue, stage Stage, key JobKey) string { return q.ns.job(stage, key) }

// NewTask hands out a job as the queue does, without a delivery.
func NewTask(q *Queue, r record) *Task { return &Task{record: r, q: q} }

// StageFor stages as a submission does.
func StageFor(q *Queue, ctx context.Context, name string, key JobKey, content []byte) error {
	return q.stage(ctx, staging{name: name, job: key, size: int64(len(content)), open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}})
}

// OpenStagedOf opens what is staged for a task.
func OpenStagedOf(ctx context.Context, t *Task) (*Object, error) {
	return t.q.OpenStaged(ctx, t.Drops[0].Staged)
}

// Gather holds the writes to the ledger back as if one were under way, tells how many there are, and lets them go.
func Gather(q *Queue) (waiting func() int, release func()) {
	g := q.groups.ledger
	if !g.lead(nil) {
		panic("a write is under way")
	}
	return func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.waiting)
	}, g.pass
}

// AgeNamed has what a process has named be as old as if it had gone down then.
func AgeNamed(ctx context.Context, q *Queue, host string, n Named, at time.Time) error {
	data, err := json.Marshal(naming{n, at})
	if err == nil {
		_, err = q.publish(ctx, write{subject: q.control.subject(namedKey(host, n)), data: data, last: anySequence})
	}
	return err
}

// Streams are those that media are taken from.
func (in *Intake) Streams() []string {
	var names []string
	for _, s := range in.sources {
		names = append(names, s.stream)
	}
	slices.Sort(names)
	return names
}
