package queue_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/authenta/authenta-ingest/queue"
)

// An external is a NATS server that is reached over TCP, and can be stopped and started again where it was.
type external struct {
	t       testing.TB
	options server.Options
	server  *server.Server
}

func newExternal(t testing.TB, change ...func(*server.Options)) *external {
	t.Helper()
	e := makeExternal(t, change...)
	e.run(t)
	return e
}

// makeExternal makes a server and does not start it.
func makeExternal(t testing.TB, change ...func(*server.Options)) *external {
	t.Helper()
	e := &external{t: t, options: server.Options{
		ServerName: "external", Host: "127.0.0.1", Port: freePort(t), NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 1 << 20,
	}}
	for _, c := range change {
		c(&e.options)
	}
	return e
}

// run starts the server, which is stopped with the test, if not before.
func (e *external) run(t testing.TB) {
	t.Helper()
	t.Cleanup(e.stop)
	e.start()
	e.options.Port = e.server.Addr().(*net.TCPAddr).Port
}

func (e *external) start() {
	e.t.Helper()
	options := e.options
	srv, err := server.NewServer(&options)
	if err != nil {
		e.t.Fatal(err)
	}
	e.server = srv
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		e.t.Fatal("the server did not start")
	}
}

func (e *external) stop() {
	if e.server == nil { // it could not be made
		return
	}
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

func (e *external) url(user string) string {
	if user != "" {
		user += "@"
	}
	return fmt.Sprintf("nats://%s127.0.0.1:%d", user, e.options.Port)
}

func dial(t testing.TB, url string) *queue.Conn {
	t.Helper()
	conn, err := queue.Dial(deadline(t), queue.Server{URL: url}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestSubmitAndWorkGoOnAfterTheBrokerWasAway(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	q := openQueue(t, dial(t, e.url("")))
	judgeAll(t, q)
	a, b, c := submission("a", "/in/a.mp4"), submission("b", "/in/b.mp4"), submission("c", "/in/c.mp4")
	submit(t, q, a, queue.AcceptedNew)
	awaitAnswer(t, q, a.Drop.ID, "verdict fake")

	e.stop()
	submitted := make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ; ; <-tick.C { // as a watcher does
			_, err := q.Submit(context.Background(), b)
			if err == nil || errors.Is(err, context.Canceled) {
				submitted <- err
				return
			}
		}
	}()
	e.start()
	select {
	case err := <-submitted:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("not submitted after the broker was back")
	}
	awaitAnswer(t, q, b.Drop.ID, "verdict fake")
	submit(t, q, c, queue.AcceptedNew)
	awaitAnswer(t, q, c.Drop.ID, "verdict fake")
	awaitAnswer(t, q, a.Drop.ID, "verdict fake")
	wantDepths(t, q, queue.Depths{})
}

// The broker goes away between two steps of a job in hand.
func TestAJobInHandIsSettledWhenTheBrokerIsBack(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	conn := dial(t, e.url(""))
	q := openQueue(t, conn)
	a := submission("a", "/in/a.mp4")
	submit(t, q, a, queue.AcceptedNew)
	away := make(chan struct{})
	working(t, q, queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		if task.Creating.IsZero() {
			e.stop()
			close(away)
		}
		return uploaded(ctx, task)
	})
	working(t, q, queue.Await, always(queue.Conclude(judgement())))
	<-away
	e.start()
	await(t, "the connection is back", conn.IsConnected)
	awaitAnswer(t, q, a.Drop.ID, "verdict fake")
	wantDepths(t, q, queue.Depths{})
	if job := jobOf(t, q, a); job.Attempts != 1 {
		t.Errorf("%d uploads begun", job.Attempts)
	}
}

func TestReadingTheStreamsGoesOnAfterTheBrokerWasAway(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	q := openQueue(t, dial(t, e.url("")))
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan queue.DropID, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- q.Follow(ctx, queue.Position{}, queue.Reader{
			Verdict: func(queue.Verdict, []byte, uint64) {},
			Failure: func(f queue.Failure, _ []byte, _ uint64) { got <- f.ID },
		})
	}()
	refuse := func(id string) {
		if _, err := q.Refuse(context.Background(), drop(id), "text/plain", queue.Fault{Reason: queue.Unsupported}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(id queue.DropID) {
		t.Helper()
		select {
		case have := <-got:
			if have != id {
				t.Errorf("read %s, want %s", have, id)
			}
		case err := <-ended:
			t.Fatalf("reading ended: %v", err)
		case <-time.After(2 * patience):
			t.Fatalf("%s was not read", id)
		}
	}
	refuse("one")
	want("one")
	e.stop()
	e.start()
	refuse("two")
	want("two")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOpeningTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	first := openQueue(t, dial(t, e.url("")))
	a := submission("a", "/in/a.mp4")
	submit(t, first, a, queue.AcceptedNew)
	second := openQueue(t, dial(t, e.url("")))
	submit(t, second, a, queue.AcceptedJoined)
	wantDepths(t, second, queue.Depths{Upload: 1})
	judgeAll(t, first)
	awaitAnswer(t, second, a.Drop.ID, "verdict fake")
}

func TestAStoreServesOnePlatform(t *testing.T) {
	t.Parallel()
	conn := dial(t, newExternal(t).url(""))
	openQueue(t, conn)
	other := func(ns queue.Namespace) error {
		_, err := queue.Open(deadline(t), conn, queue.Options{Namespace: ns, Platform: "https://other.example", Log: quiet})
		return err
	}
	err := other("")
	for _, want := range []string{platformURL, "https://other.example", "INGEST_STATE_DIR", "INGEST_NAMESPACE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: want it to name %s", err, want)
		}
	}
	if err := other("second"); err != nil {
		t.Errorf("another namespace: %v", err)
	}
}

func TestANamespaceThatIsNoTokenIsRefused(t *testing.T) {
	t.Parallel()
	for _, ns := range []queue.Namespace{"a.b", "a b", "*", ">", "$KV", queue.Namespace(strings.Repeat("a", 65))} {
		if _, err := queue.Open(deadline(t), nil, queue.Options{Namespace: ns}); err == nil || !strings.Contains(err.Error(), "namespace") {
			t.Errorf("%q: %v", ns, err)
		}
	}
}

func TestOpenSaysWhatTheServerLacks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		server func(*server.Options)
		want   []string
	}{
		{"no JetStream", func(o *server.Options) { o.JetStream = false }, []string{"has no JetStream", "-js"}},
		{"JetStream is not for this account", func(o *server.Options) {
			account := server.NewAccount("PLAIN")
			o.Accounts = []*server.Account{account}
			o.Users = []*server.User{{Username: "u", Password: "p", Account: account}}
		}, []string{"not enabled for this NATS account"}},
		{"streams may not be made", func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: []string{"$JS.API.STREAM.CREATE.authenta-verdicts", "$JS.API.STREAM.UPDATE.authenta-verdicts"}},
			}}}
		}, []string{"permission", "$JS.API.STREAM.", "authenta-verdicts"}},
		{"JetStream may not be asked for", func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Deny: []string{"$JS.API.INFO"}},
			}}}
		}, []string{"permission", "$JS.API.INFO"}},
		{"replies may not be received", func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}},
			}}}
		}, []string{"permission", "_INBOX."}},
		{"too little room", func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 }, []string{"create stream", "MB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newExternal(t, c.server)
			user := ""
			if e.options.Users != nil {
				user = "u:p"
			}
			conn := dial(t, e.url(user))
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel() // to the client, a missing permission looks like silence
			_, err := queue.Open(ctx, conn, queue.Options{Log: quiet})
			if err == nil {
				t.Fatal("opened")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q: want it to say %q", err, want)
				}
			}
		})
	}
}

func TestAnOldServerIsRefused(t *testing.T) {
	t.Parallel()
	conn := dial(t, oldServer(t, "2.9.0"))
	_, err := queue.Open(deadline(t), conn, queue.Options{Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "2.9.0") || !strings.Contains(err.Error(), "or later") {
		t.Errorf("error %v", err)
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"2.15.2": true, "2.14.0": true, "3.0.0": true, "2.15.0-RC.1": true, "2.100.0": true,
		"2.10.29": false, "2.9.0": false, "1.99.0": false, "": false, "2": false, "2.x.1": false, "nonsense": false,
	} {
		if err := queue.CheckVersion(version); (err == nil) != want {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestWrongCredentialsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	e := newExternal(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p"}}
	})
	for _, user := range []string{"u:wrong-secret", "nobody:p", ""} {
		began := time.Now()
		conn, err := queue.Dial(deadline(t), queue.Server{URL: e.url(user)}, quiet)
		if err == nil {
			conn.Close()
			t.Errorf("%q: let in", user)
			continue
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q: refused after %s", user, took)
		}
		if !strings.Contains(strings.ToLower(err.Error()), "authorization") || !strings.Contains(err.Error(), "NATS_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", user, err)
		}
	}
}

func TestAServerThatIsNotThereYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	e.stop()
	connected := make(chan error, 1)
	go func() {
		conn, err := queue.Dial(deadline(t), queue.Server{URL: e.url("")}, quiet)
		if err == nil {
			conn.Close()
		}
		connected <- err
	}()
	e.start()
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

func TestWaitingForAServerEndsWithTheContext(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	e.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := queue.Dial(ctx, queue.Server{URL: e.url("")}, quiet); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestAMissingCredentialsFileIsTold(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	conn, err := queue.Dial(deadline(t), queue.Server{URL: e.url(""), Creds: t.TempDir() + "/none.creds"}, quiet)
	if err == nil {
		conn.Close()
		t.Fatal("connected")
	}
	if !strings.Contains(err.Error(), "none.creds") {
		t.Errorf("error %v", err)
	}
}

func TestAPasswordInABrokenURLIsNotTold(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"nats://u:hunter2@host:port", "nats://u:hunter2%zz@127.0.0.1:1", "nats://u:hunter2@[::1", "ftp://u:hunter2@127.0.0.1"} {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		conn, err := queue.Dial(ctx, queue.Server{URL: url}, quiet)
		cancel()
		if err == nil {
			conn.Close()
			t.Errorf("%s: connected", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("told: %v", err)
		}
	}
}

// oldServer speaks as much of the protocol as a client needs to believe that it is connected.
func oldServer(t *testing.T, version string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			greet(c, version)
		}
	}()
	return "nats://" + l.Addr().String()
}

func greet(c net.Conn, version string) {
	defer c.Close()
	fmt.Fprintf(c, "INFO {\"server_id\":\"OLD\",\"version\":%q,\"max_payload\":1048576,\"headers\":true}\r\n", version)
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "PING") {
			fmt.Fprint(c, "PONG\r\n")
		}
	}
}
