package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/authenta/authenta-ingest/queue"
)

// callersTrace is the trace of whoever has started this program, as OpenTelemetry has it handed on in the environment.
func callersTrace() queue.Trace {
	return queue.TraceFrom(nats.Header{"traceparent": {os.Getenv("TRACEPARENT")}, "tracestate": {os.Getenv("TRACESTATE")}})
}

// flushTime is how long a collector may take over the last spans when the process stops.
const flushTime = 2 * time.Second

// startTracing has the spans of all parts sent to a collector, if the environment says so by the variables that OpenTelemetry
// defines, and returns what is to be called at the end. What is wrong with them is no reason not to start: platforms set them for
// whatever runs there. It is logged, and nothing is traced.
func startTracing(s settings, log *slog.Logger) (stop func()) {
	env := otelEnvironment(os.Getenv)
	if !env.on() {
		return func() {}
	}
	wrong := env.mistakes()
	var provider *sdk.TracerProvider
	if len(wrong) == 0 {
		otel.SetLogger(logr.Discard()) // it would tell what is wrong with a setting by printing it, be it a secret
		otel.SetErrorHandler(newComplaints(log, env.secrets()))
		var err error
		if provider, err = newTracerProvider(s, env); err != nil {
			wrong = append(wrong, err)
		}
	}
	for _, err := range wrong {
		log.Warn("nothing is traced, until this is mended and the daemon started again", "error", err)
	}
	if provider == nil {
		return func() {}
	}
	otel.SetTracerProvider(provider)
	log.Info("traces are sent", "to", env.collector())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), min(flushTime, s.Drain/6))
		defer cancel()
		if provider.Shutdown(ctx) != nil { // why was told, if there was an answer
			log.Warn("the collector has not taken the last traces", "waited", min(flushTime, s.Drain/6))
		}
	}
}

func newTracerProvider(s settings, env otelEnvironment) (*sdk.TracerProvider, error) {
	ctx := context.Background()
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "authenta-ingest"), attribute.String("service.version", version()),
		attribute.String("host.name", s.machine()), attribute.String("authenta.role", string(s.Role)),
	), resource.WithFromEnv()) // which overrides what stands before it
	if err != nil {
		return nil, fmt.Errorf("say who sends the traces: %w", err)
	}
	newExporter := func() (*otlptrace.Exporter, error) { return otlptracehttp.New(ctx) }
	if env.protocol() == protocolGRPC {
		newExporter = func() (*otlptrace.Exporter, error) { return otlptracegrpc.New(ctx) }
	}
	exporter, err := newExporter()
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	return sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about)), nil
}
