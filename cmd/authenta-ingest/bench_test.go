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

// BenchmarkFile takes files of 20 kB their whole way, from the folder to the verdict on the stream, everything durable,
// with a simulated platform that answers at once and shares the process. Run it with a fixed number of files:
//
//	go test ./cmd/authenta-ingest -run '^$' -bench File -benchmem -benchtime 5000x
func BenchmarkFile(b *testing.B) {
	platform, err := sandbox.New(sandbox.Options{
		ClientID: "id", ClientSecret: "secret",
		Credits: sandbox.Unlimited, MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited,
	})
	if err != nil {
		b.Fatal(err)
	}
	served := httptest.NewServer(platform)
	defer served.Close()
	inbox := b.TempDir()
	for n := range b.N {
		data := append(picture(n), strings.Repeat("x", 18_000)...)
		binary.BigEndian.PutUint64(data[100:], uint64(n))
		if err := os.WriteFile(filepath.Join(inbox, fmt.Sprintf("%d.jpg", n)), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	server, err := embedded.Start(embedded.Options{Dir: b.TempDir(), Listen: embedded.Off, Sync: embedded.SyncAlways, Log: discard})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	conn, err := server.Connect()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	q, err := queue.Open(b.Context(), conn, queue.Options{Platform: "benchmark", Log: discard})
	if err != nil {
		b.Fatal(err)
	}
	client, err := authenta.New(authenta.Options{BaseURL: served.URL, Credentials: func() (authenta.Credentials, error) {
		return authenta.Credentials{ClientID: "id", ClientSecret: "secret"}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	watch, err := watcher.New(watcher.Options{
		Queue: q, Dirs: []string{inbox}, Models: media.Models{Images: []queue.Model{"AC-1"}}, Settle: time.Millisecond, Log: discard,
	})
	if err != nil {
		b.Fatal(err)
	}
	cluster := control.New(control.Options{Queue: q, MutationRate: 1e6, QueryRate: 1e6, Log: discard})
	work := worker.New(worker.Options{
		Queue: q, Client: client, Cluster: cluster, Uploads: 32, FirstPoll: time.Millisecond, Log: discard,
	})

	b.ReportAllocs()
	b.ResetTimer()
	used := cpuTime()
	ctx, cancel := context.WithCancel(b.Context())
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return watch.Run(ctx) })
	parts.Go(func() error { return cluster.Run(ctx) })
	parts.Go(func() error { return work.Run(ctx) })
	left := b.N
	err = q.Follow(ctx, queue.Position{}, queue.Reader{
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
	if calls := platform.Ledger(); calls.Mutation != b.N {
		b.Errorf("%d creates for %d files", calls.Mutation, b.N)
	}
}

// cpuTime is what this process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
