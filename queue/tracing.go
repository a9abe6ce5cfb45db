package queue

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/authenta/authenta-ingest/queue/spans"
)

var (
	tracer   = otel.Tracer("github.com/authenta/authenta-ingest/queue")
	producer = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindProducer)}
)

// answering begins the span of an answer's publication, in the trace of its drop. Without tracing, the context goes on with the
// trace that the drop has come with, if any.
func answering(ctx context.Context, subject string, d Drop, message any, size int) (publishing context.Context, end func(error)) {
	f, failed := message.(Failure)
	name := "verdict"
	if failed {
		name = "failure"
	}
	publishing, span := tracer.Start(d.Trace.Continue(ctx), name, producer...)
	if !span.IsRecording() {
		return publishing, func(error) {}
	}
	span.SetAttributes(spans.Message("send", subject, string(d.ID), size)...)
	if failed {
		span.SetAttributes(f.Head.attributes()...)
		span.SetAttributes(attribute.String(spans.Reason, string(f.Reason)), attribute.Int(spans.Attempt, f.Attempts))
	} else if v, ok := message.(Verdict); ok {
		span.SetAttributes(v.Head.attributes()...)
		span.SetAttributes(attribute.String(spans.Outcome, string(v.Outcome)), attribute.Bool(spans.Cached, v.Cached))
	}
	return publishing, func(err error) {
		if err != nil {
			spans.Fail(span, "publish", err.Error())
		}
		span.End()
	}
}

// TellAccepted notes in the span of a context what became of a submission.
func TellAccepted(ctx context.Context, s Submission, a Acceptance) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent(string(a), trace.WithAttributes(
			spans.Text(spans.DropID, string(s.Drop.ID)), attribute.String(spans.Model, string(s.Model)), spans.Text(spans.ContentType, s.ContentType),
		))
	}
}

func (h Head) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		spans.Text(spans.DropID, string(h.ID)), attribute.String(spans.Model, string(h.Model)), spans.Text(spans.MediaID, h.MediaID),
		spans.Text(spans.FileName, h.Name), attribute.Int64(spans.FileSize, h.Size), spans.Text(spans.ContentType, h.ContentType),
	}
}
