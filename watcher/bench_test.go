package watcher

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// BenchmarkIntake takes in files of 20 kB that are there when it starts, everything durable:
//
//	go test ./watcher -run '^$' -bench . -benchmem -benchtime 5000x
func BenchmarkIntake(b *testing.B) { benchmark(b, false) }

// BenchmarkKnown is the next start on the same folder: all files are known.
func BenchmarkKnown(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, again bool) {
	w := newBenchmarkWorld(b)
	data := make([]byte, 20_000)
	copy(data, picture(0))
	for n := range b.N {
		binary.BigEndian.PutUint64(data[100:], uint64(n))
		dir := mkdir(b, filepath.Join(w.dir, fmt.Sprint(n/1000)))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.jpg", n)), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	settled := func(o *Options) { o.Settle = time.Millisecond }
	if again {
		r := w.run(settled)
		<-r.CaughtUp()
		r.stop()
	}
	watcher := w.watcher(settled)
	b.ReportAllocs()
	b.ResetTimer()
	r := start(b, watcher)
	<-r.CaughtUp()
	b.StopTimer()
	r.stop()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
	if n := w.queued(); n != b.N {
		b.Errorf("%d jobs on the queue for %d files", n, b.N)
	}
}

func newBenchmarkWorld(b *testing.B) *world {
	server, err := embedded.Start(embedded.Options{Dir: b.TempDir(), Listen: embedded.Off, Sync: embedded.SyncAlways, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Close() })
	var conn *queue.Conn
	if conn, err = server.Connect(); err != nil {
		b.Fatal(err)
	}
	return worldOn(b, conn)
}
