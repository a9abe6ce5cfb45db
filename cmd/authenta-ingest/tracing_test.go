package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

const (
	aParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	aState  = "vendor=1,other=2"
)

// answeredIn are the traces of the terminal messages, by the drops that they answer.
func (p *publisher) answeredIn() map[queue.DropID]queue.Trace {
	p.t.Helper()
	found := map[queue.DropID]queue.Trace{}
	for _, name := range []string{"verdicts", "failures"} {
		s, err := p.js.Stream(p.t.Context(), "authenta-"+name)
		if err != nil {
			p.t.Fatal(err)
		}
		for seq := range s.CachedInfo().State.LastSeq {
			m, err := s.GetMsg(p.t.Context(), seq+1)
			if err != nil {
				p.t.Fatal(err)
			}
			found[queue.DropID(m.Header.Get(nats.MsgIdHdr))] = queue.Trace{Parent: m.Header.Get("traceparent"), State: m.Header.Get("tracestate")}
		}
	}
	return found
}

// TestWithoutTracingTheAnswerHasTheTraceOfWhoeverHandedItsFileIn hands files in by each way that a message may come.
func TestWithoutTracingTheAnswerHasTheTraceOfWhoeverHandedItsFileIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	p := w.publisher()
	d := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "the daemon takes in what comes", func() bool { return p.untaken() >= 0 })
	header := nats.Header{"traceparent": {aParent}, "tracestate": {aState}}
	want := map[queue.DropID]queue.Trace{}
	with := queue.Trace{Parent: aParent, State: aState}
	want[p.publish(picture(0), header)] = with
	w.write("in-a-folder.jpg", picture(1))

	var reply struct{ ID queue.DropID }
	eventually(t, time.Minute, "a request is answered", func() bool {
		answer, err := p.nats.RequestMsg(&nats.Msg{Subject: "authenta.ctl.submit", Data: picture(2), Header: header}, 5*time.Second)
		return err == nil && json.Unmarshal(answer.Data, &reply) == nil && reply.ID != ""
	})
	want[reply.ID] = with
	p.env["TRACEPARENT"], p.env["TRACESTATE"] = aParent, aState
	var id queue.DropID
	if _, err := fmt.Sscanf(w.submit(exitDone, w.outside("a.jpg", picture(3))).stdout.String(), "%s", &id); err != nil {
		t.Fatal(err)
	}
	want[id] = with
	p.env["TRACEPARENT"], p.env["TRACESTATE"] = "no trace\nName: x", aState
	if _, err := fmt.Sscanf(w.submit(exitDone, w.outside("b.jpg", picture(4))).stdout.String(), "%s", &id); err != nil {
		t.Fatal(err)
	}
	want[id] = queue.Trace{}
	eventually(t, finishTime, "all are judged", func() bool { return d.judged() == 5 })
	got := p.answeredIn()
	for _, v := range d.verdictLines() {
		if v.Name == "in-a-folder.jpg" {
			want[v.ID] = queue.Trace{}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("answered in %+v, want %+v", got, want)
	}
	d.terminate()
}
