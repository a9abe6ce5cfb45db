package main

import (
	"os"

	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/queue"
)

// callersTrace is the trace of whoever has started this program, as OpenTelemetry has it handed on in the environment.
func callersTrace() queue.Trace {
	return queue.TraceFrom(nats.Header{"traceparent": {os.Getenv("TRACEPARENT")}, "tracestate": {os.Getenv("TRACESTATE")}})
}
