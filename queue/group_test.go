package queue_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/queue"
)

// A record written to the ledger, and what became of it.
type written struct {
	job  queue.Job
	over uint64
	seq  uint64
	err  error
}

// record makes up a job's record, whose name tells it from others of the job.
func recordOf(n int, name string) queue.Job {
	j := newJob(submission(fmt.Sprint(n), fmt.Sprintf("/in/%d.mp4", n)))
	j.Name = name
	return j
}

// together has records written by one goroutine each, which meet.
func together(t *testing.T, q *queue.Queue, all []*written) {
	t.Helper()
	waiting, release := queue.Gather(q)
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() { w.write(deadline(t), q) })
	}
	await(t, "all writers wait", func() bool { return waiting() == len(all) })
	release()
	wg.Wait()
}

func (w *written) write(ctx context.Context, q *queue.Queue) {
	r, err := queue.Store(q, ctx, w.job, w.over)
	w.seq, w.err = r.Revision(), err
}

// check reports a write that was acknowledged and is not what the ledger has.
func (w *written) check(t *testing.T, q *queue.Queue) {
	t.Helper()
	r, err := found(t, q, w.job.Key)
	if err != nil || r.Revision() != w.seq || r.Name != w.job.Name {
		t.Errorf("%s was written as revision %d; the ledger has %s of revision %d, %v", w.job.Name, w.seq, r.Name, r.Revision(), err)
	}
}

// found reads a record, or that there is none, once the broker is back.
func found(t *testing.T, q *queue.Queue, key queue.JobKey) (r queue.Record, err error) {
	t.Helper()
	await(t, "the broker answers", func() bool {
		r, err = queue.Load(q, deadline(t), key)
		return err == nil || errors.Is(err, queue.ErrNoJob)
	})
	return r, err
}

// batches counts the messages of a stream by the batch that brought them; "" are those that came alone.
func batches(t *testing.T, q *queue.Queue, stream string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, m := range messages(t, q, stream) {
		found[m.Header.Get("Nats-Batch-Id")]++
	}
	return found
}

func TestWritesThatMeetAreOneBatch(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	var all []*written
	for i := range 20 {
		all = append(all, &written{job: recordOf(i, "together")})
	}
	together(t, q, all)
	for _, w := range all {
		if w.err != nil {
			t.Fatal(w.err)
		}
		w.check(t, q)
	}
	if got := batches(t, q, "ledger"); len(got) != 1 || got[""] != 0 {
		t.Errorf("batches %v, want one of 20", got)
	}
}

func TestFewWritesGoAlone(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	first := &written{job: recordOf(0, "alone")}
	first.write(deadline(t), q)
	all := []*written{{job: recordOf(1, "a few")}, {job: recordOf(2, "a few")}, {job: recordOf(3, "a few")}}
	together(t, q, all)
	for _, w := range append(all, first) {
		if w.err != nil {
			t.Fatal(w.err)
		}
		w.check(t, q)
	}
	if got := batches(t, q, "ledger"); len(got) != 1 || got[""] != 4 {
		t.Errorf("batches %v, want none", got)
	}
}

func TestMoreWritesThanABatchTakes(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	var all []*written
	for i := range queue.BatchWrites + 10 {
		all = append(all, &written{job: recordOf(i, "many")})
	}
	for i := range 10 { // more than the bytes of one
		j := recordOf(queue.BatchWrites+100+i, "large")
		j.UploadURL = strings.Repeat("x", 900_000)
		all = append(all, &written{job: j})
	}
	together(t, q, all)
	sequences := map[uint64]bool{}
	for i, w := range all {
		if w.err != nil {
			t.Fatal(w.err)
		}
		if sequences[w.seq] = true; i%50 == 0 {
			w.check(t, q)
		}
	}
	if len(sequences) != len(all) {
		t.Errorf("%d writes have %d revisions", len(all), len(sequences))
	}
	if got := batches(t, q, "ledger"); len(got) < 3 || len(got) > 6 {
		t.Errorf("%d batches", len(got))
	}
}

// What is wrong with one write of a batch is no matter for the others.
func TestABatchHurtsNoneOfItsWrites(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, q *queue.Queue) []*written // writes that fail; they have names of their own
		want  error
	}{
		"there is one": {func(t *testing.T, q *queue.Queue) []*written {
			known := written{job: recordOf(100, "known")}
			known.write(deadline(t), q)
			return []*written{{job: recordOf(100, "over a known one")}}
		}, queue.ErrConflict},
		"there is none": {func(t *testing.T, q *queue.Queue) []*written {
			return []*written{{job: recordOf(100, "over none"), over: 77}}
		}, queue.ErrConflict},
		"several conflicts": {func(t *testing.T, q *queue.Queue) (all []*written) {
			for i := range 5 {
				all = append(all, &written{job: recordOf(100+i, "over none"), over: 77})
			}
			return all
		}, queue.ErrConflict},
		"too large for a message": {func(t *testing.T, q *queue.Queue) []*written {
			j := recordOf(100, "large")
			j.UploadURL = strings.Repeat("x", 2<<20)
			return []*written{{job: j}}
		}, nats.ErrMaxPayload},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newStore(t).Queue
			bad := c.spoil(t, q)
			all := bad
			for i := range 20 {
				all = append(all, &written{job: recordOf(i, "good")})
			}
			together(t, q, all)
			for i, w := range all {
				switch {
				case i < len(bad):
					if !errors.Is(w.err, c.want) {
						t.Errorf("%s: %v, want %v", w.job.Name, w.err, c.want)
					}
				case w.err != nil:
					t.Errorf("%s: %v", w.job.Name, w.err)
				default:
					w.check(t, q)
				}
			}
		})
	}
}

func TestAmongWritersOfOneRecordInABatchOneWins(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	var all []*written
	for i := range 20 {
		all = append(all, &written{job: recordOf(1, fmt.Sprint("writer ", i))}, &written{job: recordOf(10+i, "other")})
	}
	together(t, q, all)
	won := 0
	for _, w := range all {
		switch {
		case w.err == nil:
			w.check(t, q)
			if w.job.Name != "other" {
				won++
			}
		case !errors.Is(w.err, queue.ErrConflict) || w.job.Name == "other":
			t.Errorf("%s: %v", w.job.Name, w.err)
		}
	}
	if won != 1 {
		t.Errorf("%d writers of one record have won", won)
	}
}

// A batch does not fit: those of its writes that do are taken.
func TestABatchFillsTheLedger(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	setMaxBytes(t, q, "KV_authenta-ledger", 10_000)
	var all []*written
	for i := range 30 {
		all = append(all, &written{job: recordOf(i, "full")})
	}
	together(t, q, all)
	taken := 0
	for _, w := range all {
		if w.err == nil {
			taken++
			w.check(t, q)
		} else if !errors.Is(w.err, queue.ErrFull) {
			t.Error(w.err)
		}
	}
	if taken < 5 || taken == len(all) {
		t.Errorf("%d of %d taken", taken, len(all))
	}
}

func TestAWriterThatDoesNotWaitForItsBatchIsLeftOut(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	waiting, release := queue.Gather(q)
	ctx, cancel := context.WithCancel(context.Background())
	gone, other := &written{job: recordOf(1, "gone")}, &written{job: recordOf(2, "other")}
	var wg, leaving sync.WaitGroup
	leaving.Go(func() { gone.write(ctx, q) })
	wg.Go(func() { other.write(deadline(t), q) })
	await(t, "both wait", func() bool { return waiting() == 2 })
	cancel()
	leaving.Wait()
	release()
	wg.Wait()
	if !errors.Is(gone.err, context.Canceled) {
		t.Error(gone.err)
	}
	if _, err := queue.Load(q, deadline(t), gone.job.Key); !errors.Is(err, queue.ErrNoJob) {
		t.Errorf("the record of a writer that was gone: %v", err)
	}
	if other.check(t, q); other.err != nil {
		t.Error(other.err)
	}
}

// The broker takes no batches any more: somebody has set the stream up so, as an earlier version of this program has.
func TestABrokerThatTakesNoBatchesIsWrittenToAlone(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	q := st.Queue
	stream := lookUp(t, q, "KV_authenta-ledger")
	config := stream.CachedInfo().Config
	config.AllowAtomicPublish = false
	if _, err := queue.JetStreamOf(q).UpdateStream(deadline(t), config); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if n == 1 {
			q = openQueue(t, st.conn) // which sets it up anew
		}
		var all []*written
		for i := range 20 {
			all = append(all, &written{job: recordOf(20*n+i, "alone, then not")})
		}
		together(t, q, all)
		for _, w := range all {
			if w.err != nil {
				t.Fatal(w.err)
			}
			w.check(t, q)
		}
		if got := batches(t, q, "ledger"); got[""] != 20 || len(got) != 1+n {
			t.Errorf("batches %v", got)
		}
	}
}

func TestManyFilesRememberedAtATime(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	path := func(n int) string { return fmt.Sprintf("/in/%d.mp4", n) }
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := q.Registry("").Remember(deadline(t), queue.FileKeyOf(path(i)), queue.FileEntry{URI: queue.FileURI(path(i)), Drops: []queue.DropID{"drop"}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 100 {
		if e, err := q.Registry("").Entry(deadline(t), queue.FileKeyOf(path(i))); err != nil || e == nil || e.URI != queue.FileURI(path(i)) {
			t.Errorf("%s: %v, %v", path(i), e, err)
		}
	}
}

// Content that is known is looked for, and found, whether or not it was looked for first.
func TestKnownContentAmongNew(t *testing.T) {
	t.Parallel()
	q := newStore(t).Queue
	known := func(n int) bool { return n%3 == 0 }
	var wg sync.WaitGroup
	for i := range 90 {
		content := fmt.Sprint(i)
		if known(i) {
			submit(t, q, submission(content, "/in/first.mp4"), queue.AcceptedNew)
		}
		wg.Go(func() {
			want := queue.AcceptedNew
			if known(i) {
				want = queue.AcceptedJoined
			}
			if got, err := q.Submit(deadline(t), submission(content, fmt.Sprintf("/in/%d.mp4", i))); got != want || err != nil {
				t.Errorf("content %d: %s, %v, want %s", i, got, err, want)
			}
		})
	}
	wg.Wait()
	wantDepths(t, q, queue.Depths{Upload: 90})
}

func TestAnswersToABatch(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]uint64{
		`{"stream":"s","seq":12,"batch":"id","count":3}`:                                           12,
		`{"stream":"s","seq":12,"batch":"other","count":3}`:                                        0,
		`{"stream":"s","seq":12,"batch":"id","count":2}`:                                           0,
		`{"stream":"s","seq":12}`:                                                                  0, // of a server that knows no batches
		`{"error":{"code":400,"err_code":10176,"description":"incomplete"},"stream":"s","seq":12}`: 0,
		``:  0,
		`[`: 0,
	} {
		if seq, err := queue.BatchAcknowledged([]byte(answer), "id", 3); seq != want || (err == nil) != (want != 0) {
			t.Errorf("%s: sequence %d, %v", answer, seq, err)
		}
	}
}

// TestRandomWritersEndAsIfEachWereAlone lets writers of a few records meet, round after round. Some believe what is, some what
// was, and some believe nonsense; amid some rounds the broker is restarted. In each round one of those that are right about a
// record wins, and nobody else.
func TestRandomWritersEndAsIfEachWereAlone(t *testing.T) {
	t.Parallel()
	e := newExternal(t, func(o *server.Options) { o.SyncAlways = true })
	q := openQueue(t, dial(t, e.url("")))
	randomWriters(t, q, func() {
		e.stop()
		e.start()
	})
}

// The same with a record in three copies, and the server restarted that leads them.
func TestRandomWritersToReplicasEndAsIfEachWereAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	q := openQueue(t, dial(t, clusterURL(c)), func(o *queue.Options) { o.Replicas = len(c) })
	randomWriters(t, q, func() {
		leader := lookUp(t, q, "KV_authenta-ledger").CachedInfo().Cluster.Leader
		for _, e := range c {
			if e.options.ServerName == leader {
				e.stop()
				e.start()
			}
		}
	})
}

func randomWriters(t *testing.T, q *queue.Queue, restart func()) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	rounds := 4
	if *long {
		rounds = 500
	}
	now := make([]uint64, 30) // the records' revisions
	for round := range rounds {
		all := make([]*written, 1+rnd.IntN(100))
		want := map[queue.JobKey]int{} // writers of a record that win
		for i := range all {
			n := rnd.IntN(len(now))
			w := &written{job: recordOf(n, fmt.Sprintf("round %d writer %d", round, i)), over: now[n]}
			switch rnd.IntN(10) {
			case 0:
				w.over = rnd.Uint64N(2000) + 100_000
			case 1:
				w.over = 0
			}
			if w.over == now[n] {
				want[w.job.Key] = 1
			}
			all[i] = w
		}
		var wg sync.WaitGroup
		for _, w := range all {
			wg.Go(func() { w.write(deadline(t), q) })
		}
		if round%10 == 6 {
			restart()
		}
		wg.Wait()
		wantWinners(t, q, all, want)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		for n := range now {
			if r, err := found(t, q, recordOf(n, "").Key); err == nil {
				now[n] = r.Revision()
			}
		}
	}
}

func wantWinners(t *testing.T, q *queue.Queue, all []*written, want map[queue.JobKey]int) {
	t.Helper()
	won := map[queue.JobKey]int{}
	for _, w := range all {
		switch {
		case w.err == nil:
			won[w.job.Key]++
			w.check(t, q)
		case !errors.Is(w.err, queue.ErrConflict):
			t.Errorf("%s: %v", w.job.Name, w.err)
		}
	}
	if !maps.Equal(won, want) {
		t.Errorf("writers that have won, by record: %v, want %v", won, want)
	}
}

// newCluster starts three servers that hold copies of each other's streams.
func newCluster(t testing.TB, change ...func(*server.Options)) []*external {
	t.Helper()
	all := makeCluster(t, change...)
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Go(func() { e.run(t) })
	}
	wg.Wait()
	await(t, "the cluster has a leader, who knows all", func() bool {
		return slices.ContainsFunc(all, func(e *external) bool {
			return e.server.JetStreamIsLeader() && len(e.server.JetStreamClusterPeers()) == len(all)
		})
	})
	return all
}

// makeCluster makes the servers of newCluster, and starts none.
func makeCluster(t testing.TB, change ...func(*server.Options)) []*external {
	t.Helper()
	all, name := make([]*external, 3), fmt.Sprint("cluster-", nextPort.Load())
	var routes []*url.URL
	for i := range all {
		port := freePort(t)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
		all[i] = makeExternal(t, append(change, func(o *server.Options) {
			o.ServerName, o.Port, o.SyncAlways = fmt.Sprintf("s%d", i), freePort(t), true
			o.Cluster = server.ClusterOpts{Name: name, Host: "127.0.0.1", Port: port}
		})...)
	}
	for _, e := range all {
		e.options.Routes = routes
	}
	return all
}

// With this variable set the test binary is a nats-server on that port, with its store in that folder, so that it can be killed.
const (
	beTheBroker = "TEST_BE_THE_BROKER"
	brokerStore = "TEST_BROKER_STORE"
)

func brokerMain() int {
	port, err := strconv.Atoi(os.Getenv(beTheBroker))
	if err == nil {
		var s *server.Server
		s, err = server.NewServer(&server.Options{
			ServerName: "killed", Host: "127.0.0.1", Port: port, NoLog: true, JetStream: true, SyncAlways: true,
			StoreDir: os.Getenv(brokerStore), JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 1 << 20,
		})
		if err == nil {
			s.Start()
			s.WaitForShutdown()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestWhatWasAcknowledgedOutlivesABrokerThatIsKilled kills the broker amid batches, several times, and goes on with it.
// Everybody who was told that his record is written finds it, and nobody finds half of one.
func TestWhatWasAcknowledgedOutlivesABrokerThatIsKilled(t *testing.T) {
	t.Parallel()
	port, dir := freePort(t), t.TempDir()
	kill := startBroker(t, port, dir)
	q := openQueue(t, dial(t, fmt.Sprintf("nats://127.0.0.1:%d", port)))
	var next, acknowledged atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []*written
	for range 64 {
		wg.Go(func() {
			for ctx.Err() == nil {
				w := &written{job: recordOf(int(next.Add(1)), "acknowledged")}
				w.write(ctx, q)
				if w.err == nil {
					acknowledged.Add(1)
					mu.Lock()
					all = append(all, w)
					mu.Unlock()
				} else if ctx.Err() == nil {
					t.Error(w.err)
				}
			}
		})
	}
	kills := 1
	if *long {
		kills = 50
	}
	for range kills {
		more := acknowledged.Load() + 300 + rand.Int64N(300)
		await(t, "some are acknowledged", func() bool { return acknowledged.Load() >= more })
		kill()
		kill = startBroker(t, port, dir)
	}
	more := acknowledged.Load() + 100
	await(t, "some are acknowledged after the last start", func() bool { return acknowledged.Load() >= more })
	stop()
	wg.Wait()
	t.Logf("%d acknowledged", len(all))
	if got := batches(t, q, "ledger"); len(got) < 5 {
		t.Errorf("%d batches: the test shows little", len(got))
	}
	for _, w := range all {
		w.check(t, q)
	}
}

// nextPort is below those that systems give to whoever asks for any: a server that is stopped and started finds its own free again.
// Each process begins elsewhere.
var nextPort atomic.Int32

func init() { nextPort.Store(int32(10_000 + os.Getpid()*128%9_000)) }

func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := int(nextPort.Add(1))
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// startBroker starts a nats-server in a process of its own. It is killed with the test, if not before.
func startBroker(t *testing.T, port int, dir string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", beTheBroker, port), brokerStore+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	await(t, "the broker listens", func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return kill
}
