package main

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// long has the tests run that take several minutes.
var long = flag.Bool("long", false, "run the tests that take minutes, too")

// A bill is what verdicts have cost, and how late they came.
type bill struct {
	calls     float64 // Query calls per verdict
	p50, p95  time.Duration
	gets      int
	listPages int
}

func (b bill) String() string {
	return fmt.Sprintf("%.2f Query calls per verdict (%d GETs, %d list pages), lag p50 %.1f s, p95 %.1f s",
		b.calls, b.gets, b.listPages, b.p50.Seconds(), b.p95.Seconds())
}

// bill of the verdicts that a program has printed.
func (w *world) bill(p *program) bill {
	w.t.Helper()
	l := w.platform.Ledger()
	var lags []time.Duration
	for _, v := range p.verdictLines() {
		lags = append(lags, v.JudgedAt.Sub(l.Finished[string(v.Digest)]))
	}
	slices.Sort(lags)
	return bill{
		calls: float64(l.Query) / float64(len(lags)), p50: lags[len(lags)/2], p95: lags[len(lags)*95/100],
		gets: l.Total(sandbox.OpGet), listPages: l.Total(sandbox.OpList),
	}
}

// affordable is how many Query calls an account has for a file, by the platform's own rule.
const affordable = 1.5

// noList is a platform that has no list.
var noList = sandbox.Fault{Op: sandbox.OpList, Do: sandbox.Answer(404, "application/json", `{"code":"not_found","type":"CLIENT_ERROR","message":"No such route"}`)}

func TestTwoHundredResultsTakeFewQueryCallsAndComeSoon(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate   string // creates a second
		faults []sandbox.Fault
		calls  float64
		lag    time.Duration // 0: it is what it is
		long   bool
	}{
		"all at once":                 {rate: "1000", calls: 1.2, lag: 4700 * time.Millisecond},
		"five a second":               {rate: "5", calls: 1.2, lag: 4700 * time.Millisecond, long: true},
		"all at once, without a list": {rate: "1000", faults: []sandbox.Fault{noList}, calls: affordable, long: true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.long && !*long {
				t.Skip("-long")
			}
			t.Parallel()
			const files = 200
			w := newWorld(t, sandbox.Options{Latency: 15 * time.Second, Spread: 10 * time.Second})
			w.platform.Faults(c.faults...)
			w.env["AUTHENTA_MUTATION_RATE"], w.env["AUTHENTA_QUERY_RATE"] = c.rate, "50"
			w.drop(0, files)
			p := w.start(map[string]string{"INGEST_UPLOADS": "32"}, "run", "--once", "--json", w.inbox)
			if code := p.wait(finishTime); code != exitDone {
				t.Fatalf("ended with %d", code)
			}
			b := w.bill(p)
			t.Log(b)
			if !*long { // other tests use the machine meanwhile, and an ask that comes late is one more
				c.calls, c.lag = affordable, 0
			}
			if b.calls > c.calls {
				t.Errorf("%.2f Query calls per verdict, want at most %.2f", b.calls, c.calls)
			}
			if c.lag > 0 && b.p95 > c.lag {
				t.Errorf("p95 of the lag is %s, want at most %s", b.p95, c.lag)
			}
		})
	}
}

func TestAFileAMinuteTakesFewQueryCalls(t *testing.T) {
	if !*long {
		t.Skip("takes six minutes: -long")
	}
	t.Parallel()
	const files = 5
	w := newWorld(t, sandbox.Options{Latency: time.Minute})
	p := w.start(nil, "run", "--json", w.inbox)
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for n := range files {
		w.drop(n, 1)
		if n < files-1 {
			<-minute.C
		}
	}
	eventually(t, 5*time.Minute, "all are judged", func() bool { return p.judged() == files })
	b := w.bill(p)
	t.Log(b)
	if b.calls > 1.5 {
		t.Errorf("%.2f Query calls per verdict, want at most 1.5", b.calls)
	}
}

// What was learned is there after a restart: the first ask finds the result.
func TestWhatWasLearnedOutlivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: 6 * time.Second})
	w.drop(0, 1)
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	first := w.platform.Ledger()
	w.drop(1, 1)
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	second := w.platform.Ledger()
	t.Logf("%d Query calls for the first file, %d for the second", first.Query, second.Query-first.Query)
	if first.Query < 2 || second.Query-first.Query != 1 {
		t.Error("nothing was learned")
	}
}
