package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/spans"
)

var (
	tracer = otel.Tracer("github.com/authenta/authenta-ingest/worker")
	client = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
)

// ofJob returns a context whose spans belong to the trace of the first drop of a job.
func ofJob(ctx context.Context, t *queue.Task) context.Context { return t.Drops[0].Trace.Continue(ctx) }

// uploading begins the span of the work on a job until the platform has its bytes. What came of it is told at its end.
func uploading(ctx context.Context, t *queue.Task) (context.Context, func(*queue.Settlement)) {
	ctx, span := tracer.Start(ofJob(ctx, t), "upload")
	if !span.IsRecording() {
		return ctx, func(*queue.Settlement) {}
	}
	describe(span, t)
	return ctx, func(s *queue.Settlement) {
		span.SetAttributes(attribute.String(spans.Settlement, s.String()), spans.Text(spans.MediaID, t.MediaID), attribute.Int(spans.Attempt, t.Attempts))
		span.End()
	}
}

// describe says what a span is about, and links it to the traces of the other drops: the work is for all of them.
func describe(span trace.Span, t *queue.Task) {
	d := t.Drops[0]
	span.SetAttributes(
		spans.Text(spans.DropID, string(d.ID)), attribute.String(spans.Model, string(t.Model)), spans.Text(spans.FileName, d.Name),
		attribute.Int64(spans.FileSize, t.Size), spans.Text(spans.ContentType, t.ContentType), spans.Text(spans.MediaID, t.MediaID),
	)
	for _, other := range t.Drops[1:] {
		link(span, other.Trace)
	}
}

func link(span trace.Span, t queue.Trace) {
	if t != (queue.Trace{}) {
		span.AddLink(trace.LinkFromContext(t.Continue(context.Background())))
	}
}

// calling begins the span of one call to the platform or to storage. They are sent no trace: what they need not know stays here.
func calling(ctx context.Context, name string) (context.Context, trace.Span) {
	return tracer.Start(ctx, name, client...)
}

// asking is the call for the record of a job's medium: a poll, once the platform has its bytes.
func asking(ctx context.Context, t *queue.Task) (context.Context, trace.Span) {
	name := "look"
	if t.State == queue.Uploaded {
		name = "poll"
	}
	ctx, span := calling(ctx, name)
	if span.IsRecording() {
		describe(span, t)
	}
	return ctx, span
}

// called ends the span of a call. Of an error it tells what was answered, and nothing of its causes: they may have addresses.
func called(span trace.Span, err error) {
	if e, ok := errors.AsType[*authenta.Error](err); ok && span.IsRecording() {
		spans.Fail(span, e.Kind.String(), strings.TrimSpace(fmt.Sprintf("%s: %s %s", e.Op, e.Kind, e.Code)))
		if e.Status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", e.Status))
		}
	} else if err != nil {
		spans.Fail(span, "other", "the call failed")
	}
	span.End()
}

// calledFor ends the span of a call that has returned a medium's record.
func calledFor(span trace.Span, m authenta.Media, err error) {
	if err == nil && span.IsRecording() {
		span.SetAttributes(spans.Text(spans.Status, string(m.Status)), spans.Text(spans.MediaID, string(m.ID)))
	}
	called(span, err)
}

// listed is Client.List, with its span: one in the trace of whoever asks, which links to those of the others whose questions it is about.
func (w *Worker) listed(ctx context.Context, o authenta.ListOptions, about []*question) (authenta.Page, error) {
	ctx, span := calling(ctx, "list")
	p, err := w.Client.List(ctx, o)
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("authenta.offset", o.Offset), attribute.Int("authenta.media", len(p.Media)))
		for _, q := range about {
			link(span, q.trace)
		}
	}
	called(span, err)
	return p, err
}
