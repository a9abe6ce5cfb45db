package watcher

import (
	"context"
	"path/filepath"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/authenta/authenta-ingest/queue/spans"
)

var tracer = otel.Tracer("github.com/authenta/authenta-ingest/watcher")

// takingIn begins the span of a file that is taken in, which is the first of its trace. It began when the file was first seen, but
// for one that was there before.
func takingIn(ctx context.Context, g sighting) (context.Context, oteltrace.Span) {
	var from []oteltrace.SpanStartOption
	if !g.since.IsZero() {
		from = []oteltrace.SpanStartOption{oteltrace.WithTimestamp(g.since)}
	}
	ctx, span := tracer.Start(ctx, "take in", from...)
	if span.IsRecording() {
		span.AddEvent("settled")
		span.SetAttributes(spans.Text(spans.FileName, filepath.Base(g.path)), attribute.Int64(spans.FileSize, g.version.Size))
	}
	return ctx, span
}
