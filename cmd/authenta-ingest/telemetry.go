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

	"github.com/authenta/authenta-ingest/cmd/authenta-ingest/monitor"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
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
		Namespace: queue.MetricNamespace, Name: "build_info", Help: "1, with the version of the program and of the Go that it was built " +
			"with.",
		ConstLabels: prometheus.Labels{"version": moduleVersion(), "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: queue.MetricNamespace, Name: "broker_connected",
		Help: "1 while NATS is connected. 0 for more than a minute: nothing is taken in nor judged until it is back; nothing is lost.",
	}, t.connected)
	return t
}

var phase = prometheus.NewDesc(
	prometheus.BuildFQName(queue.MetricNamespace, "", "phase"),
	"1 for what the process does now, else 0: it is starting, working or stopping. Starting for many minutes: NATS cannot be reached, "+
		"the disk is full, or a large store is looked through; the log says which.",
	[]string{"phase"}, nil,
)

// A phaseCollector tells how far the process is.
type phaseCollector struct{ *monitor.Monitor }

func (phaseCollector) Describe(to chan<- *prometheus.Desc) { to <- phase }

func (c phaseCollector) Collect(to chan<- prometheus.Metric) {
	now := c.Phase()
	for _, p := range monitor.Phases {
		value := 0.0
		if p == now {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(phase, prometheus.GaugeValue, value, p)
	}
}

// early has told what is to be known of a process before NATS is there, which may take days.
func (t *telemetry) early(s settings, m *monitor.Monitor) {
	t.MustRegister(phaseCollector{m})
	if s.NATSURL == "" {
		t.MustRegister(embedded.DiskFree(s.StateDir))
	}
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
