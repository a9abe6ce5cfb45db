package watcher

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// BenchmarkIntake takes in files of 20 kB that are there when it starts, everything durable, and has sha256sum read the same
// files, before and after; what the processor does besides is in both.
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
	syscall.Sync() // the files are not written while the queue's are
	sum := sha256sum(b, w.dir)
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	r := start(b, watcher)
	<-r.CaughtUp()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	sum = (sum + sha256sum(b, w.dir)) / 2
	r.stop()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
	b.ReportMetric(float64(b.N)/sum.Seconds(), "sha256sum-files/s")
	b.ReportMetric(sum.Seconds()/b.Elapsed().Seconds(), "of-sha256sum")
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

// sha256sum is how long the programs of the system take to read and hash all files of a folder.
func sha256sum(b *testing.B, dir string) time.Duration {
	b.Helper()
	began := time.Now()
	out, err := exec.Command("sh", "-c", `find "$1" -type f -print0 | xargs -0 sha256sum > /dev/null`, "sh", dir).CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return time.Since(began)
}

// cpuTime is what the process has used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
