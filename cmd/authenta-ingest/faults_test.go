package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// Everything at once: a platform that answers badly, processes and a broker that are killed, files that come meanwhile,
// some of them copies of others in another process's folder.
func TestWithFaultsOfEveryKindNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	files, trouble := 80, 20*time.Second
	if *long {
		files, trouble = 2000, 4*time.Minute
	}
	w := newWorld(t, sandbox.Options{Seed: seed, Latency: 500 * time.Millisecond, Spread: time.Second, Outcome: oneInTwentyFails})
	var hit hits
	w.platform.Faults(faultsOfEveryKind(&hit)...)
	c := w.cluster(3)

	var dropped []string // their URIs
	contents := map[int]bool{}
	writer := rand.New(rand.NewPCG(seed, 1))
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for n := range files {
			content := n
			if n > 0 && writer.IntN(10) == 0 {
				content = writer.IntN(n)
			}
			m := c.members[writer.IntN(len(c.members))]
			path := filepath.Join(m.inbox, fmt.Sprintf("%04d.jpg", n))
			data := append(picture(content), strings.Repeat("-", content%8*16<<10)...)
			if err := deposit(path, data); err != nil {
				t.Error(err)
				return
			}
			dropped = append(dropped, "file://"+path)
			contents[content] = true
			c.contents.Store(int64(len(contents)))
			<-time.After(upTo(writer, 2*trouble/time.Duration(files)))
		}
	}()
	began := time.Now()
	for n := 1; time.Since(began) < trouble; n++ {
		<-time.After(time.Second + upTo(random, 1500*time.Millisecond)) // a process needs some of it to begin
		if n%4 > 0 {
			c.restart(random.IntN(len(c.members)), upTo(random, time.Second))
		} else {
			c.restartBroker(upTo(random, 2*time.Second))
		}
	}
	<-writing
	w.platform.Faults()
	t.Logf("%d processes and %d brokers were killed, %d processes when not all was uploaded", c.kills, c.brokerKills, c.amidst)
	t.Logf("faults: %s", &hit)
	t.Logf("calls by answer (0: cut): %v", w.platform.Ledger().Calls)
	answered := c.finish(dropped)
	t.Logf("%d files, %d contents; answered %s after the faults began, which lasted %s; %d processes ended by themselves",
		len(dropped), len(contents), time.Since(began).Round(time.Second), trouble, c.ended)
	w.check(answered, len(dropped), len(contents))
	if struck := hit.total(); c.amidst < c.kills/4 || c.kills == 0 || c.brokerKills == 0 || struck < files/10 {
		t.Error("the faults have hit nothing")
	}
}

// upTo is a random duration below d.
func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// oneInTwentyFails is a platform that cannot judge one content in twenty.
func oneInTwentyFails(sha256 [32]byte) sandbox.Outcome {
	if sha256[8] < 256/20 {
		return sandbox.Outcome{Verdict: sandbox.Failed}
	}
	return sandbox.OutcomeOf(sha256)
}

// hits count what has struck.
type hits struct {
	mu    sync.Mutex
	count map[string]int
}

func (h *hits) counted(name string, do sandbox.Effect) sandbox.Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		h.mu.Lock()
		if h.count == nil {
			h.count = map[string]int{}
		}
		h.count[name]++
		h.mu.Unlock()
		do(w, r, next)
	}
}

func (h *hits) total() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.count {
		n += k
	}
	return n
}

func (h *hits) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h.count)) {
		all = append(all, fmt.Sprintf("%s %d", name, h.count[name]))
	}
	return strings.Join(all, ", ")
}

// faultsOfEveryKind strike a call in twenty each.
func faultsOfEveryKind(h *hits) []sandbox.Fault {
	kinds := map[string]sandbox.Effect{
		"500":     sandbox.ServerError,
		"hang":    hang,
		"garbage": sandbox.Garbage,
		"lost":    sandbox.CutAfter,
	}
	storage := map[string]sandbox.Effect{
		"500":  sandbox.Answer(http.StatusInternalServerError, "application/xml", "<Error><Code>InternalError</Code></Error>"),
		"hang": hang,
		"cut":  sandbox.CutBody,
		"lost": sandbox.CutAfter,
	}
	var all []sandbox.Fault
	add := func(op sandbox.Op, kinds map[string]sandbox.Effect) {
		for _, kind := range slices.Sorted(maps.Keys(kinds)) { // in one order, for the seed's sake
			all = append(all, sandbox.Fault{Op: op, Rate: 0.05, Do: h.counted(string(op)+" "+kind, kinds[kind])})
		}
	}
	add(sandbox.OpCreate, kinds)
	add(sandbox.OpPut, storage)
	add(sandbox.OpGet, kinds)
	add(sandbox.OpList, kinds)
	return all
}

// hang lets a call wait for some seconds, does the work, and cuts the connection: half a minute, which is what the client
// would wait, shows no more than that.
func hang(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	sandbox.Delay(3*time.Second)(w, r, func(w http.ResponseWriter, r *http.Request) { sandbox.CutAfter(w, r, next) })
}

// A cluster is some processes with a folder each, on a broker that is a process too. Any of them may be killed at any time.
type cluster struct {
	*world
	port    int
	store   string
	broker  *program
	members []*member

	contents atomic.Int64 // that were dropped so far

	kills, amidst, brokerKills, ended int
}

// A member is one of the processes, with what is its own.
type member struct {
	inbox, temp, state string
	run                *program
}

func (w *world) cluster(n int) *cluster {
	w.t.Helper()
	address, port := freePort(w.t)
	w.env["NATS_URL"] = "nats://" + address
	c := &cluster{world: w, port: port, store: w.t.TempDir()}
	c.startBroker()
	for range n {
		dir := w.t.TempDir()
		m := &member{inbox: filepath.Join(dir, "inbox"), temp: filepath.Join(dir, "temp"), state: filepath.Join(dir, "state")}
		for _, d := range []string{m.inbox, m.temp} {
			if err := os.Mkdir(d, 0o755); err != nil {
				w.t.Fatal(err)
			}
		}
		c.members = append(c.members, m)
		c.startMember(m)
	}
	return c
}

func (c *cluster) startBroker() {
	c.t.Helper()
	c.broker = startProgram(c.t, map[string]string{beTheBroker: fmt.Sprint(c.port), brokerStore: c.store}, nil, nil)
}

func (c *cluster) startMember(m *member) {
	c.t.Helper()
	m.run = c.start(map[string]string{"INGEST_STATE_DIR": m.state, "TMPDIR": m.temp, findLeaks: "1"}, "run", m.inbox)
}

// restart kills a process, and starts it again after a while.
func (c *cluster) restart(i int, after time.Duration) {
	c.t.Helper()
	m := c.members[i]
	if c.noticeEnd(m) {
		return
	}
	m.run.kill()
	c.kills++
	if judged := c.platform.Ledger().Finished; len(judged) < int(c.contents.Load()) {
		c.amidst++
	}
	<-time.After(after)
	c.startMember(m)
}

// restartBroker kills the broker, and starts it again on its store after a while.
func (c *cluster) restartBroker(after time.Duration) {
	c.t.Helper()
	c.broker.kill()
	c.brokerKills++
	<-time.After(after)
	c.startBroker()
}

// noticeEnd starts a process again that has ended by itself, as a supervisor does.
func (c *cluster) noticeEnd(m *member) bool {
	c.t.Helper()
	select {
	case <-m.run.exited:
	default:
		return false
	}
	c.ended++
	c.t.Logf("a process ended by itself with %d:\n%s", m.run.cmd.ProcessState.ExitCode(), m.run.stderr.String())
	c.startMember(m)
	return true
}

// finish waits until all that was dropped is answered, ends the processes, checks that they leave nothing behind, and
// returns what the streams say.
func (c *cluster) finish(dropped []string) []terminal {
	c.t.Helper()
	conn, err := queue.Dial(c.t.Context(), queue.Server{URL: c.env["NATS_URL"]}, discard)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	var q *queue.Queue
	eventually(c.t, time.Minute, "the broker has its streams again", func() bool {
		q, err = queue.Open(c.t.Context(), conn, queue.Options{Log: discard})
		return err == nil
	})
	var missing []string
	defer func() {
		if c.t.Failed() {
			c.t.Logf("not answered: %v; on the queue: %s", missing, c.onTheQueue(conn))
		}
	}()
	eventually(c.t, finishTime, "all files are answered, and the queue is empty", func() bool {
		for _, m := range c.members {
			c.noticeEnd(m)
		}
		depths, err := q.Depths(c.t.Context())
		if err != nil || depths != (queue.Depths{}) {
			return false
		}
		answered := map[string]bool{}
		for _, m := range readTerminals(c.t, q) {
			answered[m.URI] = true
		}
		missing = slices.DeleteFunc(slices.Clone(dropped), func(uri string) bool { return answered[uri] })
		return len(missing) == 0
	})
	for _, m := range c.members { // together: each takes some seconds
		if err := m.run.cmd.Process.Signal(os.Interrupt); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, m := range c.members {
		if code := m.run.wait(time.Minute); code != exitDone {
			c.t.Errorf("exit code %d, where %d says that goroutines were left", code, exitLeak)
		}
		wantFiles(c.t, m.temp)
		wantFiles(c.t, m.state)
		var names []string
		for _, uri := range dropped {
			if path := strings.TrimPrefix(uri, "file://"); filepath.Dir(path) == m.inbox {
				names = append(names, filepath.Base(path))
			}
		}
		wantFiles(c.t, m.inbox, names...)
	}
	return readTerminals(c.t, q)
}

// onTheQueue tells what is there, and what the broker thinks of it.
func (c *cluster) onTheQueue(conn *queue.Conn) string {
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		return err.Error()
	}
	ctx := context.Background() // the test may be over
	jobs, err := js.Stream(ctx, "authenta-jobs")
	if err != nil {
		return err.Error()
	}
	info, err := jobs.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return err.Error()
	}
	said := fmt.Sprintf("%+v", info.State)
	for _, stage := range []queue.Stage{queue.Upload, queue.Await} {
		if consumer, err := jobs.Consumer(ctx, string(stage)); err == nil {
			i := consumer.CachedInfo()
			said += fmt.Sprintf("\n%s: delivered %+v, floor %+v, %d pending, %d in hand", stage, i.Delivered, i.AckFloor, i.NumPending, i.NumAckPending)
		}
	}
	ledger, err := js.KeyValue(ctx, "authenta-ledger")
	for subject := range info.State.Subjects {
		if err == nil {
			if record, err := ledger.Get(ctx, subject[strings.LastIndexByte(subject, '.')+1:]); err == nil {
				said += "\n" + string(record.Value())
			}
		}
	}
	return said
}

// wantFiles checks that a folder holds exactly these. One that does not exist holds nothing.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
