package main

import (
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/authenta/authenta-ingest/queue"
)

// telemetry is what the process tells of itself in numbers. Each part adds its own to the registry.
type telemetry struct {
	*prometheus.Registry
	broker atomic.Pointer[queue.Conn] // nil: not connected so far
}

func newTelemetry() *telemetry {
	t := &telemetry{Registry: prometheus.NewRegistry()}
	t.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	factory := promauto.With(t.Registry)
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: queue.MetricNamespace, Name: "build_info", Help: "1, with the version of the program and of the Go that it was built with.",
		ConstLabels: prometheus.Labels{"version": moduleVersion(), "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: queue.MetricNamespace, Name: "broker_connected",
		Help: "1 while NATS is connected. 0 for more than a minute: nothing is taken in nor judged until it is back; nothing is lost.",
	}, t.connected)
	return t
}

func (t *telemetry) connected() float64 {
	if conn := t.broker.Load(); conn != nil && conn.IsConnected() {
		return 1
	}
	return 0
}

// handler serves the metrics. What cannot be told is logged, and the rest is served.
func (t *telemetry) handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 10,
	})
}
