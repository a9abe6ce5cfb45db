// Package queue owns every durable thing: the work queue, the ledger of jobs, the streams of verdicts, failures and
// events, the watchers' registry of files, and the bucket by which the processes of a cluster agree (see package
// queue/control), all on one JetStream, embedded or not.
//
// A [Drop] is one arrival of a file. A [Job] is one content under one model; equal files share it,
// and it is paid for once. [Queue.Submit] takes a drop in: when it returns without an error, the
// drop will have exactly one terminal message, a [Verdict] or a [Failure], published at least once
// under the same Nats-Msg-Id.
//
// [Queue.Work] hands out jobs and turns the [Settlement] it is given back into ledger entries,
// messages and the one acknowledgement. Whatever crashes in between, the job is handed out again,
// and its record says how far it came: see [State] and [Job.Next].
//
// The package makes no call to the platform and reads no file.
package queue
