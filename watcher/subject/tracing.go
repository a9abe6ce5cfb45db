package subject

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/spans"
)

var (
	tracer   = otel.Tracer("github.com/authenta/authenta-ingest/watcher/subject")
	consumer = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
)

// receiving begins the span of a message that is taken in, in the trace of its publisher. Without tracing, the context goes on with
// that.
func receiving(ctx context.Context, m queue.Message) (context.Context, trace.Span) {
	ctx, span := tracer.Start(m.Trace.Continue(ctx), "receive", consumer...)
	if span.IsRecording() {
		span.SetAttributes(spans.Message("receive", m.Subject, string(m.ID), len(m.Data))...)
	}
	return ctx, span
}

// tellRefused notes in the span of a context why its message is refused.
func tellRefused(ctx context.Context, f queue.Fault) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("refused", trace.WithAttributes(attribute.String(spans.Reason, string(f.Reason))))
	}
}
