package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

// A logbook is a log that can be read while it is written.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) said(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func (l *logbook) log() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// clusterURL are the addresses of a cluster's servers.
func clusterURL(c []*external) string {
	var urls []string
	for _, e := range c {
		urls = append(urls, e.url(""))
	}
	return strings.Join(urls, ",")
}

var streams = []string{
	"authenta-jobs", "authenta-verdicts", "authenta-failures", "authenta-events", "KV_authenta-ledger", "KV_authenta-files", "KV_authenta-control",
}

// wantCopies checks how many copies there are of every stream, and that a record is read from any of them only if there is one.
func wantCopies(t *testing.T, q *queue.Queue, want int) {
	t.Helper()
	for _, name := range streams {
		c := lookUp(t, q, name).CachedInfo().Config
		if c.Replicas != want {
			t.Errorf("%s has %d copies, want %d", name, c.Replicas, want)
		}
		if bucket := strings.HasPrefix(name, "KV_"); c.AllowDirect != (bucket && c.Replicas == 1) {
			t.Errorf("%s, of which there are %d copies, is read from any of them: %t", name, c.Replicas, c.AllowDirect)
		}
	}
}

func replicas(n int) func(*queue.Options) { return func(o *queue.Options) { o.Replicas = n } }

func TestProcessesThatWantDifferentCopiesComeToTheSame(t *testing.T) {
	t.Parallel()
	url := clusterURL(newCluster(t))
	var book logbook
	logged := func(o *queue.Options) { o.Log = book.log() }
	one := openQueue(t, dial(t, url), replicas(1), logged)
	wantCopies(t, one, 1)
	if book.said("INGEST_REPLICAS=3") != 1 {
		t.Error("it does not say what one copy means")
	}
	a := submission("a", "/in/a.mp4")
	submit(t, one, a, queue.AcceptedNew)
	three := openQueue(t, dial(t, url), replicas(3), logged)
	wantCopies(t, three, 3)
	again := openQueue(t, dial(t, url), replicas(1), logged)
	wantCopies(t, again, 3)
	if n := book.said("more copies than INGEST_REPLICAS asks for"); n != len(streams) {
		t.Errorf("it says of %d streams that they keep their copies, of %d", n, len(streams))
	}
	if book.said("INGEST_REPLICAS=3\"") != 1 { // three copies are no reason to warn of one
		t.Error("it warns of one copy where there are three")
	}
	judgeAll(t, again)
	awaitAnswer(t, one, a.Drop.ID, "verdict fake") // which still holds the streams as they were
	wantDepths(t, three, queue.Depths{})
}

func TestProcessesThatStartTogetherWithDifferentSettings(t *testing.T) {
	t.Parallel()
	url := clusterURL(newCluster(t))
	var all sync.WaitGroup
	for i := range 6 {
		conn := dial(t, url)
		all.Go(func() {
			_, err := queue.Open(deadline(t), conn, queue.Options{Platform: platformURL, Replicas: 1 + i%3, Log: quiet})
			if err != nil {
				t.Errorf("the process that wants %d copies: %v", 1+i%3, err)
			}
		})
	}
	all.Wait()
	wantCopies(t, openQueue(t, dial(t, url)), 3)
}

// The registry of a server that was alone need not wait for its disk, which cannot be changed, and which replicas do not allow.
func TestARegistryOfAServerThatWasAloneKeepsItsOneCopy(t *testing.T) {
	t.Parallel()
	conn := dial(t, clusterURL(newCluster(t)))
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(deadline(t), jetstream.StreamConfig{
		Name: "KV_authenta-files", Subjects: []string{"$KV.authenta-files.>"}, Discard: jetstream.DiscardNew, MaxBytes: 1 << 20,
		PersistMode: jetstream.AsyncPersistMode, MaxMsgsPerSubject: 1, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true,
		SubjectDeleteMarkerTTL: time.Minute, AllowDirect: true,
	}); err != nil {
		t.Fatal(err)
	}
	var book logbook
	q := openQueue(t, conn, replicas(3), func(o *queue.Options) { o.Log = book.log() })
	if c := lookUp(t, q, "KV_authenta-files").CachedInfo().Config; c.Replicas != 1 || !c.AllowDirect {
		t.Errorf("%+v", c)
	}
	if c := lookUp(t, q, "KV_authenta-ledger").CachedInfo().Config; c.Replicas != 3 {
		t.Errorf("%+v", c)
	}
	if book.said("keeps its one copy") != 1 {
		t.Error("it does not say so")
	}
	r := q.Registry("")
	if err := r.Remember(deadline(t), queue.FileKeyOf("/in/a.mp4"), queue.FileEntry{URI: "file:///in/a.mp4"}); err != nil {
		t.Error(err)
	}
}

// What waits to be taken in is as safe as what was.
func TestTheStreamsOfMediaHaveAsManyCopiesAsTheOthers(t *testing.T) {
	t.Parallel()
	url := clusterURL(newCluster(t))
	for _, n := range []int{1, 3} {
		q := openQueue(t, dial(t, url), replicas(n))
		if _, err := q.Intake(deadline(t), "", queue.Named{}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"authenta-intake", "OBJ_authenta-media"} {
			if c := lookUp(t, q, name).CachedInfo().Config; c.Replicas != n {
				t.Errorf("%s has %d copies, want %d", name, c.Replicas, n)
			}
		}
	}
}

// Those who hand files in may be on any machine, whose settings are not those of the daemons.
func TestWhoeverHandsFilesInLeavesTheBucketAsItIs(t *testing.T) {
	t.Parallel()
	conn := dial(t, newExternal(t).url(""))
	q := openQueue(t, conn, func(o *queue.Options) { o.StageBytes = 5 << 20 })
	if _, err := q.Intake(deadline(t), "", queue.Named{}); err != nil {
		t.Fatal(err)
	}
	attached, err := queue.Attach(conn, queue.Options{Log: quiet, StageBytes: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attached.PutIn(deadline(t), strings.NewReader("bytes")); err != nil {
		t.Fatal(err)
	}
	if c := lookUp(t, q, "OBJ_authenta-media").CachedInfo().Config; c.MaxBytes != 5<<20 {
		t.Errorf("the bucket may hold %d bytes", c.MaxBytes)
	}
}

// What whoever runs the servers has chosen for a stream stays.
func TestWhatOthersHaveChosenForAStreamStays(t *testing.T) {
	t.Parallel()
	conn := dial(t, newExternal(t).url(""))
	q := openQueue(t, conn)
	c := lookUp(t, q, "authenta-verdicts").CachedInfo().Config
	c.Compression, c.Description, c.MaxBytes = jetstream.S2Compression, "ours", 5
	if _, err := queue.JetStreamOf(q).UpdateStream(deadline(t), c); err != nil {
		t.Fatal(err)
	}
	openQueue(t, conn)
	is := lookUp(t, q, "authenta-verdicts").CachedInfo().Config
	if is.Compression != c.Compression || is.Description != "ours" || is.MaxBytes == 5 {
		t.Errorf("%+v", is)
	}
}

// Two of three servers are up, which is enough to lead, and not to hold three copies; then all of them are, and one of three,
// which is not even enough to lead.
func TestServersThatHaveNotFoundTogetherAreWaitedFor(t *testing.T) {
	t.Parallel()
	for name, up := range map[string]int{"one of three": 1, "two of three": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := makeCluster(t)
			for _, e := range all[:up] {
				e.run(t)
			}
			var book logbook
			opened := make(chan error, 1)
			conn := dial(t, all[0].url(""))
			go func() {
				_, err := queue.Open(deadline(t), conn, queue.Options{Platform: platformURL, Replicas: 3, Log: book.log()})
				opened <- err
			}()
			await(t, "it says that it waits", func() bool { return book.said("waiting for it") > 0 })
			for _, e := range all[up:] {
				e.run(t)
			}
			if err := <-opened; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A message whose first try is still under way is refused for the time being, where it is copied to others first.
func TestAPublishThatTheFirstTryIsInTheWayOfIsTriedOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  jetstream.APIError
		want bool
	}{
		{jetstream.APIError{Code: 409, ErrorCode: 10158, Description: "duplicate message id is in process"}, true},
		{jetstream.APIError{Code: 503, ErrorCode: 10163, Description: "expected last sequence per subject temporarily unavailable"}, true},
		{jetstream.APIError{Code: 503, ErrorCode: 10008}, true},
		{jetstream.APIError{Code: 500, ErrorCode: 10009}, true},
		{jetstream.APIError{Code: 429, ErrorCode: 10210}, true},
		{jetstream.APIError{Code: 400, ErrorCode: 10054, Description: "message size exceeds maximum allowed"}, false},
		{jetstream.APIError{Code: 400, ErrorCode: 10109, Description: "invalid operation on sealed stream"}, false},
	} {
		if got := queue.IsTransient(&c.err); got != c.want {
			t.Errorf("%d %s: tried on %t", c.err.ErrorCode, c.err.Description, got)
		}
	}
	if !queue.IsTransient(nats.ErrNoResponders) || !queue.IsTransient(fmt.Errorf("x: %w", context.DeadlineExceeded)) {
		t.Error("a broker that is away is not waited for")
	}
}

// limited starts a server with an account u:p that has these limits.
func limited(t *testing.T, limits server.JetStreamAccountLimits) *external {
	t.Helper()
	account := server.NewAccount("LIMITED")
	e := newExternal(t, func(o *server.Options) {
		o.Accounts = []*server.Account{account}
		o.Users = []*server.User{{Username: "u", Password: "p", Account: account}}
	})
	e.limit(limits)
	return e
}

// limit gives the account of limited these limits; what they leave at zero is not limited.
func (e *external) limit(l server.JetStreamAccountLimits) {
	e.t.Helper()
	for _, n := range []*int64{&l.MaxMemory, &l.MaxStore} {
		if *n == 0 {
			*n = -1
		}
	}
	for _, n := range []*int{&l.MaxStreams, &l.MaxConsumers, &l.MaxAckPending} {
		if *n == 0 {
			*n = -1
		}
	}
	account, err := e.server.LookupAccount("LIMITED")
	if err == nil {
		limits := map[string]server.JetStreamAccountLimits{"": l}
		if account.JetStreamEnabled() {
			err = account.UpdateJetStreamLimits(limits)
		} else {
			err = account.EnableJetStream(limits, nil)
		}
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

func TestWhatAnAccountMayNotHaveIsSaidWithWhatToAskFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits server.JetStreamAccountLimits
		want   []string
	}{
		"storage":       {server.JetStreamAccountLimits{MaxStore: 1 << 30}, []string{"7", "MB a copy", "--js-disk-storage"}},
		"streams":       {server.JetStreamAccountLimits{MaxStreams: 3}, []string{"9 are needed", "max_streams"}},
		"consumers":     {server.JetStreamAccountLimits{MaxConsumers: 1}, []string{"max_consumers"}},
		"large streams": {server.JetStreamAccountLimits{StoreMaxStreamBytes: 1 << 20}, []string{"4096 MB", "max_stream_bytes"}},
		"in flight":     {server.JetStreamAccountLimits{MaxAckPending: 1000}, []string{"INGEST_IN_FLIGHT=100000", "max_ack_pending"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, limited(t, c.limits).url("u:p"))
			wantAdvice(t, conn, 1, c.want...)
		})
	}
}

// wantAdvice opens a queue and wants the refusal to say things.
func wantAdvice(t *testing.T, conn *queue.Conn, copies int, wants ...string) {
	t.Helper()
	_, err := queue.Open(deadline(t), conn, queue.Options{Platform: platformURL, Replicas: copies, Log: quiet})
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q: want it to say %q", err, want)
		}
	}
}

// An account that is full at run time makes files wait, as a full disk does: it is no fault of theirs.
func TestAnAccountThatIsFullTakesNothingNewAndGoesOn(t *testing.T) {
	t.Parallel()
	e := limited(t, server.JetStreamAccountLimits{})
	q := openQueue(t, dial(t, e.url("u:p")))
	e.limit(server.JetStreamAccountLimits{MaxStore: 1})
	a := submission("a", "/in/a.mp4")
	if _, err := q.Submit(deadline(t), a); !errors.Is(err, queue.ErrFull) {
		t.Errorf("%v, want ErrFull", err)
	}
	e.limit(server.JetStreamAccountLimits{})
	submit(t, q, a, queue.AcceptedNew)
}

func TestMoreCopiesThanThereAreServersAreSaidWithTheSetting(t *testing.T) {
	t.Parallel()
	t.Run("a server that is alone", func(t *testing.T) {
		t.Parallel()
		wantAdvice(t, dial(t, newExternal(t).url("")), 3, "not part of a cluster", "INGEST_REPLICAS=1 (it is 3)")
	})
	t.Run("a cluster", func(t *testing.T) {
		t.Parallel()
		wantAdvice(t, dial(t, clusterURL(newCluster(t))), 5, "INGEST_REPLICAS=5 needs as many servers")
	})
	t.Run("one with too little room", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 30 })
		wantAdvice(t, dial(t, clusterURL(c)), 3, "3 servers are needed that have", "max_file_store")
	})
	t.Run("one whose servers are all in one place", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t, func(o *server.Options) { o.JetStreamUniqueTag, o.Tags = "az:", []string{"az:1"} })
		wantAdvice(t, dial(t, clusterURL(c)), 3, "unique_tag", "3 are needed")
	})
}

func TestSubjectsThatAnotherStreamHasAreSaidWithTheSetting(t *testing.T) {
	t.Parallel()
	conn := dial(t, newExternal(t).url(""))
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(deadline(t), jetstream.StreamConfig{Name: "ALL", Subjects: []string{"authenta.>"}}); err != nil {
		t.Fatal(err)
	}
	wantAdvice(t, conn, 1, "authenta.jobs.>", "INGEST_NAMESPACE")
}

// A consumer of a stream whose copies are still being made has no place yet; a stream that finds no room will find none.
func TestWhatPassesIsToldFromWhatDoesNot(t *testing.T) {
	t.Parallel()
	refused := func(status int, code jetstream.ErrorCode, said string) error {
		return &jetstream.APIError{Code: status, ErrorCode: code, Description: said}
	}
	noRoom := refused(503, 10023, "insufficient resources")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{noRoom, false}, {queue.Unplaced(noRoom), true},
		{refused(400, 10005, "no suitable peers for placement, peer offline"), true},
		{refused(400, 10005, "no suitable peers for placement, insufficient storage"), false},
		{refused(503, 10076, "JetStream not enabled"), false},
		{refused(503, 10008, "JetStream system temporarily unavailable"), true},
		{refused(400, 10226, "stream reconfiguration already in progress"), true},
		{queue.Unplaced(refused(400, 10026, "maximum consumers limit reached")), false},
		{fmt.Errorf("x: %w", jetstream.ErrNoStreamResponse), true}, {nats.ErrTimeout, true}, {errors.New("no"), false},
	} {
		if got := queue.Unready(c.err); got != c.want {
			t.Errorf("%v: waited for %t", c.err, got)
		}
	}
}
