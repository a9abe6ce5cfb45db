package main

import (
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

func TestAStatusIsForPeople(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 1, 9, 5, 0, 0, time.Local)
	failure := func(name, message string) queue.Failure {
		return queue.Failure{
			Head:  queue.Head{Name: name, Model: "DF-1", Digest: queue.Digest(strings.Repeat("5f2a1c09", 8))},
			Fault: queue.Fault{Reason: queue.Timeout, Message: message}, FailedAt: at,
		}
	}
	s := control.Status{
		At: at, Platform: "https://platform.authenta.ai", Queued: 70, Awaiting: 3, Messages: 2,
		Waiting: []control.HostStatus{{Host: "nas", Files: 12}, {Host: "desk", Files: 1, Works: true}},
		Uploads: control.GateStatus{Paused: true, State: control.State{
			Why: control.Quota, Message: "API quota\n exceeded\x1b[2J", Since: at.Add(-time.Hour), Until: at.Add(90 * time.Second),
			Hold: &control.Hold{Message: "lunch", Since: at},
		}},
		Budget:   &control.BudgetStatus{Mutation: &control.CountStatus{Count: control.Count{Granted: 100}, Left: 30}, Files: 20},
		Rates:    control.Rates{Mutation: 5, Query: 10},
		Workers:  []control.Member{{Host: "nas", PID: 12, Role: control.RoleWatcher, Since: at}, {Host: "desk", PID: 7, Since: at}},
		Failures: []queue.Failure{failure("会議 録画.mp4", "no result within 1h0m0s"), failure("a\x1b[2Jb\nc", "")},
	}
	var out strings.Builder
	out.WriteString("\n")
	if err := writeStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	const want = `
platform          https://platform.authenta.ai
queued            70 to upload
waiting           12 files for a worker on nas, where none runs
                  1 files for the workers on desk
in flight         3 awaiting a result
intake            go on
messages          2 to take in
uploads           PAUSED by hand since 2026-07-01 09:05:00 (lunch), until 'resume'; quota since 2026-07-01 08:05:00 ("API quota exceeded\x1b[2J"), next try 2026-07-01 09:06:30 (in 1m30s)
polls             go on
mutation calls    30 of 100 left
query calls       not known
the rest will do  20 more files
rates             5 creates and 10 polls a second, of all workers together
processes         nas/12  watcher  since 2026-07-01 09:05:00
                  desk/7  all  since 2026-07-01 09:05:00
last failures     2026-07-01 09:05:00  5f2a1c095f2a  会議 録画.mp4  timeout: no result within 1h0m0s
                  2026-07-01 09:05:00  5f2a1c095f2a  "a\x1b[2Jb\nc"  timeout: 
`
	if out.String() != want {
		t.Errorf("it says%swant%s", out.String(), want)
	}
}
