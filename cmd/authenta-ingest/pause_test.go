package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// unlimited is a grant of everything.
var unlimited = sandbox.Grant{MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited, Credits: sandbox.Unlimited}

// listen lets the world's daemon be asked by the command line.
func (w *world) listen() {
	w.env["INGEST_NATS_LISTEN"], _ = freePort(w.t)
}

// command runs a command of the binary to its end and returns what it printed.
func (w *world) command(args ...string) string {
	w.t.Helper()
	p := w.start(nil, args...)
	if code := p.wait(time.Minute); code != exitDone {
		w.t.Fatalf("%v ended with %d: %s", args, code, p.stderr.String())
	}
	return p.stdout.String()
}

// status asks a running daemon how it is doing, as the command does. One that does not answer yet is waited for.
func (w *world) status() control.Status {
	w.t.Helper()
	url := w.env["NATS_URL"]
	if url == "" {
		url = "nats://" + w.env["INGEST_NATS_LISTEN"]
	}
	var s control.Status
	eventually(w.t, time.Minute, "the daemon answers", func() bool {
		conn, err := nats.Connect(url)
		if err != nil {
			return false
		}
		defer conn.Close()
		s, err = control.Remote{Conn: conn, Namespace: "authenta"}.Status(w.t.Context())
		return err == nil
	})
	return s
}

// drop puts n pictures of their own content into the inbox, from number first on.
func (w *world) drop(first, n int) {
	w.t.Helper()
	for i := first; i < first+n; i++ {
		w.write(fmt.Sprintf("%03d.jpg", i), picture(i))
	}
}

// judged counts the verdicts that a daemon has printed.
func (p *program) judged() int { return strings.Count(p.stdout.String(), "\n") }

// wantNothingCounted checks that no file has failed, and that none was sent more than once.
func (w *world) wantNothingCounted(s control.Status) {
	w.t.Helper()
	for _, f := range s.Failures {
		w.t.Errorf("%s failed: %+v", f.Name, f.Fault)
	}
	l := w.platform.Ledger()
	if l.PutsBegun > l.Creates {
		w.t.Errorf("%d PUTs were begun for %d records", l.PutsBegun, l.Creates)
	}
}

func TestWhenTheMutationQuotaIsUsedUpTheRestWaitsAndResumeFinishesIt(t *testing.T) {
	t.Parallel()
	const granted, files = 30, 100
	w := newWorld(t, sandbox.Options{MutationQuota: granted, Latency: 2 * time.Second})
	w.listen()
	w.drop(0, files)
	p := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "uploads are paused", func() bool { return strings.Contains(p.stderr.String(), "uploads paused") })
	eventually(t, time.Minute, "the results of what was uploaded are there", func() bool { return p.judged() == granted })

	eventually(t, time.Minute, "the others wait", func() bool { return w.status().Queued == files-granted })
	s := w.status()
	if !s.Uploads.Paused || s.Uploads.Why != control.Quota || s.Uploads.Code != "AA001" || s.Uploads.Until.IsZero() || s.Polls.Paused {
		t.Errorf("%+v", s)
	}
	w.wantNothingCounted(s)
	l := w.platform.Ledger()
	refused := l.Calls[sandbox.OpCreate][http.StatusTooManyRequests]
	t.Logf("%d creates were taken, %d refused", l.Creates, refused)
	if most := 4; l.Creates != granted || refused > most { // one each of the uploads at a time
		t.Errorf("%d creates, %d refused ones, at most %d and %d", l.Creates, refused, granted, most)
	}

	w.platform.Grant(unlimited)
	var shown control.Status
	if err := json.Unmarshal([]byte(w.command("status", "--json")), &shown); err != nil || shown.Queued != files-granted {
		t.Errorf("status shows %+v, %v", shown, err)
	}
	if said := w.command("status"); !strings.Contains(said, "PAUSED quota") || !strings.Contains(said, "70 to upload") {
		t.Errorf("status says %q", said)
	}
	w.command("resume")
	eventually(t, time.Minute, "all are judged", func() bool { return p.judged() == files })
	w.wantNothingCounted(w.status())
	p.terminate()
	w.promises(files, files)
}

// terminate ends the program as a supervisor does.
func (p *program) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(time.Minute); code != exitDone {
		p.t.Errorf("exit code %d", code)
	}
}

func TestWhenTheQueryQuotaIsUsedUpAtMostWhatWasInFlightIsPaidFor(t *testing.T) {
	t.Parallel()
	const granted, files = 10, 60
	w := newWorld(t, sandbox.Options{QueryQuota: granted, Latency: time.Second})
	w.listen()
	w.env["AUTHENTA_MUTATION_RATE"] = "10"
	w.drop(0, files)
	p := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "polls are paused", func() bool { return strings.Contains(p.stderr.String(), "polls paused") })
	paid := w.platform.Ledger().CreditsSpent
	s := w.status()
	if s.Polls.Why != control.Quota || !s.Uploads.Paused || s.Uploads.WaitsFor != "polls" {
		t.Errorf("%+v", s)
	}
	if more := w.platform.Ledger().CreditsSpent - paid; more > 4 {
		t.Errorf("%d were paid for after nothing could be fetched, at most the 4 in flight", more)
	}
	w.wantNothingCounted(s)
	w.platform.Grant(unlimited)
	w.command("resume", "polls")
	eventually(t, 2*time.Minute, "all are judged", func() bool { return p.judged() == files })
	p.terminate()
	w.promises(files, files)
}

func TestWithAKnownQueryQuotaNothingIsPaidForThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	const granted, files = 30, 60
	w := newWorld(t, sandbox.Options{QueryQuota: granted, Latency: time.Second})
	w.listen()
	w.env["AUTHENTA_QUERY_QUOTA"] = fmt.Sprint(granted)
	w.drop(0, files)
	p := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "uploads are paused", func() bool { return strings.Contains(p.stderr.String(), "uploads paused") })
	eventually(t, time.Minute, "what was paid for is judged", func() bool {
		d := w.status()
		return d.Awaiting == 0 && d.Uploads.Paused && d.Budget.Files == 0 && p.judged() == w.platform.Ledger().CreditsSpent
	})
	l := w.platform.Ledger()
	t.Logf("%d files for %d Query calls of %d", l.CreditsSpent, l.Query, granted)
	if refused := l.Calls[sandbox.OpGet][http.StatusTooManyRequests] + l.Calls[sandbox.OpList][http.StatusTooManyRequests]; refused > 0 {
		t.Errorf("the quota was overrun by %d calls", refused)
	}
	if l.CreditsSpent < granted/2 {
		t.Errorf("only %d files for %d calls", l.CreditsSpent, granted)
	}
	s := w.status()
	if s.Uploads.Why != control.Spent || s.Budget == nil || s.Budget.Files != 0 {
		t.Errorf("%+v", s)
	}
	w.platform.Grant(unlimited)
	p.terminate()
	w.env["AUTHENTA_QUERY_QUOTA"] = "10000" // the daemon is started again with what the account has now
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Errorf("ended with %d", code)
	}
	w.promises(files, files)
}

func TestWithAKnownMutationQuotaThePlatformNeverHasToRefuse(t *testing.T) {
	t.Parallel()
	const granted, files = 20, 40
	w := newWorld(t, sandbox.Options{MutationQuota: granted})
	w.drop(0, files)
	w.env["AUTHENTA_MUTATION_QUOTA"] = fmt.Sprint(granted)
	if code := w.start(nil, "run", "--once", w.inbox).wait(time.Minute); code != exitPaused {
		t.Errorf("ended with %d, want %d", code, exitPaused)
	}
	l := w.platform.Ledger()
	if refused := l.Calls[sandbox.OpCreate][http.StatusTooManyRequests]; l.Creates != granted || refused > 0 {
		t.Errorf("%d creates and %d refused ones of %d that were granted", l.Creates, refused, granted)
	}
	if code := w.start(nil, "run", "--once", w.inbox).wait(time.Minute); code != exitPaused { // the count is durable
		t.Errorf("started again: ended with %d, want %d", code, exitPaused)
	}
	if again := w.platform.Ledger(); again.Mutation != l.Mutation {
		t.Errorf("a restart made %d calls", again.Mutation-l.Mutation)
	}
}

func TestWithoutCreditsUploadsWaitAndGoOnByThemselves(t *testing.T) {
	t.Parallel()
	for name, bearer := range map[string]bool{"U007": false, "402": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const credits, files = 5, 20
			w := newWorld(t, sandbox.Options{Credits: credits, APIKey: "api_test"})
			w.listen()
			if bearer {
				delete(w.env, "AUTHENTA_CLIENT_ID")
				delete(w.env, "AUTHENTA_CLIENT_SECRET")
				w.env["AUTHENTA_API_KEY"] = "api_test"
			}
			w.env["AUTHENTA_MUTATION_RATE"] = "20"
			w.drop(0, files)
			p := w.start(nil, "run", "--json", w.inbox)
			eventually(t, time.Minute, "uploads are paused", func() bool { return strings.Contains(p.stderr.String(), "uploads paused") })
			eventually(t, time.Minute, "what was paid for is judged", func() bool { return p.judged() == credits })
			s := w.status()
			if s.Uploads.Why != control.Credits || s.Polls.Paused {
				t.Errorf("%+v", s)
			}
			w.wantNothingCounted(s)
			w.platform.Grant(unlimited)
			w.command("resume")
			eventually(t, time.Minute, "all are judged", func() bool { return p.judged() == files })
			p.terminate()
			w.promises(files, files)
		})
	}
}

// The account can pay when the records are created, and no longer when the files arrive: they stay as they are.
func TestFilesThatThePlatformHasAndCannotBeginWithAreNotSentAgain(t *testing.T) {
	t.Parallel()
	const files = 6
	w := newWorld(t, sandbox.Options{Credits: 10})
	w.listen()
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: func(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		w.platform.Grant(sandbox.Grant{Credits: sandbox.None})
		next(rw, r)
	}})
	w.drop(0, files)
	p := w.start(map[string]string{"INGEST_POLL_TIMEOUT": "5s"}, "run", "--json", w.inbox)
	eventually(t, time.Minute, "uploads are paused", func() bool { return strings.Contains(p.stderr.String(), "uploads paused") })
	eventually(t, 2*time.Minute, "it is noticed that the platform has not begun", func() bool {
		return strings.Contains(p.stderr.String(), "has not begun with it")
	})
	s := w.status()
	w.wantNothingCounted(s)
	if s.Uploads.Why != control.Credits || s.Awaiting == 0 {
		t.Errorf("%+v", s)
	}
	w.platform.Faults()
	w.platform.Grant(unlimited)
	w.command("resume")
	eventually(t, 2*time.Minute, "all are judged", func() bool { return p.judged() == files })
	w.wantNothingCounted(w.status())
	p.terminate()
	w.promises(files, files)
}

func TestARevokedKeyIsReplacedInItsFileAndTriedAtOnce(t *testing.T) {
	t.Parallel()
	const files = 10
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.drop(0, files)
	keyFile := filepath.Join(t.TempDir(), "secret")
	replace := func(secret string) {
		next := keyFile + ".new"
		if err := os.WriteFile(next, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, keyFile); err != nil {
			t.Fatal(err)
		}
	}
	replace("revoked")
	delete(w.env, "AUTHENTA_CLIENT_SECRET")
	w.env["AUTHENTA_CLIENT_SECRET_FILE"] = keyFile
	p := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "all is paused", func() bool {
		said := p.stderr.String()
		return strings.Contains(said, "uploads paused") && strings.Contains(said, "polls paused")
	})
	refused := w.platform.Ledger().Calls[sandbox.OpCreate][http.StatusUnauthorized]
	if refused > 4 {
		t.Errorf("%d calls with a revoked key, at most the 4 in flight", refused)
	}
	s := w.status()
	if s.Uploads.Why != control.Unauthenticated || s.Polls.Why != control.Unauthenticated {
		t.Errorf("%+v", s)
	}
	replace("test-secret-2f9c")
	eventually(t, 50*time.Second, "all are judged, before the minute is over", func() bool { return p.judged() == files })
	if again := w.platform.Ledger().Calls[sandbox.OpCreate][http.StatusUnauthorized]; again != refused {
		t.Errorf("%d more calls with a revoked key", again-refused)
	}
	w.wantNothingCounted(w.status())
	p.terminate()
	w.promises(files, files)
}

func TestWithoutThePermissionToWriteUploadsWait(t *testing.T) {
	t.Parallel()
	const files = 5
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.platform.Permit(sandbox.PermRead)
	w.drop(0, files)
	p := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "uploads are paused", func() bool { return strings.Contains(p.stderr.String(), "uploads paused") })
	s := w.status()
	if s.Uploads.Why != control.Forbidden || s.Polls.Paused || w.platform.Ledger().Total(sandbox.OpCreate) > 4 {
		t.Errorf("%+v; %v", s, w.platform.Ledger().Calls)
	}
	w.wantNothingCounted(s)
	w.platform.Permit(sandbox.PermRead | sandbox.PermWrite)
	w.command("resume", "uploads")
	eventually(t, time.Minute, "all are judged", func() bool { return p.judged() == files })
	p.terminate()
	w.promises(files, files)
}

func TestAPauseByHandHoldsOutlivesARestartAndSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	p := w.start(nil, "run", "--json", w.inbox)
	w.status()
	said := w.command("pause", "uploads", "--for", "1h", "--reason", "the bill is being checked")
	if !strings.Contains(said, "the bill is being checked") || !strings.Contains(said, "PAUSED by hand") {
		t.Errorf("pause says %q", said)
	}
	w.drop(0, 3)
	until := w.status().Uploads.Hold.Until
	p.kill()
	before := w.platform.Ledger()

	p = w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "the files are taken in", func() bool { return w.status().Queued == 3 })
	if s := w.status(); s.Uploads.Hold == nil || !s.Uploads.Hold.Until.Equal(until) {
		t.Errorf("after a restart: %+v, until %s before", s.Uploads, until)
	}
	if after := w.platform.Ledger(); after.Mutation+after.Query != before.Mutation+before.Query {
		t.Errorf("%d calls were made", after.Mutation+after.Query-before.Mutation-before.Query)
	}
	w.command("resume", "uploads")
	eventually(t, time.Minute, "all are judged", func() bool { return p.judged() == 3 })
	p.terminate()
	w.promises(3, 3)
}

func TestARestartWhilePausedMakesNoCallBeforeTheSameDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{MutationQuota: 2})
	w.listen()
	w.drop(0, 5)
	p := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "what was granted is judged", func() bool { return p.judged() == 2 && w.status().Uploads.Paused })
	was := w.status().Uploads
	p.kill()
	before := w.platform.Ledger()
	p = w.start(nil, "run", "--json", w.inbox)
	is := w.status().Uploads
	if is.Why != control.Quota || !is.State.Until.Equal(was.State.Until) {
		t.Errorf("was %+v, is %+v", was, is)
	}
	// The deadline is what starts the next call, and nothing else.
	w.platform.Grant(unlimited)
	eventually(t, 2*time.Minute, "the probe opens the gate and all are judged", func() bool { return p.judged() == 3 })
	var early []time.Time
	for _, v := range p.verdictLines() {
		if v.UploadedAt.Before(was.State.Until) {
			early = append(early, v.UploadedAt)
		}
	}
	if len(early) > 0 {
		t.Errorf("uploaded at %v, before %s", early, was.State.Until)
	}
	after := w.platform.Ledger()
	if got := after.Mutation - before.Mutation; got != 3 {
		t.Errorf("%d Mutation calls for 3 files", got)
	}
	p.terminate()
	w.promises(5, 5)
}

// A fleet is some processes on one broker of their own.
func (w *world) fleet(n int) (*queue.Conn, []*program) {
	w.t.Helper()
	address, port := freePort(w.t)
	broker := natsServer(w.t, port, w.t.TempDir())
	w.t.Cleanup(func() {
		broker.Shutdown()
		broker.WaitForShutdown()
	})
	w.env["NATS_URL"] = "nats://" + address
	conn, err := queue.Connect(w.env["NATS_URL"], discard)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	var all []*program
	for range n {
		all = append(all, w.start(nil, "run", "--json", w.inbox))
	}
	eventually(w.t, time.Minute, "all are there", func() bool { return len(w.status().Workers) == n })
	return conn, all
}

func TestThreeProcessesPauseTogetherAndSendOneProbe(t *testing.T) {
	t.Parallel()
	const granted, files = 20, 60
	w := newWorld(t, sandbox.Options{MutationQuota: granted})
	w.env["AUTHENTA_MUTATION_RATE"] = "50"
	var mu sync.Mutex
	var refused []time.Time
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: func(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		status := &statusRecorder{ResponseWriter: rw}
		next(status, r)
		if status.code == http.StatusTooManyRequests {
			mu.Lock()
			refused = append(refused, time.Now())
			mu.Unlock()
		}
	}})
	_, all := w.fleet(3)
	w.drop(0, files)
	for _, p := range all {
		eventually(t, time.Minute, "uploads are paused", func() bool { return strings.Contains(p.stderr.String(), "uploads paused") })
	}
	mu.Lock()
	together := slices.Clone(refused)
	mu.Unlock()
	for _, at := range together {
		if late := at.Sub(together[0]); *long && late > 100*time.Millisecond { // elsewhere other tests use the machine meanwhile
			t.Errorf("a create was made %s after the first refusal", late)
		}
	}
	if most := 3 * 4; len(together) > most { // those that were under way
		t.Errorf("%d creates were refused, want at most %d", len(together), most)
	}
	t.Logf("%d creates were refused, the last %s after the first", len(together), together[len(together)-1].Sub(together[0]))

	deadline := w.status().Uploads.State.Until
	eventually(t, 2*time.Minute, "the deadline has passed, and a probe was refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().After(deadline) && len(refused) > len(together)
	})
	s := w.status()
	if s.Uploads.Probes != 1 || !s.Uploads.State.Until.After(deadline) {
		t.Errorf("%+v", s.Uploads)
	}
	mu.Lock()
	if probes := len(refused) - len(together); probes != 1 {
		t.Errorf("%d probes", probes)
	}
	mu.Unlock()
	w.platform.Grant(unlimited)
	w.command("resume")
	eventually(t, finishTime, "all are judged", func() bool {
		s := w.status()
		return s.Queued+s.Awaiting == 0 && len(w.platform.Ledger().Paid) == files
	})
	if twice := w.platform.Ledger().PaidTwice(); len(twice) > 0 {
		t.Errorf("paid twice: %v", twice)
	}
}

// A statusRecorder notes the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	code int
}

func (r *statusRecorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func TestTheRatesOfAllProcessesAddUpToTheConfiguredOneAlsoAfterOneIsKilled(t *testing.T) {
	t.Parallel()
	const rate = 10
	w := newWorld(t, sandbox.Options{})
	w.env["AUTHENTA_MUTATION_RATE"] = fmt.Sprint(rate)
	var mu sync.Mutex
	var creates []time.Time
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: func(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		mu.Lock()
		creates = append(creates, time.Now())
		mu.Unlock()
		next(rw, r)
	}})
	_, all := w.fleet(3)
	w.drop(0, 500)
	in := func(from time.Time, d time.Duration) int {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for _, at := range creates {
			if !at.Before(from) && at.Before(from.Add(d)) {
				n++
			}
		}
		return n
	}
	measure := func(when string) {
		t.Helper()
		mu.Lock()
		from := creates[len(creates)-1]
		mu.Unlock()
		eventually(t, time.Minute, "ten seconds have passed", func() bool { return time.Since(from) > 10*time.Second })
		n := in(from, 10*time.Second)
		t.Logf("%s: %d creates in 10 s", when, n)
		if n > 10*rate+3 { // what may come at once
			t.Errorf("%s: %d creates in 10 s, at most %d", when, n, 10*rate)
		}
		if *long && n < 10*rate*9/10 { // elsewhere other tests use the machine meanwhile
			t.Errorf("%s: %d creates in 10 s, want %d", when, n, 10*rate)
		}
	}
	eventually(t, time.Minute, "creates are made", func() bool { mu.Lock(); defer mu.Unlock(); return len(creates) > 2*rate })
	measure("three processes")
	all[0].kill()
	eventually(t, time.Minute, "it is counted out", func() bool { return len(w.status().Workers) == 2 })
	measure("two, after one was killed")
}
