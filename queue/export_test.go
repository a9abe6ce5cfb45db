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
)

const (
	MaxDrops     = maxDrops
	MaxAnswered  = maxAnswered
	OrphanAge    = orphanAge
	AnnounceTime = announceTime
	MaxCrashes   = maxCrashes
)

func (r record) Revision() uint64 { return r.revision }

func JetStreamOf(q *Queue) jetstream.JetStream { return q.js }

func RecordSubject(q *Queue, key JobKey) string           { return q.ns.record(key) }
func FileSubject(r *Registry, path string) string         { return r.subject(FileKeyOf(path).String()) }
func JobSubject(q *Queue, stage Stage, key JobKey) string { return q.ns.job(stage, key) }

// NewTask hands out a job as the queue does, without a delivery.
func NewTask(q *Queue, r record) *Task { return &Task{record: r, q: q} }
