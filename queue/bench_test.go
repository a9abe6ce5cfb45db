package queue_test

import (
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
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
