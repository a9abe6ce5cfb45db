// Package spans is what the spans of all parts have in common: what their attributes are called, how texts get into them, and how
// one fails. Which spans there are is each part's own business.
//
// No span has a key, a presigned URL, or what follows the path of an address.
package spans

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// The attributes of ours. Those that have a name in OpenTelemetry's conventions have that.
const (
	DropID      = "authenta.drop.id"
	Model       = "authenta.model"
	MediaID     = "authenta.media.id"
	Status      = "authenta.media.status" // as the platform calls it
	ContentType = "authenta.content_type"
	Outcome     = "authenta.outcome"
	Reason      = "authenta.reason"
	Cached      = "authenta.cached"     // answered by a verdict from before
	Attempt     = "authenta.attempt"    // uploads of the file begun so far, this one included
	Settlement  = "authenta.settlement" // what came of the work on a file
	FileName    = "file.name"
	FileSize    = "file.size" // bytes
)

// mostText is how many bytes of a text are sent.
const mostText = 1000

// Text is an attribute whose value others have made up: a collector refuses all that comes with a text that is no UTF-8.
func Text(key, value string) attribute.KeyValue { return attribute.String(key, sendable(value)) }

func sendable(text string) string { return strings.ToValidUTF8(text[:min(len(text), mostText)], "�") }

// Fail marks a span as failed: kind is one of few, and why is for people.
func Fail(s trace.Span, kind, why string) {
	if s.IsRecording() {
		s.SetAttributes(attribute.String("error.type", kind))
		s.SetStatus(codes.Error, sendable(why))
	}
}

// Message are the attributes of a message of NATS: on which subject it is, and under which id it is known.
func Message(operation, subject, id string, size int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.name", operation), attribute.String("messaging.operation.type", operation),
		Text("messaging.destination.name", subject), Text("messaging.message.id", id), attribute.Int("messaging.message.body.size", size),
	}
}
