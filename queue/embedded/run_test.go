package embedded_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// looking has a server looked after, and returns where its end is told.
func looking(t *testing.T, s *embedded.Server) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- s.Run(ctx, embedded.Care{Redeliver: func(context.Context) error { return nil }, Damaged: func() {}})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return ended
}

// smallDisk mounts a file system of a few megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file until the disk is full, and returns what makes room again.
func fill(t *testing.T, dir string) (makeRoom func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// A transcript is what was logged.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// wantGauge waits until a metric is as it should be.
func wantGauge(t *testing.T, from prometheus.Gatherer, name string, right func(float64) bool) {
	t.Helper()
	eventually(t, name+" is right", func() bool {
		families, err := from.Gather()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == queue.MetricNamespace+"_"+name })
		return i >= 0 && right(families[i].GetMetric()[0].GetGauge().GetValue())
	})
}

func TestAStoreThatTheDiskHasStoppedTakesWritesAgainWhenThereIsRoom(t *testing.T) {
	dir := smallDisk(t, 32)
	o := options(filepath.Join(dir, "state"))
	said := &transcript{}
	o.Log = slog.New(slog.NewTextHandler(said, nil))
	registry := prometheus.NewRegistry()
	registry.MustRegister(embedded.DiskFree(o.Dir))
	o.Metrics = registry
	s := start(t, o)
	wantGauge(t, registry, "store_broken", func(v float64) bool { return v == 0 })
	wantGauge(t, registry, "disk_free_bytes", func(v float64) bool { return v > 1<<20 && v <= 32<<20 })
	q, _ := open(t, s)
	ended := looking(t, s)
	submit := func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := q.Submit(ctx, submission(i))
		return err
	}
	accepted := 0
	for ; accepted < 20; accepted++ {
		if err := submit(accepted); err != nil {
			t.Fatal(err)
		}
	}
	makeRoom := fill(t, dir)
	for n := 0; ; n++ { // what is left of a block may still take some
		if n == 10_000 {
			t.Fatal("the disk is full, and everything is taken")
		}
		if err := submit(accepted); err != nil {
			break
		}
		accepted++
	}
	wantGauge(t, registry, "store_broken", func(v float64) bool { return v == 1 })
	wantGauge(t, registry, "disk_free_bytes", func(v float64) bool { return v < 1<<20 })
	makeRoom()
	eventually(t, "the next one is taken", func() bool { return submit(accepted) == nil })
	for i := range accepted {
		if got, err := q.Submit(deadline(t), submission(i)); err != nil || got != queue.AcceptedJoined {
			t.Errorf("drop %d, accepted before: %q, %v", i, got, err)
		}
	}
	wantUploads(t, q, accepted+1)
	eventually(t, "it is said", func() bool { return strings.Contains(said.String(), "takes writes again") })
	wantGauge(t, registry, "store_broken", func(v float64) bool { return v == 0 })
	if n := strings.Count(said.String(), "cannot be written to; work waits"); n != 1 {
		t.Errorf("said %d times that it waits:\n%s", n, said)
	}
	select {
	case err := <-ended:
		t.Errorf("ended: %v", err)
	default:
	}
}

func TestAServerWaitsForRoomOnTheDiskBeforeItStarts(t *testing.T) {
	dir := smallDisk(t, 4)
	makeRoom := fill(t, dir)
	started := make(chan error, 1)
	said := &transcript{}
	log := slog.New(slog.NewTextHandler(said, nil))
	go func() { started <- embedded.AwaitDisk(t.Context(), filepath.Join(dir, "state"), log) }()
	select {
	case err := <-started:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(2 * embedded.LookEvery):
	}
	makeRoom()
	if err := <-started; err != nil {
		t.Error(err)
	}
	if strings.Count(said.String(), "waiting for room") != 1 {
		t.Errorf("said %q", said.String())
	}
}

func TestAFolderThatIsRemovedWhileInUseEndsTheServer(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"removed": os.RemoveAll,
		"replaced": func(dir string) error {
			if err := os.Rename(dir, dir+".old"); err != nil {
				return err
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "state")
			ended := looking(t, start(t, options(dir)))
			eventually(t, "it is spoilt", func() bool { return spoil(dir) == nil }) // a server that writes may be in the way
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "removed or replaced") {
					t.Errorf("error %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("goes on")
			}
		})
	}
}

func TestADiskKeepsARoomForTheWorkInHand(t *testing.T) {
	t.Parallel()
	s := start(t, options(t.TempDir()))
	var free, total atomic.Uint64
	s.Disk(free.Load, total.Load)
	const mb = 1 << 20
	for _, c := range []struct {
		free, total uint64
		room        bool
	}{
		{600 * mb, 100_000 * mb, true},
		{511 * mb, 100_000 * mb, false},
		{600 * mb, 100_000 * mb, false}, // it was full: it takes a little more than that
		{700 * mb, 100_000 * mb, true},
		{600 * mb, 100_000 * mb, true},
		{11 * mb, 100 * mb, true}, // of a small one, a tenth
		{9 * mb, 100 * mb, false},
		{0, 100 * mb, false},
	} {
		free.Store(c.free)
		total.Store(c.total)
		err := s.Room()
		if (err == nil) != c.room {
			t.Errorf("%d of %d MB free: %v", c.free/mb, c.total/mb, err)
		}
		if err != nil && !strings.Contains(err.Error(), "make room") {
			t.Errorf("error %v", err)
		}
	}
}

func TestTheClockIsNoticedThatIsSet(t *testing.T) {
	const s = time.Second
	got := embedded.Jumps(
		[]time.Duration{0, s, 2 * s, 3 * s, 4 * s},
		[]time.Duration{0, s, 2*s - time.Hour, 3*s - time.Hour, 4*s + 23*time.Hour},
	)
	if want := []time.Duration{0, 0, -time.Hour, 0, 24 * time.Hour}; !slices.Equal(got, want) {
		t.Errorf("noticed %v, want %v", got, want)
	}
}

// As cp -a does it.
func copyAll(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		return os.Chtimes(filepath.Join(to, rel), info.ModTime(), info.ModTime())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestABackupThatIsPutBackIsNotTakenForTheStoreAsItWasLeft(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir, backup := filepath.Join(base, "state"), filepath.Join(base, "backup")
	s := start(t, options(dir))
	q, conn := open(t, s)
	if _, err := q.Submit(deadline(t), submission(1)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	shut(t, s)
	copyAll(t, dir, backup) // "Back up the folder when the daemon is stopped."

	s = start(t, options(dir))
	q, conn = open(t, s)
	if _, err := q.Submit(deadline(t), submission(2)); err != nil { // uploaded, and paid for
		t.Fatal(err)
	}
	conn.Close()
	shut(t, s)

	if err := os.RemoveAll(dir); err != nil { // the disk dies
		t.Fatal(err)
	}
	copyAll(t, backup, dir)
	if s = start(t, options(dir)); s.Clean() {
		t.Error("clean: nobody looks for what was uploaded since the backup")
	}
}
