package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// A quorum is three NATS servers, each a process, that keep copies of each other's streams.
type quorum struct {
	w       *world
	servers []*node
}

// A node is one of them.
type node struct {
	port   int
	routes string // ports, its own first
	store  string
	run    *program
}

func (w *world) quorum() *quorum {
	w.t.Helper()
	q := &quorum{w: w}
	var routes, urls []string
	for range 3 {
		address, port := freePort(w.t)
		_, route := freePort(w.t)
		q.servers = append(q.servers, &node{port: port, store: w.t.TempDir()})
		routes, urls = append(routes, fmt.Sprint(route)), append(urls, "nats://"+address)
	}
	for i, n := range q.servers {
		n.routes = strings.Join(append(routes[i:len(routes):len(routes)], routes[:i]...), ",")
		q.start(n)
	}
	w.env["NATS_URL"], w.env["INGEST_REPLICAS"] = strings.Join(urls, ","), "3"
	return q
}

func (q *quorum) start(n *node) {
	q.w.t.Helper()
	n.run = startProgram(q.w.t, map[string]string{beTheBroker: fmt.Sprint(n.port), brokerRoutes: n.routes, brokerStore: n.store}, nil, nil)
}

// leader is the server that leads a stream.
func (q *quorum) leader(js jetstream.JetStream, stream string) *node {
	q.w.t.Helper()
	var leads *node
	eventually(q.w.t, time.Minute, "the stream has a leader", func() bool {
		s, err := js.Stream(q.w.t.Context(), stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		for _, n := range q.servers {
			if own, _, _ := strings.Cut(n.routes, ","); s.CachedInfo().Cluster.Leader == "broker-"+own {
				leads = n
			}
		}
		return leads != nil
	})
	return leads
}

// A crew is some watchers, each with a folder of its own, and some workers, on a quorum.
type crew struct {
	*world
	quorum   *quorum
	conn     *queue.Conn
	subject  *publisher
	js       jetstream.JetStream
	queue    *queue.Queue
	watchers []*program
	inboxes  []string
	referred string // where the files are that references name
	workers  []*program
	kills    []killed
	expected map[*program]bool // that were killed
}

// A killed is what was killed, and when.
type killed struct {
	what string
	at   time.Time
}

func (w *world) crew(watchers, workers int) *crew {
	w.t.Helper()
	c := &crew{world: w, quorum: w.quorum(), expected: map[*program]bool{}}
	c.subject, c.referred = w.publisher(), w.t.TempDir()
	delete(w.env, "INGEST_SUBJECTS") // workers take nothing from them
	for i := range watchers {
		c.inboxes = append(c.inboxes, filepath.Join(w.t.TempDir(), "inbox"))
		if err := os.Mkdir(c.inboxes[i], 0o755); err != nil {
			w.t.Fatal(err)
		}
		c.watchers = append(c.watchers, c.watch(i)) // before there is a leader: the order does not matter
	}
	for range workers {
		c.workers = append(c.workers, w.start(workerOnly, "run", "--json"))
	}
	var err error
	if c.conn, err = queue.Dial(w.t.Context(), queue.Server{URL: w.env["NATS_URL"]}, discard); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.conn.Close)
	if c.queue, err = queue.Open(w.t.Context(), c.conn, queue.Options{Replicas: 3, Log: discard}); err != nil {
		w.t.Fatal(err)
	}
	if c.js, err = jetstream.New(c.conn.Conn); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (c *crew) watch(i int) *program {
	return c.start(watcherOnly("INGEST_SUBJECTS", "media.in", "INGEST_ROOTS", c.referred), "run", c.inboxes[i])
}

// bring has a file arrive, by the way that its number says: half of them come in a folder, the others by subject, as a reference or
// as bytes. A publisher goes on until it has its acknowledgement, and says that it is the same message.
func (c *crew) bring(n, content int) {
	c.t.Helper()
	name, header := fmt.Sprintf("%04d.jpg", n), nats.Header{nats.MsgIdHdr: {fmt.Sprint(n)}}
	switch n % 4 {
	case 2:
		path := filepath.Join(c.referred, name)
		if err := deposit(path, picture(content)); err != nil {
			c.t.Fatal(err)
		}
		c.publish(fmt.Appendf(nil, `{"uri": %q}`, queue.FileURI(path)), header)
		return
	case 3:
		header.Set("Name", name)
		c.publish(picture(content), header)
		return
	}
	if err := deposit(filepath.Join(c.inboxes[n%len(c.inboxes)], fmt.Sprintf("%04d.jpg", n)), picture(content)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crew) publish(data []byte, header nats.Header) {
	c.t.Helper()
	eventually(c.t, time.Minute, "a publisher has its acknowledgement", func() bool {
		_, err := c.subject.js.PublishMsg(c.t.Context(), &nats.Msg{Subject: "media.in", Data: data, Header: header})
		return err == nil
	})
}

// kill ends a process as if it lost its power.
func (c *crew) kill(what string, p *program) {
	c.t.Helper()
	c.expected[p] = true
	p.kill()
	c.kills = append(c.kills, killed{what, time.Now()})
}

// answers is how many terminal messages there are.
func (c *crew) answers() int {
	end, err := c.queue.End(c.t.Context())
	if err != nil {
		return 0
	}
	return int(end.Verdicts + end.Failures)
}

// awaitAnswers waits until so many drops have their answer, and looks whether a process has ended that should not.
func (c *crew) awaitAnswers(n int) {
	c.t.Helper()
	eventually(c.t, finishTime, fmt.Sprintf("%d drops are answered", n), func() bool {
		for _, p := range append(c.watchers, c.workers...) {
			select {
			case <-p.exited:
				if !c.expected[p] {
					c.t.Fatalf("a process has ended by itself with %d", p.cmd.ProcessState.ExitCode())
				}
			default:
			}
		}
		return c.answers() >= n
	})
}

// logProgress prints for how long no answer came after each kill, by the times of the messages on the stream.
func (c *crew) logProgress() {
	c.t.Helper()
	var at []time.Time
	s, err := c.js.Stream(c.t.Context(), "authenta-verdicts")
	if err != nil {
		c.t.Fatal(err)
	}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(c.t.Context(), seq)
		if err != nil {
			c.t.Fatal(err)
		}
		at = append(at, msg.Time)
	}
	if len(at) == 0 {
		return
	}
	for i, k := range c.kills {
		until := at[len(at)-1]
		if i+1 < len(c.kills) {
			until = c.kills[i+1].at
		}
		longest, last := time.Duration(0), k.at
		for _, t := range at {
			if t.After(k.at) && !t.After(until) {
				longest, last = max(longest, t.Sub(last)), t
			}
		}
		c.t.Logf("killed %s: the longest time without an answer after it was %s, and the last one came %s after it",
			k.what, longest.Round(time.Millisecond), last.Sub(k.at).Round(time.Millisecond))
	}
	c.t.Logf("all: %d answers within %s", len(at), at[len(at)-1].Sub(at[0]).Round(time.Millisecond))
}

// TestACrewGoesOnWhicheverProcessOrServerIsKilled has two watchers and several workers, with the streams in three copies, and
// kills one after the other: the server that leads a stream, a worker, a watcher.
func TestACrewGoesOnWhicheverProcessOrServerIsKilled(t *testing.T) {
	t.Parallel()
	files, workers, rate := 80, 2, 40
	if *long {
		files, workers, rate = 2000, 4, 100
	}
	w := newWorld(t, sandbox.Options{Latency: 300 * time.Millisecond})
	w.env["AUTHENTA_MUTATION_RATE"], w.env["AUTHENTA_QUERY_RATE"] = fmt.Sprint(rate), fmt.Sprint(2*rate)
	c := w.crew(2, workers)
	copies := 0
	bring := func(from, to int) {
		for n := from; n < to; n++ {
			content := n
			if n%10 == 9 { // some come twice
				content, copies = n-3, copies+1
			}
			c.bring(n, content)
		}
	}
	bring(0, files*3/5)
	c.awaitAnswers(files / 5)
	leader := c.quorum.leader(c.js, "KV_authenta-ledger")
	c.kill("the server that leads the ledger", leader.run)
	c.quorum.start(leader)
	bring(files*3/5, files)
	c.awaitAnswers(files * 2 / 5)
	c.kill("a worker", c.workers[0])
	if *long {
		c.awaitAnswers(files * 3 / 5)
		c.kill("a watcher", c.watchers[0])
		c.watchers[0] = c.watch(0)
		c.awaitAnswers(files * 4 / 5)
		leader := c.quorum.leader(c.js, "authenta-jobs")
		c.kill("the server that leads the queues", leader.run)
		c.quorum.start(leader)
	}
	c.awaitAnswers(files)
	eventually(t, finishTime, "the queue is empty", func() bool {
		depths, err := c.queue.Depths(t.Context())
		return err == nil && depths == (queue.Depths{})
	})
	c.check(readTerminals(t, c.queue), files, files-copies)
	c.logProgress()
}
