package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// The paths that a monitor serves.
const (
	HealthPath  = "/healthz"
	ReadyPath   = "/readyz"
	StatusPath  = "/api/status"
	MetricsPath = "/metrics"
)

// serverName is by what a client knows that it has found a monitor.
const serverName = "authenta-ingest"

func (m *Monitor) pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+HealthPath, func(w http.ResponseWriter, _ *http.Request) {
		h := m.Health()
		reply(w, h.Healthy, h)
	})
	mux.HandleFunc("GET "+ReadyPath, func(w http.ResponseWriter, r *http.Request) {
		ready := m.Readiness(r.Context())
		reply(w, ready.Ready, ready)
	})
	mux.HandleFunc("GET "+StatusPath, func(w http.ResponseWriter, r *http.Request) {
		s, err := m.status(r.Context())
		if err != nil {
			reply(w, false, problem{err.Error()})
			return
		}
		reply(w, true, s)
	})
	if m.o.Metrics != nil {
		mux.Handle("GET "+MetricsPath, m.o.Metrics)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "authenta-ingest\n\n%s\talive?\n%s\t\tready, and if not, why?\n%s\tas 'authenta-ingest status --json'\n%s\tfor Prometheus\n",
			HealthPath, ReadyPath, StatusPath, MetricsPath)
	})
	return mux
}

// status asks the daemon for its status.
func (m *Monitor) status(ctx context.Context) (any, error) {
	at, doing, probes := m.now()
	if probes.Status == nil {
		if at == starting {
			return nil, fmt.Errorf("there is no status yet: the daemon is starting (%s)", doing)
		}
		return nil, errors.New("there is no status: the daemon is stopping")
	}
	s, err := m.ask(ctx, "status", probes.Status)
	if err != nil {
		return nil, fmt.Errorf("the status could not be had: %w", err)
	}
	return s, nil
}

// A problem is what is answered instead of a status.
type problem struct {
	Error string `json:"error"`
}

// reply answers with JSON: 200, or 503 if something is not as it should be.
func reply(w http.ResponseWriter, well bool, body any) {
	w.Header().Set("Server", serverName)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(body) // whoever has asked may be gone
}
