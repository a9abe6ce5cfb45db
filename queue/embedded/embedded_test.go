package embedded_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

const patience = 15 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// options are for a server that nobody else reaches, in a folder of its own.
func options(dir string) embedded.Options {
	return embedded.Options{Dir: dir, Listen: embedded.Off, Sync: embedded.SyncAlways, Log: quiet}
}

// start starts a server; it is closed with the test, if not before.
func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t *testing.T, s *embedded.Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, s *embedded.Server) (*queue.Queue, *queue.Conn) {
	t.Helper()
	conn, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	q, err := queue.Open(deadline(t), conn, queue.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return q, conn
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// wantUploads waits for so many jobs on the upload queue: what was queued just now may be counted a little later.
func wantUploads(t *testing.T, q *queue.Queue, want int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		depths, err := q.Depths(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		if depths.Upload == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("depths %+v, want %d uploads", depths, want)
		}
	}
}

func submission(i int) queue.Submission {
	digest := queue.Digest(fmt.Sprintf("%064x", i))
	drop := queue.Drop{URI: fmt.Sprintf("file:///in/%d.mp4", i), QueuedAt: time.Now().UTC()}
	drop.ID = queue.DropIDOf(drop.URI, drop.File, digest, "DF-1")
	return queue.Submission{Drop: drop, Digest: digest, Size: 1, ContentType: "video/mp4", Model: "DF-1"}
}

func TestASecondServerOnTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, options(dir))
	for range 2 {
		second, err := embedded.Start(options(dir))
		if err == nil {
			shut(t, second)
			t.Fatal("started")
		}
		for _, want := range []string{dir, "in use by another", "INGEST_STATE_DIR"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q: want it to say %q", err, want)
			}
		}
	}
	open(t, first) // unharmed
}

func TestCloseGivesTheFolderBackWithEverythingAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const jobs = 20
	for life := range 3 {
		s := start(t, options(dir))
		q, conn := open(t, s)
		for i := range jobs * life {
			if got, err := q.Submit(deadline(t), submission(i)); err != nil || got != queue.AcceptedJoined {
				t.Fatalf("life %d: drop %d was %q, %v; want it known", life, i, got, err)
			}
		}
		for i := jobs * life; i < jobs*(life+1); i++ {
			if got, err := q.Submit(deadline(t), submission(i)); err != nil || got != queue.AcceptedNew {
				t.Fatalf("life %d: drop %d was %q, %v", life, i, got, err)
			}
		}
		wantUploads(t, q, jobs*(life+1))
		conn.Close()
		shut(t, s)
	}
}

func TestClosingTwiceIsHarmless(t *testing.T) {
	t.Parallel()
	s := start(t, options(t.TempDir()))
	shut(t, s)
	shut(t, s)
}

func TestAPortInUseIsTold(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options(t.TempDir())
	o.Listen = l.Addr().String()
	s, err := embedded.Start(o)
	if err == nil {
		shut(t, s)
		t.Fatal("started")
	}
	for _, want := range []string{"INGEST_NATS_LISTEN=" + o.Listen, "in use"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q: want it to say %q", err, want)
		}
	}
	o.Listen = embedded.Off
	start(t, o) // the folder was given back
}

func TestAFolderThatCannotBeMadeIsTold(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := embedded.Start(options(filepath.Join(file, "state")))
	if err == nil {
		shut(t, s)
		t.Fatal("started")
	}
	if !strings.Contains(err.Error(), "state folder") || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}

func TestAStoreThatCannotBeUsedIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := embedded.Start(options(dir))
	if err == nil {
		shut(t, s)
		t.Fatal("started")
	}
	if !strings.Contains(err.Error(), "INGEST_STATE_DIR="+dir) {
		t.Errorf("error %v", err)
	}
}

func TestTheStateFolderIsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "state")
	start(t, options(dir))
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestOffKeepsTheServerWithinTheProcess(t *testing.T) {
	t.Parallel()
	s := start(t, options(t.TempDir()))
	if addr := s.Addr(); addr != "" {
		t.Errorf("listens on %s", addr)
	}
	open(t, s)
}

func TestASubscriberOverTCPSeesMessages(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.Listen = "127.0.0.1:0"
	s := start(t, o)
	q, _ := open(t, s)
	nc, err := nats.Connect("nats://" + s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("authenta.failures.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Refuse(deadline(t), submission(1).Drop, "", queue.Fault{Reason: queue.Unsupported}); err != nil {
		t.Fatal(err)
	}
	msg, err := sub.NextMsg(patience)
	if err != nil || msg.Subject != "authenta.failures.none.unsupported" || msg.Header.Get("Nats-Msg-Id") != string(submission(1).Drop.ID) {
		t.Errorf("message %+v, %v", msg, err)
	}
}

func TestTheTokenIsAskedOfEverybody(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.Listen, o.Token = "0.0.0.0:0", "open-sesame"
	s := start(t, o)
	open(t, s) // the process itself has it
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	url := "nats://127.0.0.1:" + port
	for _, token := range []string{"", "wrong"} {
		if nc, err := nats.Connect(url, nats.Token(token)); err == nil {
			nc.Close()
			t.Errorf("let in with token %q", token)
		}
	}
	nc, err := nats.Connect(url, nats.Token(o.Token))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestCheckFindsMistakes(t *testing.T) {
	for _, c := range []struct {
		listen, token, sync string
		want                []string // empty: none
	}{
		{"off", "", "always", nil},
		{"127.0.0.1:4222", "", "1s", nil},
		{"localhost:4222", "", "500ms", nil},
		{"[::1]:4222", "", "2m", nil},
		{"0.0.0.0:4222", "t", "always", nil},
		{"0.0.0.0:4222", "", "always", []string{"INGEST_NATS_TOKEN"}},
		{":4222", "", "always", []string{"INGEST_NATS_TOKEN"}},
		{"[::]:4222", "", "always", []string{"INGEST_NATS_TOKEN"}},
		{"192.0.2.1:4222", "", "always", []string{"INGEST_NATS_TOKEN"}},
		{"example.org:4222", "", "always", []string{"INGEST_NATS_TOKEN"}},
		{"127.0.0.1", "", "always", []string{"INGEST_NATS_LISTEN"}},
		{"", "", "always", []string{"INGEST_NATS_LISTEN"}},
		{"127.0.0.1:http", "", "always", []string{"INGEST_NATS_LISTEN"}},
		{"127.0.0.1:65536", "", "always", []string{"INGEST_NATS_LISTEN"}},
		{"127.0.0.1:-1", "", "always", []string{"INGEST_NATS_LISTEN"}},
		{"off", "", "", []string{"INGEST_SYNC"}},
		{"off", "", "never", []string{"INGEST_SYNC"}},
		{"off", "", "0s", []string{"INGEST_SYNC"}},
		{"off", "", "-1s", []string{"INGEST_SYNC"}},
		{"off", "", "5", []string{"INGEST_SYNC"}},
		{"0.0.0.0:4222", "", "often", []string{"INGEST_NATS_TOKEN", "INGEST_SYNC"}},
	} {
		o := embedded.Options{Dir: filepath.Join(t.TempDir(), "state"), Listen: c.listen, Token: c.token, Sync: c.sync}
		err := o.Check()
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %v", c, err)
			}
		}
		if lines := strings.Count(fmt.Sprint(err), "\n") + 1; lines != len(c.want) {
			t.Errorf("%+v: %d lines, want one a mistake: %v", c, lines, err)
		}
		if s, err := embedded.Start(o); err == nil {
			shut(t, s)
			t.Errorf("%+v: started", c)
		}
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%+v: the folder was made", c)
		}
	}
}

// The files are copied from under the running server, as a crash would leave them.
func TestWhatWasAcknowledgedIsOnTheDisk(t *testing.T) {
	t.Parallel()
	dir, copied := t.TempDir(), t.TempDir()
	q, _ := open(t, start(t, options(dir)))
	const jobs = 30
	for i := range jobs {
		if _, err := q.Submit(deadline(t), submission(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	after, _ := open(t, start(t, options(copied)))
	for i := range jobs {
		if got, err := after.Submit(deadline(t), submission(i)); err != nil || got != queue.AcceptedJoined {
			t.Errorf("drop %d: %q, %v", i, got, err)
		}
	}
	wantUploads(t, after, jobs)
}

func TestNoGoroutineIsLeftAfterClose(t *testing.T) { // not parallel: it looks at all of them
	ignore := goleak.IgnoreCurrent()
	o := options(t.TempDir())
	o.Listen = "127.0.0.1:0"
	s, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	_, conn := open(t, s)
	conn.Close()
	shut(t, s)
	goleak.VerifyNone(t, ignore)
}
