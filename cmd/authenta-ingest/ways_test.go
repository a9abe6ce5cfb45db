package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher"
	"github.com/authenta/authenta-ingest/watcher/fetch"
	"github.com/authenta/authenta-ingest/watcher/media"
	"github.com/authenta/authenta-ingest/watcher/room"
	"github.com/authenta/authenta-ingest/watcher/subject"
)

// BenchmarkWays counts what a file costs the broker by each way in which it may come: for each stream how many messages are
// written a file ("msg"), and how many bytes of them are left when it is judged ("B"); and what is asked of the broker. Where
// many files come at once, writes go together: "alone" and "together" say how the durable ones went, "batches" how often the
// broker waited for its disk for the latter. The tap that counts takes time: BenchmarkFile is the one for that.
//
//	go test ./cmd/authenta-ingest -run '^$' -bench Ways -benchmem -benchtime 2000x
func BenchmarkWays(b *testing.B) {
	b.Run("folder", func(b *testing.B) {
		l := newLine(b)
		l.fill()
		l.counted(l.watcher().Run)
	})
	b.Run("folder staged", func(b *testing.B) {
		l := newLine(b)
		l.fill()
		l.counted(l.watcher(func(o *watcher.Options) { o.Stage = true }).Run)
	})
	b.Run("bytes in a message", func(b *testing.B) {
		l := newLine(b)
		l.counted(l.taker(func(n int) *nats.Msg {
			return &nats.Msg{Data: l.file(n), Header: nats.Header{"Content-Type": {"image/jpeg"}, "Name": {fmt.Sprintf("%d.jpg", n)}}}
		}))
	})
	b.Run("reference in a message", func(b *testing.B) {
		l := newLine(b)
		l.fill()
		l.counted(l.taker(func(n int) *nats.Msg {
			data, err := json.Marshal(map[string]string{"uri": "file://" + filepath.Join(l.inbox, fmt.Sprintf("%d.jpg", n))})
			if err != nil {
				b.Fatal(err)
			}
			return &nats.Msg{Data: data}
		}))
	})
}

// taker publishes a message a file, and returns what takes them in.
func (l *line) taker(message func(n int) *nats.Msg) func(context.Context) error {
	l.b.Helper()
	in, err := l.queue.Intake(l.b.Context(), "", queue.Named{Subjects: []string{"media.in"}, Roots: []string{l.inbox}})
	if err != nil {
		l.b.Fatal(err)
	}
	f, err := fetch.New(fetch.Options{})
	if err != nil {
		l.b.Fatal(err)
	}
	t, err := subject.New(subject.Options{
		Queue: l.queue, Intake: in, Models: media.Models{Images: []queue.Model{"AC-1"}}, Fetch: f,
		Roots: []string{l.inbox}, Room: room.New(l.queue, discard), Log: discard,
	})
	if err != nil {
		l.b.Fatal(err)
	}
	js, err := jetstream.New(l.conn.Conn)
	if err != nil {
		l.b.Fatal(err)
	}
	for n := range l.b.N {
		m := message(n)
		m.Subject = "media.in"
		if _, err := js.PublishMsg(l.b.Context(), m); err != nil {
			l.b.Fatal(err)
		}
	}
	return t.Run
}

// counted runs the line, and reports what it has written and asked.
func (l *line) counted(source func(context.Context) error) {
	b := l.b
	js, err := jetstream.New(l.conn.Conn)
	if err != nil {
		b.Fatal(err)
	}
	tap := newTap(b, l.conn.Conn)
	before := written(b, js)
	l.run(source)
	asked := tap.stop()
	perFile := func(n int64) float64 { return float64(n) / float64(b.N) }
	for name, now := range written(b, js) {
		if msgs := int64(now.LastSeq - before[name].LastSeq); perFile(msgs) >= 0.05 {
			b.ReportMetric(perFile(msgs), name+"-msg/file")
		}
		if bytes := int64(now.Bytes); perFile(bytes) >= 5 {
			b.ReportMetric(perFile(bytes), name+"-B/file")
		}
	}
	for what, n := range asked {
		b.ReportMetric(perFile(n), what+"/file")
	}
}

// written is the state of every stream, by its name without the namespace. What the intake stream was given before counts.
func written(b *testing.B, js jetstream.JetStream) map[string]jetstream.StreamState {
	b.Helper()
	all := map[string]jetstream.StreamState{}
	list := js.ListStreams(b.Context())
	for info := range list.Info() {
		name := info.Config.Name[strings.LastIndexByte(info.Config.Name, '-')+1:]
		all[name] = info.State
	}
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	return all
}

// A tap counts what goes to the broker.
type tap struct {
	b    *testing.B
	conn *nats.Conn
	sub  *nats.Subscription

	mu    sync.Mutex
	found map[string]int64
}

func newTap(b *testing.B, conn *nats.Conn) *tap {
	b.Helper()
	t := &tap{b: b, conn: conn, found: map[string]int64{}}
	var err error
	if t.sub, err = conn.Subscribe(">", t.take); err != nil {
		b.Fatal(err)
	}
	if err := t.sub.SetPendingLimits(-1, -1); err != nil {
		b.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		b.Fatal(err)
	}
	return t
}

func (t *tap) take(m *nats.Msg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s := m.Subject; {
	case strings.HasPrefix(m.Reply, "$JS.ACK."), strings.HasPrefix(s, "_INBOX."): // what the broker hands out, and answers
	case strings.HasPrefix(s, "$JS.ACK."):
		t.found["acks"]++
	case strings.HasPrefix(s, "$JS.API.CONSUMER.MSG.NEXT."):
		t.found["pulls"]++
	case strings.HasPrefix(s, "$JS.API.DIRECT.GET."), strings.HasPrefix(s, "$JS.API.STREAM.MSG.GET."):
		t.found["reads"]++
	case strings.HasPrefix(s, "$JS.API.STREAM.PURGE."):
		t.found["purges"]++
	case strings.HasPrefix(s, "$JS.API."):
		t.found["other-requests"]++
	case strings.HasPrefix(s, "$KV.authenta-files."), strings.HasPrefix(s, "$KV.authenta-control."), m.Reply == "" && m.Header.Get("Nats-Batch-Id") == "":
	case m.Header.Get("Nats-Batch-Commit") != "":
		t.found["batches"]++
		t.found["together"]++
	case m.Header.Get("Nats-Batch-Id") != "":
		t.found["together"]++
	case strings.HasPrefix(s, "$KV."), strings.HasPrefix(s, "$O."), strings.HasPrefix(s, "authenta."):
		t.found["alone"]++
	}
}

// stop returns what was counted.
func (t *tap) stop() map[string]int64 {
	if err := t.conn.Flush(); err != nil {
		t.b.Fatal(err)
	}
	await := t.sub.Drain()
	for await == nil && t.sub.IsValid() {
		if n, _, err := t.sub.Pending(); err != nil || n == 0 {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.found
}
