package queue

import "github.com/nats-io/nats.go/jetstream"

// What the tests reach into: they are in queue_test, because they run on queue/embedded, which imports this package.

type Record = record

var (
	Load    = (*Queue).load
	Store   = (*Queue).store
	Apply   = (*Queue).apply
	Enqueue = (*Queue).enqueue
	Deliver = (*Queue).deliver

	ReconcileOlderThan = (*Queue).reconcile
	Announce           = (*Queue).announce

	MergeGaps    = merge
	AnsweredAs   = Job.answeredAs
	JobOfFailure = Failure.job

	VerdictOf = Job.verdict
	FailureOf = Job.failure

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

func RecordSubject(q *Queue, key JobKey) string           { return q.ns.record(key) }
func FileSubject(r *Registry, path string) string         { return r.subject(FileKeyOf(path).String()) }
func JobSubject(q *Queue, stage Stage, key JobKey) string { return q.ns.job(stage, key) }

// NewTask hands out a job as the queue does, without a delivery.
func NewTask(q *Queue, r record) *Task { return &Task{record: r, q: q} }

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
