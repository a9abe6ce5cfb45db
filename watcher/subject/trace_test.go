package subject

import (
	"maps"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	state  = "vendor=1,other=2"
)

// answeredIn are the traces in the headers of the terminal messages on a stream, by the drops that they answer.
func (w *world) answeredIn(stream string) map[queue.DropID]queue.Trace {
	w.t.Helper()
	s, err := w.js.Stream(w.deadline(), "authenta-"+stream)
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[queue.DropID]queue.Trace{}
	for seq := range s.CachedInfo().State.LastSeq {
		m, err := s.GetMsg(w.deadline(), seq+1)
		if err != nil {
			w.t.Fatal(err)
		}
		found[queue.DropID(m.Header.Get(nats.MsgIdHdr))] = queue.Trace{Parent: m.Header.Get("traceparent"), State: m.Header.Get("tracestate")}
	}
	return found
}

func TestAMessageIsAnsweredInItsTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take(func(o *Options) { o.Models.Images = []queue.Model{"AC-1", "FD-1"} })
	w.judge()
	with := []string{"Content-Type", "image/jpeg", "traceparent", parent, "tracestate", state}
	first := w.publish(picture(1), with...)
	w.verdict(first)
	second := first + "-FD-1"
	w.verdict(second)
	cached := w.publish(picture(1), with...)
	w.verdict(cached)
	handed, err := w.HandIn(w.deadline(), nats.Header{"Traceparent": {parent}, "Tracestate": {state}, "Model": {"AC-1"}}, picture(2))
	if err != nil {
		t.Fatal(err)
	}
	w.verdict(handed)
	plain := w.publish(picture(3), "Model", "AC-1")
	w.verdict(plain)
	malformed := w.publish(picture(4), "Model", "AC-1", "traceparent", "00-0af7651916cd43dd8448eb211c80319c", "tracestate", state)
	w.verdict(malformed)
	w.verdict(cached + "-FD-1")
	want := queue.Trace{Parent: parent, State: state}
	if got := w.answeredIn("verdicts"); !maps.Equal(got, map[queue.DropID]queue.Trace{
		first: want, second: want, cached: want, cached + "-FD-1": want, handed: want, plain: {}, malformed: {},
	}) {
		t.Errorf("answered in %+v", got)
	}
	invalid := w.publish([]byte("no media"), "traceparent", parent)
	gone := w.publish([]byte(`{"uri": "file:///elsewhere/a.jpg"}`), "traceparent", parent, "tracestate", state)
	w.failure(invalid)
	w.failure(gone)
	if got := w.answeredIn("failures"); !maps.Equal(got, map[queue.DropID]queue.Trace{invalid: {Parent: parent}, gone: want}) {
		t.Errorf("refused in %+v", got)
	}
}
