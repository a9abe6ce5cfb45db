package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// A world is what the program runs in: a simulated platform that survives it, a folder that it watches, and the
// folder of its state.
type world struct {
	t        *testing.T
	platform *sandbox.Platform
	inbox    string
	state    string
	env      map[string]string
	finds    func(sha256 [32]byte) sandbox.Outcome // what the platform finds in a content
}

func newWorld(t *testing.T, o sandbox.Options) *world {
	t.Helper()
	if o.Credits == 0 {
		o.Credits = sandbox.Unlimited
	}
	if o.MutationQuota == 0 {
		o.MutationQuota = sandbox.Unlimited
	}
	if o.QueryQuota == 0 {
		o.QueryQuota = sandbox.Unlimited
	}
	if o.Outcome == nil {
		o.Outcome = sandbox.OutcomeOf
	}
	o.ClientID, o.ClientSecret = "test-id", "test-secret-2f9c"
	platform, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(platform)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		platform.Close()
	})
	dir := t.TempDir()
	w := &world{t: t, platform: platform, inbox: filepath.Join(dir, "inbox"), state: filepath.Join(dir, "state"), finds: o.Outcome}
	if err := os.Mkdir(w.inbox, 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{
		"AUTHENTA_URL": server.URL, "AUTHENTA_CLIENT_ID": o.ClientID, "AUTHENTA_CLIENT_SECRET": o.ClientSecret,
		"AUTHENTA_MUTATION_RATE": "10000", "AUTHENTA_QUERY_RATE": "10000",
		"INGEST_STATE_DIR": w.state, "INGEST_NATS_LISTEN": "off", "INGEST_HTTP": "off", "INGEST_SETTLE": "50ms", "INGEST_SYNC": "always",
	}
	return w
}

// A program is one run of the binary.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout output
	stderr output
	exited chan struct{}
}

// An output may be read while the program writes to it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs the binary with the world's environment and a little more.
func (w *world) start(extra map[string]string, args ...string) *program {
	w.t.Helper()
	return startProgram(w.t, w.env, extra, nil, args...)
}

// raceEnds has the race detector not wait for a second at the end of a program, in which other goroutines might still be found to
// be at fault: there are hundreds of programs.
const raceEnds = "GORACE=atexit_sleep_ms=20"

func startProgram(t *testing.T, env, extra map[string]string, as *syscall.SysProcAttr, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(os.Args[0], args...), exited: make(chan struct{})}
	p.cmd.SysProcAttr = as
	p.cmd.Env = []string{beTheProgram + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), raceEnds}
	all := maps.Clone(env)
	maps.Copy(all, extra)
	for name, value := range all {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%v\nstdout:\n%s\nstderr:\n%s", args, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// wait returns the exit code; -1: ended by a signal.
func (p *program) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // has it tell what each goroutine does
		<-p.exited
		p.t.Fatalf("still running after %s", limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the program as a power cut would end the process, and waits until it is gone.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// eventually waits for a condition.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("after %s still not: %s", limit, what)
		case <-tick.C:
		}
	}
}

// write puts a file into the inbox.
func (w *world) write(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.inbox, name)
	if err := deposit(path, data); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// deposit makes a file, whole: a busy machine may take longer over a write than the worlds' settle time.
func deposit(path string, data []byte) error {
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(hidden, data, 0o644); err != nil {
		return err
	}
	return os.Rename(hidden, path)
}

// picture is a JPEG of its own content for each number.
func picture(n int) []byte {
	head := "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
	return fmt.Appendf([]byte(head), "picture %d %s", n, strings.Repeat(".", 2000))
}

// A terminal is a terminal message as the streams have it.
type terminal struct {
	queue.Head
	Outcome queue.Outcome
	Reason  queue.Reason
	Cached  bool
}

var discard = slog.New(slog.DiscardHandler)

// terminals opens the store that the program has left, and reads all verdicts and failures.
func (w *world) terminals() []terminal {
	w.t.Helper()
	// nothing is written: a sync that comes while the server still starts, on a busy machine, is a race of its own
	server, err := embedded.Start(embedded.Options{Dir: w.state, Listen: embedded.Off, Sync: "1h", Log: discard})
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	conn, err := server.Connect()
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	q, err := queue.Open(w.t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		w.t.Fatal(err)
	}
	if d, err := q.Depths(w.t.Context()); err != nil || d != (queue.Depths{}) {
		w.t.Errorf("left on the queue: %+v, %v", d, err)
	}
	return readTerminals(w.t, q)
}

func readTerminals(t *testing.T, q *queue.Queue) []terminal {
	t.Helper()
	end, err := q.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := make(chan terminal)
	sequences := make(chan uint64)
	go func() {
		_ = q.Follow(ctx, queue.Position{}, queue.Reader{
			Verdict: func(v queue.Verdict, _ []byte, n uint64) {
				found <- terminal{Head: v.Head, Outcome: v.Outcome, Cached: v.Cached}
				sequences <- n
			},
			Failure: func(f queue.Failure, _ []byte, n uint64) {
				found <- terminal{Head: f.Head, Reason: f.Reason}
				sequences <- n
			},
		})
	}()
	var all []terminal
	for range end.Verdicts + end.Failures { // neither stream has dropped any
		select {
		case one := <-found:
			all = append(all, one)
			<-sequences
		case <-ctx.Done():
			t.Fatalf("read %d of %d verdicts and %d failures", len(all), end.Verdicts, end.Failures)
		}
	}
	return all
}

// promises checks what must hold at rest: each content paid exactly once, each drop exactly one distinct answer.
func (w *world) promises(files, contents int) {
	w.t.Helper()
	w.check(w.terminals(), files, contents)
}

func (w *world) check(terminals []terminal, files, contents int) {
	w.t.Helper()
	ledger := w.platform.Ledger()
	if len(ledger.Paid) != contents {
		w.t.Errorf("%d contents were paid for, want %d", len(ledger.Paid), contents)
	}
	if twice := ledger.PaidTwice(); len(twice) > 0 {
		w.t.Errorf("paid more than once: %v", twice)
	}
	answers := map[queue.DropID]map[string]bool{}
	uris := map[string][]queue.DropID{}
	for _, m := range terminals {
		if answers[m.ID] == nil {
			answers[m.ID] = map[string]bool{}
			uris[m.URI] = append(uris[m.URI], m.ID)
		}
		said := string(m.Outcome) + string(m.Reason)
		answers[m.ID][said] = true
		if want := w.wants(m.Digest); said != want {
			w.t.Errorf("%s was answered with %s, want %s", m.URI, said, want)
		}
	}
	for id, said := range answers {
		if len(said) != 1 {
			w.t.Errorf("drop %s was answered in different ways: %v", id, slices.Collect(maps.Keys(said)))
		}
	}
	for uri, ids := range uris {
		if len(ids) != 1 {
			w.t.Errorf("%s has %d drops: %v", uri, len(ids), ids)
		}
	}
	if len(uris) != files {
		w.t.Errorf("%d files were answered, want %d", len(uris), files)
	}
}

// wants is the answer to a content, an outcome or a reason.
func (w *world) wants(d queue.Digest) string {
	var sum [32]byte
	if n, err := hex.Decode(sum[:], []byte(d)); err != nil || n != len(sum) {
		w.t.Errorf("%q is no digest", d)
	}
	switch w.finds(sum).Verdict {
	case sandbox.Fake:
		return string(queue.Fake)
	case sandbox.Real:
		return string(queue.Real)
	case sandbox.Failed:
		return string(queue.AnalysisFailed)
	}
	return string(queue.Inconclusive)
}

// verdictLines decodes what --json has printed.
func (p *program) verdictLines() []queue.Verdict {
	p.t.Helper()
	var all []queue.Verdict
	for line := range strings.Lines(p.stdout.String()) {
		var v queue.Verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			p.t.Fatalf("not a verdict: %q: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}
