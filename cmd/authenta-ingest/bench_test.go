package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
	"github.com/authenta/authenta-ingest/watcher"
	"github.com/authenta/authenta-ingest/watcher/media"
	"github.com/authenta/authenta-ingest/worker"
)

// A line is the parts that a file passes, in one process, everything durable, with a simulated platform that answers at once.
type line struct {
	b        *testing.B
	platform *sandbox.Platform
	conn     *queue.Conn
	queue    *queue.Queue
	cluster  *control.Cluster
	work     *worker.Worker
	inbox    string
}

func newLine(b *testing.B) *line {
	b.Helper()
	l := &line{b: b, inbox: b.TempDir()}
	var err error
	if l.platform, err = sandbox.New(sandbox.Options{
		ClientID: "id", ClientSecret: "secret",
		Credits: sandbox.Unlimited, MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited,
	}); err != nil {
		b.Fatal(err)
	}
	served := httptest.NewServer(l.platform)
	b.Cleanup(served.Close)
	server, err := embedded.Start(embedded.Options{Dir: b.TempDir(), Listen: embedded.Off, Sync: embedded.SyncAlways, Log: discard})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Close() })
	if l.conn, err = server.Connect(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(l.conn.Close)
	told := prometheus.NewRegistry()
	if l.queue, err = queue.Open(b.Context(), l.conn, queue.Options{Platform: "benchmark", Metrics: told, Log: discard}); err != nil {
		b.Fatal(err)
	}
	client, err := authenta.New(authenta.Options{BaseURL: served.URL, Observe: worker.Calls(told), Credentials: func() (authenta.Credentials, error) {
		return authenta.Credentials{ClientID: "id", ClientSecret: "secret"}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	l.cluster = control.New(control.Options{Queue: l.queue, MutationRate: 1e6, QueryRate: 1e6, Metrics: told, Log: discard})
	l.work = worker.New(worker.Options{
		Queue: l.queue, Client: client, Cluster: l.cluster, Uploads: 32, FirstPoll: time.Millisecond, Log: discard,
	})
	return l
}

// file is the content of one of the line's files, 20 kB.
func (l *line) file(n int) []byte {
	data := append(picture(n), strings.Repeat("x", 18_000)...)
	binary.BigEndian.PutUint64(data[100:], uint64(n))
	return data
}

// fill puts as many files into the inbox as are measured.
func (l *line) fill() {
	l.b.Helper()
	for n := range l.b.N {
		if err := os.WriteFile(filepath.Join(l.inbox, fmt.Sprintf("%d.jpg", n)), l.file(n), 0o644); err != nil {
			l.b.Fatal(err)
		}
	}
}

func (l *line) watcher(change ...func(*watcher.Options)) *watcher.Watcher {
	l.b.Helper()
	o := watcher.Options{
		Queue: l.queue, Dirs: []string{l.inbox}, Models: media.Models{Images: []queue.Model{"AC-1"}}, Settle: time.Millisecond, Log: discard,
	}
	for _, c := range change {
		c(&o)
	}
	w, err := watcher.New(o)
	if err != nil {
		l.b.Fatal(err)
	}
	return w
}

// run has the parts work until there is a verdict for each file.
func (l *line) run(source func(context.Context) error) {
	b := l.b
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	used := cpuTime()
	ctx, cancel := context.WithCancel(b.Context())
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return source(ctx) })
	parts.Go(func() error { return l.cluster.Run(ctx) })
	parts.Go(func() error { return l.work.Run(ctx) })
	left := b.N
	err := l.queue.Follow(ctx, queue.Position{}, queue.Reader{
		Verdict: func(queue.Verdict, []byte, uint64) {
			if left--; left == 0 {
				cancel()
			}
		},
		Failure: func(f queue.Failure, _ []byte, _ uint64) { b.Errorf("%s: %+v", f.Name, f.Fault) },
	})
	b.StopTimer()
	used = cpuTime() - used
	if err := parts.Wait(); err != nil {
		b.Error(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "verdicts/s")
	b.ReportMetric(used.Seconds()*1e3/float64(b.N), "cpu-ms/op")
	if calls := l.platform.Ledger(); calls.Mutation != b.N {
		b.Errorf("%d creates for %d files", calls.Mutation, b.N)
	}
}

// BenchmarkFile takes files of 20 kB their whole way, from the folder to the verdict on the stream, everything durable,
// with a simulated platform that answers at once and shares the process. Run it with a fixed number of files:
//
//	go test ./cmd/authenta-ingest -run '^$' -bench File -benchmem -benchtime 5000x
func BenchmarkFile(b *testing.B) {
	l := newLine(b)
	l.fill()
	l.run(l.watcher().Run)
}

// cpuTime is what this process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
