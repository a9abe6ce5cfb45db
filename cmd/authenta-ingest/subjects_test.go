package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// A publisher hands media in on a subject, as a user's own program does: it knows nothing of this one.
type publisher struct {
	*world
	nats    *nats.Conn
	js      jetstream.JetStream
	objects jetstream.ObjectStore
	web     *httptest.Server // serves /N.jpg to those who have signed for it
	content func(n int) int  // of which picture message n is
}

// signature is what the addresses of a publisher's web server have to bring along. Nobody is to print it.
const signature = "X-Amz-Signature=not-to-be-told-71c3"

// publisher has the world's daemons take in what comes on media.in, by a NATS server that outlives them.
func (w *world) publisher() *publisher {
	w.t.Helper()
	if w.env["NATS_URL"] == "" {
		w.broker()
	}
	w.env["INGEST_SUBJECTS"] = "media.in"
	p := &publisher{world: w, content: func(n int) int { return n }}
	var err error
	if p.nats, err = nats.Connect(w.env["NATS_URL"], nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1)); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.nats.Close)
	if p.js, err = jetstream.New(p.nats); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// serve has the publisher own an object store and a web server, which the daemons trust.
func (p *publisher) serve() {
	p.t.Helper()
	var err error
	if p.objects, err = p.js.CreateObjectStore(p.t.Context(), jetstream.ObjectStoreConfig{Bucket: "THEIRS"}); err != nil {
		p.t.Fatal(err)
	}
	p.web = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".jpg"))
		if err != nil || r.URL.RawQuery != signature {
			http.Error(rw, "signature does not match", http.StatusForbidden)
			return
		}
		_, _ = rw.Write(picture(p.content(n)))
	}))
	p.t.Cleanup(p.web.Close)
	authority := filepath.Join(p.t.TempDir(), "authority.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.web.Certificate().Raw})
	if err := os.WriteFile(authority, data, 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.env["SSL_CERT_FILE"], p.env["SSL_CERT_DIR"] = authority, filepath.Dir(authority) // as the system's own, to the program
	p.env["INGEST_URL_HOSTS"], p.env["INGEST_URL_PRIVATE"] = strings.TrimPrefix(p.web.URL, "https://"), "true"
	p.env["INGEST_ROOTS"] = p.inbox
}

// publish publishes and returns the id of the drop that its acknowledgement names.
func (p *publisher) publish(data []byte, header nats.Header) queue.DropID {
	p.t.Helper()
	ack, err := p.js.PublishMsg(p.t.Context(), &nats.Msg{Subject: "media.in", Data: data, Header: header})
	if err != nil {
		p.t.Fatalf("a publisher was told: %v", err)
	}
	return queue.DropID(fmt.Sprintf("%s-%d", ack.Stream, ack.Sequence))
}

func (p *publisher) refer(uri string) queue.DropID {
	p.t.Helper()
	data, err := json.Marshal(map[string]string{"uri": uri})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.publish(data, nil)
}

// bring publishes message n, in the form that its number says: bytes, file:, nats-object: or https:.
func (p *publisher) bring(n int) queue.DropID {
	p.t.Helper()
	data, name := picture(p.content(n)), fmt.Sprintf("%d.jpg", n)
	switch n % 4 {
	case 0:
		return p.publish(data, nats.Header{"Content-Type": {"image/jpeg"}, "Name": {name}})
	case 1:
		return p.refer(queue.FileURI(p.write(name, data)))
	case 2:
		if _, err := p.objects.PutBytes(p.t.Context(), name, data); err != nil {
			p.t.Fatal(err)
		}
		return p.refer("nats-object://THEIRS/" + name)
	}
	return p.refer(p.web.URL + "/" + name + "?" + signature)
}

// untaken is how many messages are on the intake stream; -1: that cannot be said.
func (p *publisher) untaken() int {
	s, err := p.js.Stream(p.t.Context(), "authenta-intake")
	if err != nil {
		return -1
	}
	return int(s.CachedInfo().State.Msgs)
}

// stagedSince counts the messages in the staging bucket that were written after a time.
func (p *publisher) stagedSince(since time.Time) (n, all int) {
	p.t.Helper()
	s, err := p.js.Stream(p.t.Context(), "OBJ_authenta-media")
	if err != nil {
		p.t.Fatal(err)
	}
	state := s.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		if msg, err := s.GetMsg(p.t.Context(), seq); err == nil {
			if all++; msg.Time.After(since) {
				n++
			}
		}
	}
	return n, all
}

// objectNames are those of the objects that are staged whole.
func (p *publisher) objectNames() (names []string) {
	p.t.Helper()
	bucket, err := p.js.ObjectStore(p.t.Context(), "authenta-media")
	if err != nil {
		p.t.Fatal(err)
	}
	objects, err := bucket.List(p.t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		p.t.Fatal(err)
	}
	for _, o := range objects {
		names = append(names, o.Name)
	}
	return names
}

func TestWhatIsPublishedWhileNoDaemonRunsIsJudgedByTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	p := w.publisher()
	first := w.start(nil, "run", "--once") // no folder
	if code := first.wait(finishTime); code != exitDone {
		t.Fatalf("with nothing to do it ended with %d", code)
	}
	ids := map[queue.DropID]bool{}
	for n := range 3 {
		ids[p.publish(picture(n), nats.Header{"Meta-Case": {fmt.Sprint(n)}})] = true
	}
	bad := p.publish([]byte("no picture"), nil)
	second := w.start(nil, "run", "--once", "--json")
	if code := second.wait(finishTime); code != exitFailed {
		t.Errorf("with a message that is no picture it ended with %d, want %d", code, exitFailed)
	}
	verdicts := second.verdictLines()
	for _, v := range verdicts {
		if n := w.number(v.Digest, 3); !ids[v.ID] || string(v.Meta["Case"]) != fmt.Sprintf("%q", fmt.Sprint(n)) {
			t.Errorf("%s has meta %v, and is picture %d; acknowledged were %v", v.ID, v.Meta, n, ids)
		}
	}
	if said := second.stderr.String(); len(verdicts) != 3 || !strings.Contains(said, string(queue.Invalid)) || p.untaken() != 0 {
		t.Errorf("%d verdicts, %d messages are left: %s", len(verdicts), p.untaken(), said)
	}
	for _, m := range readTerminals(t, w.queue()) {
		if m.Reason != "" && (m.ID != bad || m.Reason != queue.Invalid) {
			t.Errorf("%s: %s", m.ID, m.Reason)
		}
	}
}

// number tells which of n pictures has a digest; -1: none.
func (w *world) number(d queue.Digest, n int) int {
	for i := range n {
		if fmt.Sprintf("%x", sha256.Sum256(picture(i))) == string(d) {
			return i
		}
	}
	return -1
}

// TestKilledAmidstMessagesEachIsAnsweredAndEachContentPaidOnce publishes in all forms while the daemon is killed again and again:
// while it takes messages in, and while it works.
func TestKilledAmidstMessagesEachIsAnsweredAndEachContentPaidOnce(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	messages, kills := 100, 4
	if *long {
		messages, kills = 1000, 20
	}
	w := newWorld(t, sandbox.Options{Latency: 300 * time.Millisecond})
	w.env["AUTHENTA_MUTATION_RATE"] = "200"
	p := w.publisher()
	p.serve()
	copies := messages / 10
	p.content = func(n int) int { return n % (messages - copies) }
	if code := w.start(nil, "run", "--once").wait(finishTime); code != exitDone {
		t.Fatalf("the subject is not captured: it ended with %d", code)
	}

	var said []*program
	var killed time.Time
	ids := map[queue.DropID]bool{}
	next, batch := 0, messages/kills
	amidst := map[string]int{}
	for round := range kills {
		daemon := w.start(nil, "run")
		said = append(said, daemon)
		bring := func(n int) {
			for range n {
				ids[p.bring(next)] = true
				next++
			}
		}
		down := 0 // how many are published when it is killed
		if round%2 == 0 {
			eventually(t, time.Minute, "the daemon takes in what comes", func() bool { return strings.Contains(daemon.stderr.String(), `"watching"`) })
			down = random.IntN(batch)
			bring(batch - down)
		} else {
			moment := w.momentOfWork(random, batch)
			bring(batch)
			eventually(t, time.Minute, "the moment has come, or there is nothing to do", func() bool {
				return moment() || p.untaken() == 0 && w.platform.Ledger().PutsCompleted >= min(next, messages-copies)
			})
		}
		daemon.kill()
		killed = time.Now()
		if p.untaken() > 0 {
			amidst["messages that were not taken in"]++
		}
		if w.platform.Ledger().PutsCompleted < min(next, messages-copies) {
			amidst["files that were not uploaded"]++
		}
		bring(down)
	}
	t.Logf("kills: %v", amidst)
	if amidst["messages that were not taken in"] == 0 || amidst["files that were not uploaded"] == 0 {
		t.Error("the kills have hit nothing")
	}
	last := w.start(nil, "run", "--once")
	if code := last.wait(finishTime); code != exitDone {
		t.Errorf("the last run ended with %d", code)
	}
	terminals := readTerminals(t, w.queue())
	w.check(terminals, messages, messages-copies)
	for _, m := range terminals {
		if !ids[m.ID] {
			t.Errorf("%s was answered, and is no message that was acknowledged", m.ID)
		}
	}
	if n := p.untaken(); n != 0 || len(ids) != messages {
		t.Errorf("%d messages are left on the intake stream of %d", n, len(ids))
	}
	since, all := p.stagedSince(killed)
	// Whatever was staged when a crash came, and was not needed afterwards because a copy of it had its answer, is swept when it is old.
	if t.Logf("%d chunks are staged of what crashes have left, of these objects: %q", all, p.objectNames()); since != 0 {
		t.Errorf("%d chunks are staged though nobody was killed after that", since)
	}
	for _, program := range append(said, last) {
		if strings.Contains(program.stderr.String(), "not-to-be-told") {
			t.Errorf("a web address was logged with its signature")
		}
	}
	for _, m := range terminals {
		if strings.Contains(m.URI, "not-to-be-told") {
			t.Errorf("an answer has a web address with its signature")
		}
	}
}

// momentOfWork comes after some calls to the platform, by chance, that a batch needs.
func (w *world) momentOfWork(random *rand.Rand, batch int) func() bool {
	calls := func() int {
		l := w.platform.Ledger()
		return l.Total(sandbox.OpCreate) + l.Total(sandbox.OpPut) + l.Total(sandbox.OpGet) + l.Total(sandbox.OpList)
	}
	enough := calls() + 1 + random.IntN(2*batch)
	return func() bool { return calls() >= enough }
}

func TestAStreamOfTheUsersIsTakenFromAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	p := w.publisher()
	theirs, err := p.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MEDIA", Subjects: []string{"media.>"}})
	if err != nil {
		t.Fatal(err)
	}
	p.publish(picture(0), nil) // before any daemon knows of it
	w.env["INGEST_SUBJECTS"] = "media.in,other.in"
	for run := range 2 {
		if id := p.publish(picture(run+1), nil); !strings.HasPrefix(string(id), "MEDIA-") {
			t.Errorf("it is the message %s", id)
		}
		if _, err := p.js.Publish(t.Context(), "media.elsewhere", picture(10+run)); err != nil {
			t.Fatal(err)
		}
		d := w.start(nil, "run", "--once", "--json")
		if code := d.wait(finishTime); code != exitDone {
			t.Fatalf("ended with %d", code)
		}
		for _, v := range d.verdictLines() {
			if n := w.number(v.Digest, 3); !strings.HasPrefix(string(v.ID), "MEDIA-") || n < run || n > run+1 {
				t.Errorf("run %d has judged %s, picture %d", run, v.ID, n)
			}
		}
	}
	w.check(readTerminals(t, w.queue()), 3, 3)
	info, err := theirs.Info(t.Context())
	if err != nil || info.State.Msgs != 5 || info.State.Consumers != 1 {
		t.Errorf("the stream has %+v, %v", info.State, err)
	}
	own, err := p.js.Stream(t.Context(), "authenta-intake")
	if err != nil {
		t.Fatal(err)
	}
	if s := own.CachedInfo().Config.Subjects; fmt.Sprint(s) != "[authenta.intake other.in]" || own.CachedInfo().State.LastSeq >= own.CachedInfo().State.FirstSeq {
		t.Errorf("the intake stream captures %v, and has %+v", s, own.CachedInfo().State)
	}
}

// TestARequestIsAnsweredWithTheIdOfItsDrop asks a daemon, as a client does that has nothing but NATS.
func TestARequestIsAnsweredWithTheIdOfItsDrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	path := w.write("elsewhere.jpg", picture(1))
	roots := t.TempDir()
	w.env["INGEST_ROOTS"] = filepath.Dir(path)
	d := w.start(map[string]string{"INGEST_DIRS": roots}, "run", "--json")
	w.status() // it is up
	conn, err := nats.Connect("nats://" + w.env["INGEST_NATS_LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := map[queue.DropID]int{}
	for n, m := range []*nats.Msg{
		{Data: picture(0), Header: nats.Header{"Content-Type": {"image/jpeg"}, "Name": {"a.jpg"}, "Meta-Case": {"7"}}},
		{Data: fmt.Appendf(nil, `{"uri": %q, "name": "a.jpg", "meta": {"Case": "7"}}`, queue.FileURI(path))},
	} {
		m.Subject = "authenta.ctl.submit"
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		answer, err := conn.RequestMsgWithContext(ctx, m)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		var reply struct{ ID queue.DropID }
		if err := json.Unmarshal(answer.Data, &reply); err != nil || reply.ID == "" {
			t.Fatalf("it is answered with %s %v", answer.Data, answer.Header)
		}
		want[reply.ID] = n
	}
	eventually(t, finishTime, "both are judged", func() bool { return d.judged() == 2 })
	for _, v := range d.verdictLines() {
		if n, ok := want[v.ID]; !ok || w.number(v.Digest, 2) != n || v.Name != "a.jpg" || string(v.Meta["Case"]) != `"7"` {
			t.Errorf("%+v, of requests answered with %v", v, want)
		}
	}
	d.terminate()
}
