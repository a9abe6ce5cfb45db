package watcher

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
)

// BenchmarkArrival writes 100 files a second, and measures from the close of each to its place on the queue, everything
// durable. What it prints is beyond the settle time:
//
//	go test ./watcher -run '^$' -bench Arrival -benchtime 3000x
func BenchmarkArrival(b *testing.B) {
	w := newBenchmarkWorld(b)
	w.run().caughtUp()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	closed := make([]time.Time, b.N)
	b.ResetTimer()
	for n := range b.N {
		<-tick.C
		dir := mkdir(b, filepath.Join(w.dir, fmt.Sprint(n/200)))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.jpg", n)), picture(n), 0o644); err != nil {
			b.Fatal(err)
		}
		closed[n] = time.Now()
	}
	await(b, "all files are on the queue", func() bool { return w.queued() == b.N })
	b.StopTimer()
	stream, err := w.js.Stream(deadline(b), "authenta-jobs")
	if err != nil {
		b.Fatal(err)
	}
	late := make([]time.Duration, b.N)
	for n := range b.N {
		key := queue.KeyOf(digestOf(picture(n)), "AC-1")
		msg, err := stream.GetLastMsgForSubject(deadline(b), "authenta.jobs.upload."+string(key))
		if err != nil {
			b.Fatal(err)
		}
		late[n] = msg.Time.Sub(closed[n]) - settle
	}
	slices.Sort(late)
	for name, at := range map[string]int{"p50": b.N / 2, "p99": b.N * 99 / 100, "max": b.N - 1} {
		b.ReportMetric(float64(late[at])/float64(time.Millisecond), name+"-ms")
	}
}

var knownFiles = flag.Int("known", 0, "files of BenchmarkStart; 0 is 20,000, and a million with -long")

// BenchmarkStart starts a watcher on folders in which it knows every file, and measures until it has caught up:
//
//	go test ./watcher -run '^$' -bench Start -benchtime 1x -long -timeout 1h
//
// Of the resident memory, that at the start is the broker's, with its index of the registry, for the most part.
func BenchmarkStart(b *testing.B) {
	files := *knownFiles
	switch {
	case files == 0 && *long:
		files = 1_000_000
	case files == 0:
		files = 20_000
	}
	w := newWorld(b)
	dirs := w.knownFiles(b, files)
	opened := countOpens(b, dirs...)
	before := resident(b, "VmRSS:")
	b.ResetTimer()
	for range b.N {
		r := start(b, w.watcher())
		select { // a million files may take longer than anything else here
		case <-r.CaughtUp():
		case <-time.After(time.Hour):
			b.Fatal("the watcher did not catch up")
		}
		b.StopTimer()
		b.ReportMetric(resident(b, "VmRSS:")-before, "more-MB")
		r.stop()
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(files)/b.Elapsed().Seconds()*float64(b.N), "files/s")
	b.ReportMetric(before, "before-MB")
	b.ReportMetric(resident(b, "VmHWM:"), "peak-MB")
	b.ReportMetric(float64(len(opened.take())), "opened")
	if n := w.queued(); n > 0 {
		b.Errorf("%d jobs on the queue, and every file is known", n)
	}
}

// knownFiles makes files of a few bytes, a thousand a folder, and has the registry know them. It returns the folders.
func (w *world) knownFiles(b *testing.B, files int) (dirs []string) {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(16)
	for first := 0; first < files; first += 1000 {
		dir := mkdir(b, filepath.Join(w.dir, fmt.Sprint(first/1000)))
		dirs = append(dirs, dir)
		g.Go(func() error {
			for n := first; n < min(first+1000, files); n++ {
				path := filepath.Join(dir, fmt.Sprintf("%d.jpg", n))
				if err := os.WriteFile(path, picture(n), 0o644); err != nil {
					return err
				}
				entry := queue.FileEntry{URI: queue.FileURI(path), File: seen(b, path).version, Drops: []queue.DropID{queue.DropID(fmt.Sprintf("%024x", n))}, Since: time.Now()}
				if err := w.Registry("").Remember(context.Background(), queue.FileKeyOf(path), entry); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return dirs
}

// resident is the memory of this process that is in RAM, in megabytes.
func resident(b *testing.B, which string) (megabytes float64) {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), which)
	if _, err := fmt.Sscan(after, &megabytes); err != nil {
		b.Fatal(err)
	}
	return megabytes / 1024
}
