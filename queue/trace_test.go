package queue_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	parentA = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	parentB = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// stateOf makes up a trace's state of so many bytes, 300 to 600.
func stateOf(n int) string {
	const two = "a=%s,b=%s"
	return fmt.Sprintf(two, strings.Repeat("x", n/2), strings.Repeat("y", n-n/2-len("a=,b=")))
}

func TestTheTraceOfAMessage(t *testing.T) {
	for _, c := range []struct {
		name   string
		header nats.Header
		want   queue.Trace
	}{
		{"none", nil, queue.Trace{}},
		{"as it should be", nats.Header{"traceparent": {parentA}, "tracestate": {"a=1,b=2"}}, queue.Trace{parentA, "a=1,b=2"}},
		{"not sampled", nats.Header{"traceparent": {parentB}}, queue.Trace{parentB, ""}},
		{"as net/http writes names", nats.Header{"Traceparent": {parentA}, "TRACESTATE": {"a=1"}}, queue.Trace{parentA, "a=1"}},
		{"a state in two headers", nats.Header{"traceparent": {parentA}, "tracestate": {"a=1", "b=2"}}, queue.Trace{parentA, "a=1,b=2"}},
		{"of a later version", nats.Header{"traceparent": {"cc" + parentA[2:] + "-more"}}, queue.Trace{parentA, ""}},
		{"a state that is none", nats.Header{"traceparent": {parentA}, "tracestate": {"no state"}}, queue.Trace{parentA, ""}},
		{"a state of 512 bytes", nats.Header{"traceparent": {parentA}, "tracestate": {stateOf(512)}}, queue.Trace{parentA, stateOf(512)}},
		{"a state of 513 bytes", nats.Header{"traceparent": {parentA}, "tracestate": {stateOf(513)}}, queue.Trace{parentA, ""}},
		{"a state without a trace", nats.Header{"tracestate": {"a=1"}}, queue.Trace{}},
		{"two traces", nats.Header{"traceparent": {parentA, parentB}}, queue.Trace{}},
		{"two traces, by two names", nats.Header{"traceparent": {parentA}, "Traceparent": {parentA}}, queue.Trace{}},
		{"without a value", nats.Header{"traceparent": {}}, queue.Trace{}},
		{"empty", nats.Header{"traceparent": {""}}, queue.Trace{}},
		{"cut short", nats.Header{"traceparent": {parentA[:len(parentA)-1]}}, queue.Trace{}},
		{"too long", nats.Header{"traceparent": {parentA + "-00"}}, queue.Trace{}},
		{"in upper case", nats.Header{"traceparent": {strings.ToUpper(parentA)}}, queue.Trace{}},
		{"of nothing", nats.Header{"traceparent": {"00-00000000000000000000000000000000-0000000000000000-00"}}, queue.Trace{}},
		{"of a version that cannot be", nats.Header{"traceparent": {"ff" + parentA[2:]}}, queue.Trace{}},
		{"a megabyte", nats.Header{"traceparent": {strings.Repeat("0", 1<<20)}, "tracestate": {strings.Repeat("a=1,", 1<<18)}}, queue.Trace{}},
	} {
		if got := queue.TraceFrom(c.header); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func FuzzTheTraceOfAMessageIsNoneOrOneToCarry(f *testing.F) {
	f.Add(parentA, "a=1,b=2")
	f.Add(parentB[:30], strings.Repeat("a=1,", 200))
	f.Fuzz(func(t *testing.T, parent, state string) {
		got := queue.TraceFrom(nats.Header{"traceparent": {parent}, "tracestate": {state}})
		if len(got.Parent) > len(parentA) || len(got.State) > 512 {
			t.Errorf("%+v is longer than a record has room for", got)
		}
		if again := queue.TraceFrom(nats.Header{"traceparent": {got.Parent}, "tracestate": {got.State}}); again != got {
			t.Errorf("%+v was read as %+v", got, again)
		}
		data, err := json.Marshal(got)
		var back queue.Trace
		if err != nil || json.Unmarshal(data, &back) != nil || back != got {
			t.Errorf("%+v is kept as %s", got, data)
		}
	})
}

// traceOf makes up a trace.
func traceOf(n int) queue.Trace {
	return queue.Trace{Parent: fmt.Sprintf("00-%032x-%016x-01", n+1, n+1), State: fmt.Sprintf("vendor=%d", n)}
}

// traced is a submission that has come with a trace.
func traced(s queue.Submission, n int) queue.Submission {
	s.Drop.Trace = traceOf(n)
	return s
}

// answeredIn are the traces in the headers of a drop's terminal messages, each once.
func answeredIn(t *testing.T, q *queue.Queue, id queue.DropID) []queue.Trace {
	t.Helper()
	found := map[queue.Trace]bool{}
	for _, name := range []string{"verdicts", "failures"} {
		for _, m := range messages(t, q, name) {
			if queue.DropID(m.Header.Get(nats.MsgIdHdr)) == id {
				found[queue.Trace{Parent: m.Header.Get("traceparent"), State: m.Header.Get("tracestate")}] = true
			}
		}
	}
	return slices.Collect(maps.Keys(found))
}

func wantAnsweredIn(t *testing.T, q *queue.Queue, id queue.DropID, want queue.Trace) {
	t.Helper()
	if got := answeredIn(t, q, id); !reflect.DeepEqual(got, []queue.Trace{want}) {
		t.Errorf("drop %s was answered in the traces %+v, want %+v", id, got, want)
	}
}

func TestEachDropIsAnsweredInItsOwnTrace(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, joined, untraced := traced(submission("a", "/in/a"), 1), traced(submission("a", "/in/b"), 2), submission("a", "/in/c")
	submit(t, s.Queue, a, queue.AcceptedNew)
	submit(t, s.Queue, joined, queue.AcceptedJoined)
	submit(t, s.Queue, untraced, queue.AcceptedJoined)
	stop := judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, []queue.DropID{a.Drop.ID, joined.Drop.ID, untraced.Drop.ID}, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	cached := traced(submission("a", "/in/d"), 4)
	submit(t, s.Queue, cached, queue.AcceptedAnswered)
	failing := traced(submission("b", "/in/e"), 5)
	failed(t, s, failing, queue.Fault{Reason: queue.Timeout})
	refused := drop("refused")
	refused.Trace = traceOf(6)
	if _, err := s.Refuse(deadline(t), refused, "text/plain", queue.Fault{Reason: queue.Unsupported}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []queue.Drop{a.Drop, joined.Drop, cached.Drop, failing.Drop, refused} {
		wantAnsweredIn(t, s.Queue, d.ID, d.Trace)
	}
	for _, m := range messages(t, s.Queue, "verdicts") {
		_, parent := m.Header["traceparent"]
		_, state := m.Header["tracestate"]
		if id := queue.DropID(m.Header.Get(nats.MsgIdHdr)); id == untraced.Drop.ID && (parent || state) {
			t.Errorf("a drop without a trace was answered with the headers %v", m.Header)
		}
	}
	for _, name := range []string{"jobs", "ledger"} {
		for _, m := range messages(t, s.Queue, name) {
			if m.Header.Get("traceparent") != "" {
				t.Errorf("a message of %s has a trace of its own: %v", name, m.Header)
			}
		}
	}
	if n := strings.Count(pretty(t, jobOf(t, s.Queue, a).Drops), `"traceparent"`); n != 2 {
		t.Errorf("%d of three drops are in the ledger with a trace, want 2", n)
	}
}

// A watcher that has crashed after it had submitted a file finds it again, and begins another trace.
func TestADropSubmittedTwiceKeepsItsFirstTrace(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := traced(submission("a", "/in/a"), 1)
	submit(t, s.Queue, a, queue.AcceptedNew)
	before := jobOf(t, s.Queue, a)
	submit(t, s.Queue, traced(a, 2), queue.AcceptedJoined)
	if after := jobOf(t, s.Queue, a); after.Revision() != before.Revision() {
		t.Errorf("the record was written again: %s", pretty(t, after.Job))
	}
	stop := judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, a.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	wantAnsweredIn(t, s.Queue, a.Drop.ID, a.Drop.Trace)
}

func TestARetryGoesOnWithTheTrace(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := traced(submission("a", "/in/a"), 1)
	failed(t, s, a, queue.Fault{Reason: queue.Timeout})
	j, err := s.Retry(deadline(t), keyOf(a), false)
	if err != nil {
		t.Fatal(err)
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, j.Drops[0].ID, "verdict fake")
	wantAnsweredIn(t, s.Queue, j.Drops[0].ID, a.Drop.Trace)
}

func TestATraceSurvivesTheLossOfTheLedger(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := traced(submission("a", "/in/a"), 1), traced(submission("b", "/in/b"), 2)
	judged(t, s, a)
	failed(t, s, b, queue.Fault{Reason: queue.Timeout})
	for _, sub := range []queue.Submission{a, b} {
		lose(t, s, "KV_authenta-ledger", queue.RecordSubject(s.Queue, keyOf(sub)))
	}
	wantMended(t, s, queue.Mended{Restored: 2})
	for _, sub := range []queue.Submission{a, b} {
		if j := jobOf(t, s.Queue, sub); j.Drops[0].Trace != sub.Drop.Trace {
			t.Errorf("the record has the trace %+v, want %+v", j.Drops[0].Trace, sub.Drop.Trace)
		}
	}
}

// What a record says of traces, be it nonsense or by another program, changes neither what is done nor who may write it.
func TestNothingIsDecidedByATrace(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a")
	a.Drop.Trace = queue.Trace{Parent: "nonsense", State: strings.Repeat("s", 10_000)}
	submit(t, s.Queue, a, queue.AcceptedNew)
	seen := jobOf(t, s.Queue, a)
	other := seen.Job
	other.Drops = slices.Clone(other.Drops)
	other.Drops[0].Trace = traceOf(1)
	if _, err := queue.Store(s.Queue, deadline(t), other, seen.Revision()); err != nil {
		t.Fatal(err)
	}
	if _, err := queue.Apply(s.Queue, deadline(t), seen, queue.CreateStarted{Name: "a", At: t1}); err != nil {
		t.Errorf("another trace in the record was in the way: %v", err)
	}
	b := submission("b", "/in/b")
	b.Drop.Trace = a.Drop.Trace
	failed(t, s, b, queue.Fault{Reason: queue.Rejected})
	wantAnsweredIn(t, s.Queue, b.Drop.ID, queue.Trace{})
}

func TestAHundredTracesFitARecord(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range queue.MaxDrops {
		sub := submission("a", fmt.Sprintf("/in/%d", i))
		sub.Drop.Trace = queue.Trace{Parent: parentA, State: stateOf(512)}
		want := queue.AcceptedJoined
		if i == 0 {
			want = queue.AcceptedNew
		}
		submit(t, s.Queue, sub, want)
	}
	for _, d := range jobOf(t, s.Queue, submission("a", "/in/0")).Drops {
		if d.Trace.State != stateOf(512) {
			t.Fatalf("%s has lost its trace: %+v", d.URI, d.Trace)
		}
	}
}

func TestADropThatARecordHasNoRoomForComesWithoutItsTraceBeforeItIsTurnedAway(t *testing.T) {
	t.Parallel()
	joined := func(d queue.Drop) queue.Event { return queue.Joined{Drop: d} }
	sized := func(bytes int) queue.Drop { // of about so many in a record
		return queue.Drop{ID: "x", URI: "file:///in/x", Name: strings.Repeat("x", bytes)}
	}
	job := queue.Job{State: queue.Queued, Drops: []queue.Drop{sized(256 << 10)}}
	for _, c := range []struct {
		name            string
		bytes           int
		admitted, trace bool
	}{
		{"small", 1000, true, true},
		{"as large as there is room", 256<<10 - 600, true, false},
		{"too large", 256 << 10, false, false},
	} {
		d := sized(c.bytes)
		d.Trace = queue.Trace{Parent: parentA, State: stateOf(512)}
		next, ok := queue.Admit(job, d, joined)
		if ok != c.admitted || ok && (next.Drops[1].Trace == d.Trace) != c.trace {
			t.Errorf("%s: admitted %t, of %d drops", c.name, ok, len(next.Drops))
		}
	}
}
