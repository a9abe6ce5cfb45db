package watcher

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// warnings counts what is logged as such.
type warnings struct{ count atomic.Int32 }

func (*warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w *warnings) Handle(context.Context, slog.Record) error  { w.count.Add(1); return nil }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler         { return w }
func (w *warnings) WithGroup(string) slog.Handler              { return w }

func TestWhileTheQueueIsFullAFileWaitsAndThatIsSaidOnce(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"authenta-jobs", "KV_authenta-ledger", "KV_authenta-files"} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			room := w.resize(stream, 1)
			said := &warnings{}
			path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
			r := w.run(func(o *Options) { o.Log = slog.New(said) })
			await(t, "it waits", func() bool { return said.count.Load() > 0 })
			if n := w.remembered(); n != 0 {
				t.Errorf("%d files are remembered, and none is on the queue", n)
			}
			w.resize(stream, room)
			await(t, "it is remembered", func() bool { return w.remembered() == 1 })
			r.caughtUp()
			w.wantOnly(path)
			if n := w.queued(); n != 1 {
				t.Errorf("%d jobs on the queue", n)
			}
			if n := said.count.Load(); n != 1 {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

func TestWhileTheBrokerIsAwayFilesWait(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	listen := func(addr string) *embedded.Server {
		s, err := embedded.Start(embedded.Options{Dir: state, Listen: addr, Sync: "1s", Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	server := listen("127.0.0.1:0")
	defer func() { server.Close() }()
	addr := server.Addr()
	conn, err := queue.Connect("nats://"+addr, quiet)
	if err != nil {
		t.Fatal(err)
	}
	w := worldOn(t, conn)
	first := put(t, filepath.Join(w.dir, "first.jpg"), picture(1))
	r := w.run()
	w.awaitArrivals(first)
	r.caughtUp()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	second := put(t, filepath.Join(w.dir, "second.jpg"), picture(2))
	note := put(t, filepath.Join(w.dir, "note"), []byte("text"))
	await(t, "the files are being tried", func() bool {
		_, err := w.Registry("").Entry(context.Background(), queue.FileKeyOf(second))
		return err != nil && conn.IsReconnecting()
	})
	server = listen(addr)
	await(t, "all are remembered", func() bool { return conn.IsConnected() && w.remembered() == 3 })
	if got := w.arrivals(); len(got) != 2 || len(w.of(first)) != 1 || len(w.of(second)) != 1 {
		t.Errorf("arrived: %v", got)
	}
	if failed := w.failures(); len(failed) != 1 || pathOf(t, failed[0].URI) != note {
		t.Errorf("failures %+v", failed)
	}
	r.stop()
	conn.Close() // before its server
}

func TestRunEndsWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Sync: "1s", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := queue.Connect("nats://"+server.Addr(), quiet)
	if err != nil {
		server.Close()
		t.Fatal(err)
	}
	w := worldOn(t, conn)
	r, release := w.held(func(o *Options) {
		put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	})
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	release() // into the publishing that goes on until ctx ends
	r.stop()
}

// The registry cannot be read for a moment, at a scan a month later, when the ledger has forgotten the files.
func TestAFileIsNotTakenForNewWhileTheRegistryCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.scanned()
	w.forget("KV_authenta-ledger", "authenta-jobs")
	settled := seen(t, path)
	if err := w.js.DeleteStream(deadline(t), "KV_authenta-files"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.entry(path); err == nil {
		t.Fatal("the registry can be read")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	watcher := w.watcher()
	watcher.files.note(queue.FileMark{Key: queue.FileKeyOf(path), Print: 1}) // as another version
	again := watcher.take(ctx, settled).again
	if n := w.queued(); n != 0 || !again {
		t.Errorf("%d jobs on the queue, want none; again: %v, want true", n, again)
	}
}

// The process has no descriptor left for a moment: that is no fault of the file's.
func TestAFileIsNotRefusedForWantOfDescriptors(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	put(t, filepath.Join(w.dir, "note"), []byte("text")) // has the broker open its files
	w.scanned()
	settled := seen(t, put(t, filepath.Join(w.dir, "a.jpg"), picture(1)))
	watcher, ctx := w.watcher(), deadline(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	again := watcher.take(ctx, settled).again
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if failed := w.failures(); !again || len(failed) != 1 {
		t.Errorf("again: %v, want true; failures %+v, want the note's alone", again, failed)
	}
}
