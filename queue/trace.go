package queue

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A Trace is where in a distributed trace a drop has come from, as W3C Trace Context writes it: what whoever handed the drop in
// has sent, or a span of ours that continues it. It is carried along to the answer, and nothing is ever decided by it. The zero
// value says that there is none.
type Trace struct {
	Parent string `json:"traceparent"`
	State  string `json:"tracestate,omitempty"` // at most mostState bytes
}

// The headers that bring a trace, and take it on.
const (
	traceParentHeader = "traceparent"
	traceStateHeader  = "tracestate"
)

// mostState is how many bytes of a trace's state are carried: as many as W3C asks everybody to. More is left out, as it allows.
const mostState = 512

// format reads and writes traces. It is no setting: what the headers are called is a promise to those who publish and subscribe.
var format propagation.TraceContext

// TraceFrom returns the trace that a message's headers bring, however their names are written. One that is not as it should be
// is none: it is no reason to refuse a message.
func TraceFrom(h nats.Header) Trace {
	var parents, states []string
	for name, values := range h {
		switch {
		case strings.EqualFold(name, traceParentHeader):
			parents = append(parents, values...)
		case strings.EqualFold(name, traceStateHeader):
			states = append(states, values...)
		}
	}
	if len(parents) != 1 {
		return Trace{}
	}
	t := Trace{parents[0], strings.Join(states, ",")}
	return TraceOf(t.Continue(context.Background()))
}

// Header returns the headers of a message that takes the trace on; of none, none.
func (t Trace) Header() nats.Header {
	switch {
	case t == (Trace{}):
		return nil
	case t.State == "":
		return nats.Header{traceParentHeader: {t.Parent}}
	}
	return nats.Header{traceParentHeader: {t.Parent}, traceStateHeader: {t.State}}
}

// TraceOf returns the trace that begins, or goes on, with the span of a context.
func TraceOf(ctx context.Context) Trace {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return Trace{}
	}
	written := propagation.MapCarrier{}
	format.Inject(ctx, written)
	return Trace{written[traceParentHeader], bounded(written[traceStateHeader])}
}

// Continue returns a context whose spans go on with the trace, and with no other; if there is none, they begin one each.
func (t Trace) Continue(ctx context.Context) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	}
	if t == (Trace{}) {
		return ctx
	}
	return format.Extract(ctx, propagation.MapCarrier{traceParentHeader: t.Parent, traceStateHeader: bounded(t.State)})
}

// bounded leaves out a state that is too long, all of it: what its entries mean without the others, only those know who wrote them.
func bounded(state string) string {
	if len(state) > mostState {
		return ""
	}
	return state
}
