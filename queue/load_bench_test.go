package queue_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// BenchmarkStore measures how many records the leader of one stream writes a second, each acknowledged when it is durable:
// with one writer, and with so many that writes go together. Servers and writers share the machine.
//
//	go test ./queue -run '^$' -bench Store -benchtime 3s
func BenchmarkStore(b *testing.B) {
	inProcess := func(b *testing.B) *queue.Conn {
		server, err := embedded.Start(embedded.Options{Dir: b.TempDir(), Listen: embedded.Off, Sync: embedded.SyncAlways, Log: quiet})
		if err != nil {
			b.Fatal(err)
		}
		s := &store{t: b, server: server}
		b.Cleanup(s.close)
		if s.conn, err = server.Connect(); err != nil {
			b.Fatal(err)
		}
		return s.conn
	}
	external := func(change func(*server.Options)) func(*testing.B) *queue.Conn {
		return func(b *testing.B) *queue.Conn { return dial(b, newExternal(b, change).url("")) }
	}
	cluster := func(change func(*server.Options)) func(*testing.B) *queue.Conn {
		return func(b *testing.B) *queue.Conn { return dial(b, clusterURL(newCluster(b, change))) }
	}
	always := func(o *server.Options) { o.SyncAlways = true }
	lazily := func(o *server.Options) { o.SyncAlways = false }
	for _, c := range []struct {
		name    string
		connect func(*testing.B) *queue.Conn
		copies  int
	}{
		{"embedded, synced", inProcess, 1},
		{"external, synced", external(always), 1},
		{"external, not synced", external(lazily), 1},
		{"three copies, synced", cluster(always), 3},
		{"three copies, not synced", cluster(lazily), 3},
	} {
		b.Run(c.name, func(b *testing.B) {
			q := openQueue(b, c.connect(b), replicas(c.copies))
			for _, writers := range []int{1, 32, 512} {
				b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) { storeMany(b, q, writers) })
			}
		})
	}
}

var stored atomic.Int64 // records written by BenchmarkStore so far: each is a new one

func storeMany(b *testing.B, q *queue.Queue, writers int) {
	b.ReportAllocs()
	used := processorTime(b)
	var wg sync.WaitGroup
	var taken atomic.Int64
	for range writers {
		wg.Go(func() {
			for taken.Add(1) <= int64(b.N) {
				if _, err := queue.Store(q, context.Background(), awaited(int(stored.Add(1))), 0); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

// processorTime is what the process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// awaited is a job whose result is awaited, as the platform names things.
func awaited(n int) queue.Job {
	sub := submission(fmt.Sprint(n), fmt.Sprintf("/srv/inbox/2026/11/24/clip-%d.mp4", n))
	sub.Digest = queue.Digest(fmt.Sprintf("%064x", n))
	j := newJob(sub)
	j.Key, j.State, j.Name, j.MediaID = queue.KeyOf(sub.Digest, sub.Model), queue.Uploaded, "clip-01234567", fmt.Sprintf("%024x", n)
	j.UploadedAt = time.Now().UTC()
	return j
}

var awaiting = flag.Int("awaiting", 5_000, "jobs in BenchmarkAwaiting; INGEST_IN_FLIGHT is 100,000 if nothing is said")

// BenchmarkAwaiting measures what jobs cost whose results are awaited: their bytes in streams and memory, and the processor
// time and lateness while each is handed out every half minute and put off again. An operation is that it was handed out.
//
//	go test ./queue -run '^$' -bench Awaiting -awaiting 100000 -benchtime 200000x -timeout 30m
func BenchmarkAwaiting(b *testing.B) {
	const every, slots = 30 * time.Second, 24
	n := *awaiting
	if b.N == 1 { // the testing package only tries it
		n = 1
	}
	s := newStore(b, func(o *queue.Options) { o.InFlight = n })
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	began := time.Now()
	var filling sync.WaitGroup
	var next atomic.Int64
	for range 512 {
		filling.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				j := awaited(int(i))
				_, err := queue.Store(s.Queue, context.Background(), j, 0)
				if err == nil {
					err = queue.Enqueue(s.Queue, context.Background(), queue.Await, j.Key)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	filling.Wait()
	b.Logf("%d are there after %s", n, time.Since(began).Round(time.Second))
	queued := heap()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var handed, late, latest atomic.Int64
	due := make(map[queue.JobKey]time.Time, n)
	var mu sync.Mutex
	var first atomic.Int64
	enough := make(chan struct{})
	var working sync.WaitGroup
	began = time.Now()
	used := processorTime(b)
	b.ResetTimer()
	working.Go(func() {
		err := s.Work(ctx, queue.Pool{
			Stage: queue.Await, Slots: slots, Grace: time.Second,
			Ready: func(ctx context.Context) error { return ctx.Err() },
			Handle: func(_ context.Context, t *queue.Task) queue.Settlement {
				now := time.Now()
				mu.Lock()
				was := due[t.Key]
				due[t.Key] = now.Add(every)
				mu.Unlock()
				if was.IsZero() {
					if first.Add(1) == int64(n) {
						b.Logf("each was handed out once after %s", time.Since(began).Round(time.Second))
					}
				} else {
					late.Add(int64(now.Sub(was)))
					for l := latest.Load(); int64(now.Sub(was)) > l && !latest.CompareAndSwap(l, int64(now.Sub(was))); l = latest.Load() {
					}
				}
				if handed.Add(1) == int64(b.N) {
					close(enough)
				}
				return queue.RetryAfter(every)
			},
		})
		if err != nil {
			b.Error(err)
		}
	})
	<-enough
	b.StopTimer()
	b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handed-out/s")
	for _, name := range []string{"authenta-jobs", "KV_authenta-ledger"} {
		b.ReportMetric(float64(lookUp(b, s.Queue, name).CachedInfo().State.Bytes)/float64(n), name+"-B/job")
	}
	b.ReportMetric((queued-before)/float64(n), "heap-B/queued")
	b.ReportMetric((heap()-before)/float64(n), "heap-B/awaiting")
	if again := handed.Load() - first.Load(); again > 0 {
		b.ReportMetric(float64(late.Load())/1e6/float64(again), "ms-late")
		b.ReportMetric(float64(latest.Load())/1e6, "ms-latest")
	}
	stop()
	working.Wait()
}
