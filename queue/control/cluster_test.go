package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// patience bounds every wait for something that has to happen.
const patience = time.Minute

var quiet = slog.New(slog.DiscardHandler)

// A broker is an embedded server and connections to it, one a process.
type broker struct {
	t      *testing.T
	server *embedded.Server
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Listen: embedded.Off, Sync: "1s", Log: quiet})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	return &broker{t, server}
}

func (b *broker) queue() *queue.Queue {
	b.t.Helper()
	conn, err := b.server.Connect()
	must(b.t, err)
	b.t.Cleanup(conn.Close)
	q, err := queue.Open(deadline(b.t), conn, queue.Options{Platform: "https://platform.example", Log: quiet})
	must(b.t, err)
	return q
}

// A process is one place in a cluster.
type process struct {
	*control.Cluster
	stop func() // takes its leave
	kill func() // is gone without a word
}

// join starts a process and waits until the cluster knows of it.
func (b *broker) join(change ...func(*control.Options)) *process {
	b.t.Helper()
	q := b.queue()
	o := control.Options{Queue: q, MutationRate: 5, QueryRate: 10, Log: quiet}
	for _, c := range change {
		c(&o)
	}
	p := &process{Cluster: control.New(o)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				b.t.Errorf("cluster: %v", err)
			}
		case <-time.After(patience):
			b.t.Error("a cluster does not end")
		}
	})
	p.stop = end
	p.kill = func() { q.NATS().Close() }
	b.t.Cleanup(func() {
		if q.NATS().IsClosed() { // killed: what it says in the end does not matter
			cancel()
			<-ended
			return
		}
		end()
	})
	must(b.t, p.Synced(deadline(b.t)))
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func refuse(t *testing.T, g *control.Gate, c control.Call, why control.Why) {
	t.Helper()
	g.Refused(deadline(t), g.Now(), control.Refusal{Call: c, Why: why, Code: "AA001", Message: "API limit reached"})
}

func TestProcessesCloseAGateTogetherAndOneSendsTheProbe(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	all := []*process{b.join(), b.join(), b.join()}
	refuse(t, all[0].Uploads, control.Create, control.Throttled)
	closed := time.Now()
	for _, p := range all {
		await(t, "closed", func() bool { return p.Uploads.State().Why == control.Throttled })
	}
	t.Logf("closed for all after %s", time.Since(closed).Round(time.Millisecond))

	var probes sync.Map
	ctx, cancel := context.WithTimeout(t.Context(), 13*time.Second) // the wait of ten, and its jitter
	defer cancel()
	var group sync.WaitGroup
	for i, p := range all {
		for range 4 {
			group.Go(func() {
				for p.Uploads.Wait(ctx) == nil {
					if ticket, ok := p.Uploads.Enter(ctx, control.Create); ok {
						probes.Store(ticket, i)
						return
					}
				}
			})
		}
	}
	group.Wait()
	n := 0
	probes.Range(func(ticket, i any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d probes", n)
	}
}

func TestARestartWhilePausedIsStillPausedUntilTheSameTime(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	first := b.join()
	refuse(t, first.Polls, control.Query, control.Quota)
	was := first.Polls.State()
	first.stop()
	second := b.join()
	is := second.Polls.State()
	if is.Why != control.Quota || !is.Until.Equal(was.Until) || is.Code != "AA001" {
		t.Errorf("was %+v, is %+v", was, is)
	}
	if _, ok := second.Polls.Enter(deadline(t), control.Query); ok {
		t.Error("a call was let through")
	}
}

func TestAProcessThatLeavesOrDiesIsCountedOut(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	stays, leaves, dies := b.join(), b.join(), b.join()
	await(t, "three are there", func() bool { return stays.Size() == 3 && leaves.Size() == 3 && dies.Size() == 3 })
	leaves.stop()
	at := time.Now()
	await(t, "one has left", func() bool { return stays.Size() == 2 })
	t.Logf("noticed after %s that one has left", time.Since(at).Round(time.Millisecond))
	dies.kill()
	at = time.Now()
	await(t, "one is alone", func() bool { return stays.Size() == 1 })
	t.Logf("noticed after %s that one has died", time.Since(at).Round(10*time.Millisecond))
	if m := stays.Members(); len(m) != 1 || m[0].ID != stays.Self.ID || m[0].PID == 0 || m[0].Host == "" {
		t.Errorf("%+v", m)
	}
}

// events reads the kinds of all events so far.
func events(t *testing.T, q *queue.Queue) map[string][]control.GateEvent {
	t.Helper()
	js, err := jetstream.New(q.NATS())
	must(t, err)
	s, err := js.Stream(deadline(t), "authenta-events")
	must(t, err)
	all := map[string][]control.GateEvent{}
	state := s.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && seq > 0; seq++ {
		msg, err := s.GetMsg(deadline(t), seq)
		must(t, err)
		var e control.GateEvent
		must(t, json.Unmarshal(msg.Data, &e))
		kind := msg.Subject[len("authenta.events."):]
		all[kind] = append(all[kind], e)
	}
	return all
}

func TestEventsTellOnceWhatHasHappened(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	one, two, three := b.join(), b.join(), b.join()
	await(t, "three are there", func() bool { return one.Size() == 3 && two.Size() == 3 })
	for _, p := range []*process{one, two} { // both are told so by the platform
		refuse(t, p.Uploads, control.Create, control.Quota)
	}
	await(t, "all know", func() bool { return two.Uploads.State().Closed() && three.Uploads.State().Closed() })
	must(t, three.Uploads.Resume(deadline(t)))
	three.stop()
	await(t, "the third has left", func() bool { return one.Size() == 2 && two.Size() == 2 })
	await(t, "the events are there", func() bool { return len(events(t, one.Queue)["worker_left"]) > 0 })
	one.stop() // what it has to say is said
	two.stop()
	all := events(t, b.queue())
	if n := len(all["paused"]); n != 1 {
		t.Errorf("%d times paused: %+v", n, all["paused"])
	}
	if n := len(all["resumed"]); n != 1 {
		t.Errorf("%d times resumed: %+v", n, all["resumed"])
	}
	if e := all["paused"]; len(e) > 0 && (e[0].Gate != "uploads" || e[0].Why != control.Quota || e[0].Code != "AA001" || e[0].Until.IsZero()) {
		t.Errorf("%+v", e[0])
	}
	if joined, left := len(all["worker_joined"]), len(all["worker_left"]); joined != 3 || left < 1 {
		t.Errorf("%d joined, %d left", joined, left)
	}
}

func TestTheServicePausesResumesAndTellsTheStatus(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	quotas := func(o *control.Options) { o.MutationQuota, o.QueryQuota = 100, 150 }
	one, two := b.join(quotas), b.join(quotas)
	remote := control.Remote{Conn: b.queue().NATS(), Namespace: "authenta"}
	var s control.Status
	await(t, "the service answers", func() bool {
		var err error
		s, err = remote.Status(deadline(t))
		return err == nil
	})
	if s.Uploads.Paused || s.Polls.Paused || s.Budget == nil || s.Budget.Files != 100 || len(s.Workers) != 2 || s.Rates.Query != 10 {
		t.Errorf("%+v", s)
	}
	s, err := remote.Pause(deadline(t), control.PauseRequest{Gates: control.OfPolls, For: "1h", Message: "maintenance"})
	must(t, err)
	if !s.Polls.Paused || s.Polls.Hold == nil || s.Polls.Hold.Message != "maintenance" || !s.Uploads.Paused || s.Uploads.WaitsFor != "polls" {
		t.Errorf("%+v", s)
	}
	for _, p := range []*process{one, two} {
		await(t, "all are paused", func() bool { return p.Polls.State().Hold != nil })
	}
	s, err = remote.Resume(deadline(t), control.ResumeRequest{Gates: control.OfAll})
	must(t, err)
	if s.Polls.Paused || s.Uploads.Paused {
		t.Errorf("%+v", s)
	}
	if _, err := remote.Pause(deadline(t), control.PauseRequest{Gates: "everything"}); err == nil {
		t.Error("paused everything")
	}
}

func TestTheBudgetIsOneForAllAndIsNeverOverrun(t *testing.T) {
	t.Parallel()
	const granted = 25
	b := newBroker(t)
	quotas := func(o *control.Options) { o.MutationQuota = granted }
	all := []*process{b.join(quotas), b.join(quotas), b.join(quotas)}
	var group sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for _, p := range all {
		for range 4 {
			group.Go(func() {
				for {
					err := p.Budget.Create(deadline(t), "job")
					if errors.Is(err, control.ErrSpent) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					made++
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	if made != granted {
		t.Errorf("%d calls of %d that were granted", made, granted)
	}
}

func TestAGateThatTheBudgetClosedOpensWhenMoreIsGranted(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	few := b.join(func(o *control.Options) { o.MutationQuota = 1 })
	must(t, few.Budget.Create(deadline(t), "a"))
	if err := few.Budget.Create(deadline(t), "b"); !errors.Is(err, control.ErrSpent) {
		t.Fatalf("%v", err)
	}
	refuse(t, few.Uploads, control.Create, control.Spent)
	await(t, "closed", func() bool { return few.Uploads.State().Why == control.Spent })
	more := b.join(func(o *control.Options) { o.MutationQuota = 2 }) // the daemon is started again with another setting
	for _, p := range []*process{few, more} {
		await(t, "open", func() bool { return !p.Uploads.State().Closed() })
	}
	must(t, more.Budget.Create(deadline(t), "b"))
	if c := more.Budget.Counts().Mutation; c.Spent != 2 || c.Left() != 0 {
		t.Errorf("%+v", c)
	}
	must(t, more.Budget.Renewed(deadline(t)))
	if c := more.Budget.Counts().Mutation; c.Spent != 0 {
		t.Errorf("%+v", c)
	}
}

func TestOnlyThoseThatWorkHaveAShareAndAreCounted(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	as := func(role control.Role, host string, dirs ...string) *process {
		return b.join(func(o *control.Options) { o.Role, o.Host, o.Dirs = role, host, dirs })
	}
	watcher, worker, both := as(control.RoleWatcher, "nas", "/srv/in"), as(control.RoleWorker, "gpu"), as("", "", "/srv/in", "/srv/more")
	old := []byte(`{"id":"old","host":"h","pid":1,"since":"2026-01-02T03:04:05Z"}`) // of a version without roles
	must(t, worker.Queue.Control().Announce(deadline(t), "worker.old", old, time.Minute))
	for _, p := range []*process{watcher, worker, both} {
		await(t, "all are there", func() bool { return len(p.Members()) == 4 })
		if p.Size() != 3 || len(p.Workers()) != 3 || p.Alone() {
			t.Errorf("%s: %d have files judged, want 3: %+v", p.Self.Role, p.Size(), p.Workers())
		}
		if p.Leads() {
			t.Errorf("%s leads, and another is there for longer", p.Self.Role)
		}
	}
	for _, m := range watcher.Members() {
		if m.ID == watcher.Self.ID && (m.Role != control.RoleWatcher || m.Host != "nas" || !slices.Equal(m.Dirs, []string{"/srv/in"})) {
			t.Errorf("%+v", m)
		}
		if m.ID == both.Self.ID && (m.Role != control.RoleAll || m.Host != control.Machine() || len(m.Dirs) != 2) {
			t.Errorf("%+v", m)
		}
	}
	must(t, worker.Queue.Control().Remove(deadline(t), "worker.old"))
	both.stop()
	await(t, "the two have left", func() bool { return len(watcher.Members()) == 2 && len(worker.Members()) == 2 })
	if watcher.Size() != 1 || watcher.Alone() || worker.Size() != 1 || !worker.Alone() || !watcher.Leads() {
		t.Errorf("%d, %d", watcher.Size(), worker.Size())
	}
	await(t, "it is told what has left", func() bool { return len(events(t, worker.Queue)["worker_left"]) > 0 })
	watcher.stop()
	await(t, "and what else", func() bool { return len(events(t, worker.Queue)["watcher_left"]) > 0 })
	if e := events(t, worker.Queue); len(e["watcher_joined"]) != 1 || len(e["worker_joined"]) != 2 {
		t.Errorf("%d watchers and %d workers have joined", len(e["watcher_joined"]), len(e["worker_joined"]))
	}
}

// A watcher need not be told what the account was granted, and must not have the count forget it.
func TestAWatcherLeavesTheBudgetAsItIs(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	worker := b.join(func(o *control.Options) { o.Role, o.MutationQuota = control.RoleWorker, 7 })
	b.join(func(o *control.Options) { o.Role = control.RoleWatcher })
	must(t, worker.Budget.Create(deadline(t), "a")) // over the record as it is now
	if c := worker.Budget.Counts().Mutation; c.Granted != 7 || c.Spent != 1 {
		t.Errorf("%+v", c)
	}
}
