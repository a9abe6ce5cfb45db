package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"

	"github.com/authenta/authenta-ingest/cmd/authenta-ingest/monitor"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// off as INGEST_HTTP serves nothing.
const off = "off"

// checkHTTP notes what is wrong with where the monitor listens.
func (s settings) checkHTTP(m *mistakes) {
	m.refuse(s.HTTP != off && !hostPort(s.HTTP), "INGEST_HTTP", s.HTTP, "host:port, such as 127.0.0.1:8080, or off")
	m.refuse(s.HTTP != off && s.NATSURL == "" && s.HTTP == s.NATSListen, "INGEST_HTTP", s.HTTP,
		"another address than that of INGEST_NATS_LISTEN")
	host, _, _ := net.SplitHostPort(s.PProf)
	m.refuse(s.PProf != "" && (!hostPort(s.PProf) || !embedded.Loopback(host)), "INGEST_PPROF", s.PProf,
		"host:port of this machine only, such as 127.0.0.1:6060: profiles tell more than others should know")
	m.refuse(s.PProf != "" && (s.PProf == s.HTTP || s.NATSURL == "" && s.PProf == s.NATSListen), "INGEST_PPROF", s.PProf,
		"an address of its own")
}

// hostPort reports whether an address can be listened on, as far as one can tell without doing so.
func hostPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	n, errPort := strconv.Atoi(port)
	return err == nil && errPort == nil && n >= 0 && n <= 65535
}

// openMonitor makes what tells others how the process is.
func openMonitor(s settings, once bool, metrics http.Handler, log *slog.Logger) (*monitor.Monitor, error) {
	m := monitor.New(monitor.Options{Metrics: metrics, Token: s.NATSToken, Log: log})
	if err := s.serve(m, once, log); err != nil {
		m.Close()
		return nil, err
	}
	m.Notify(s.Drain)
	return m, nil
}

// serve has the monitor listen. A run that ends by itself serves only if it is told to.
//
// The default address, if it is taken, is done without: another daemon may be there. So is any address with --once, as the
// settings may be those of a daemon that runs beside it.
func (s settings) serve(m *monitor.Monitor, once bool, log *slog.Logger) error {
	asked := isSet("INGEST_HTTP")
	if s.HTTP != off && (asked || !once) {
		at, err := m.Serve(s.HTTP)
		switch {
		case err == nil:
			log.Info("health, metrics and the status are served", "address", at)
		case asked && !once:
			return fmt.Errorf("serve health and metrics at INGEST_HTTP=%s: %w: set it to an address of this machine that is free, or to off", s.HTTP, err)
		default:
			log.Warn("neither health nor metrics are served. Is another daemon here? Set INGEST_HTTP to an address that is free, or to off", "error", err)
		}
	}
	if s.PProf == "" {
		return nil
	}
	err := m.ServeProfiles(s.PProf)
	if err != nil && once {
		log.Warn("no profiles are served", "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("serve profiles at INGEST_PPROF=%s: %w: set it to an address of this machine that is free, or to nothing", s.PProf, err)
	}
	return nil
}
