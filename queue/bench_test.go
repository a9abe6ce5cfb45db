package queue_test

import (
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

var ended = flag.Int("ended", 20_000, "ended jobs in BenchmarkEndedJobs; a million is what a large newsroom has in two months")

// BenchmarkEndedJobs measures what jobs cost that have ended: their bytes on the disk and in memory, the time to start on
// them, and the time to look through them, every hour and after a crash. The latter reads the records of the last seconds,
// of which it has more here than any worker ends.
func BenchmarkEndedJobs(b *testing.B) {
	dir := b.TempDir()
	s := openStore(b, dir)
	fill(b, s, *ended)
	s.close()
	var disk int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, err := d.Info()
			if err == nil {
				disk += info.Size()
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / 1e6
	}
	before := heap()
	began := time.Now()
	s = openStore(b, dir)
	b.ReportMetric(time.Since(began).Seconds(), "s/start")
	b.ReportMetric(float64(disk)/float64(*ended), "B/job-on-disk")
	b.ReportMetric(heap()-before, "MB-heap")
	for _, c := range []struct {
		name string
		do   func() (queue.Mended, error)
	}{
		{"s/reconcile", func() (queue.Mended, error) { return s.Reconcile(deadline(b)) }},
		{"s/recover", func() (queue.Mended, error) { return s.Recover(deadline(b)) }},
	} {
		began := time.Now()
		if m, err := c.do(); err != nil || m != (queue.Mended{}) {
			b.Fatal(m, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), c.name)
	}
}

// fill writes records, registry entries and verdicts of ended jobs, as many at a time as the broker takes.
func fill(b *testing.B, s *store, n int) {
	b.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 64 {
		wg.Go(func() {
			for i := range next {
				sub := submission(fmt.Sprint(i), fmt.Sprintf("/srv/inbox/2026/11/24/clip-%d.mp4", i))
				sub.Digest = queue.Digest(fmt.Sprintf("%064x", i))
				j := newJob(sub)
				verdict := judgement()
				j.Key, j.State, j.Name, j.MediaID = queue.KeyOf(sub.Digest, sub.Model), queue.Judged, "clip-01234567", "692f406f9f68d4b70080bb80"
				j.UploadedAt, j.EndedAt, j.Judgement = time.Now().UTC(), time.Now().UTC(), &verdict
				_, err := queue.Store(s.Queue, deadline(b), j, 0)
				if err == nil {
					entry := entryOf(sub)
					entry.Jobs = []queue.JobKey{j.Key}
					err = s.Registry("").Remember(deadline(b), queue.FileKeyOf(entry.URI), entry)
				}
				if err == nil { // as the queue does when it has written the record
					err = queue.Announce(s.Queue, deadline(b), j)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// BenchmarkPassedOn measures what it costs that a file comes to a machine that does not see it: from when a worker has the job
// in hand until it is the other machine's, one at a time and many.
func BenchmarkPassedOn(b *testing.B) {
	for _, slots := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d at a time", slots), func(b *testing.B) {
			server, err := embedded.Start(embedded.Options{Dir: b.TempDir(), Listen: embedded.Off, Sync: "always", Log: quiet})
			if err != nil {
				b.Fatal(err)
			}
			s := &store{t: b, server: server}
			b.Cleanup(s.close)
			if s.conn, err = server.Connect(); err != nil {
				b.Fatal(err)
			}
			var writes atomic.Int64
			s.Queue = openQueue(b, s.conn, step(func(point string) {
				if strings.HasPrefix(point, "before") {
					writes.Add(1)
				}
			}))
			var wg sync.WaitGroup
			for i := range b.N {
				wg.Go(func() {
					submit(b, s.Queue, submissionAt("a", fmt.Sprint(i), fmt.Sprintf("/in/%d", i)), queue.AcceptedNew)
				})
			}
			wg.Wait()
			writes.Store(0)
			b.ResetTimer()
			pooling(b, s.Queue, queue.Pool{Stage: queue.Upload, Slots: slots, Handle: passTo("b", "a")})
			await(b, "all are passed on", func() bool {
				w, err := s.Waiting(deadline(b))
				return err == nil && w["a"] == b.N && writes.Load() >= int64(4*b.N)
			})
			b.StopTimer()
			b.ReportMetric(float64(writes.Load())/float64(b.N), "requests-to-write/file")
		})
	}
}
