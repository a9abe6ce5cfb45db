package monitor

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/authenta/authenta-ingest/queue/embedded"
)

// How long whoever is connected may take.
const (
	headerTime = 5 * time.Second
	readTime   = 10 * time.Second
	writeTime  = 30 * time.Second
	idleTime   = time.Minute
)

// maxHeader is how many bytes the head of a request may have.
const maxHeader = 16 << 10

// maxOpen is how many connections there may be. Without a bound, whoever opens many would use up the files that the process
// may open, and it would take what it cannot read for unreadable.
const maxOpen = 128

// closeTime is how long answers that are being written may take when the server ends.
const closeTime = time.Second

// A server serves one address.
type server struct {
	http *http.Server
	open atomic.Int32  // connections
	done chan struct{} // closed when it no longer serves
}

// Serve listens on host:port, and serves health, readiness, status and metrics there until Close. It returns the address,
// which is another if the port is 0.
func (m *Monitor) Serve(address string) (string, error) {
	return m.serve(address, m.pages(), writeTime)
}

// ServeProfiles listens on host:port, and serves profiles of the process there until Close.
func (m *Monitor) ServeProfiles(address string) error {
	_, err := m.serve(address, profiles(), 0) // a profile takes as long as it is asked to
	return err
}

// serve listens and serves. An answer may take for a time; 0: any. What is open to this machine only is served only to those
// who ask for it by such a name.
func (m *Monitor) serve(address string, h http.Handler, answer time.Duration) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		h = onlyHere(h)
	} else {
		h = m.statusForFew(h)
	}
	s := &server{done: make(chan struct{})}
	s.http = &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: answer, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ConnState: s.count, ErrorLog: slog.NewLogLogger(m.o.Log.Handler(), slog.LevelDebug),
	}
	s.http.SetKeepAlivesEnabled(false) // or whoever stays connected would keep others, and probes, out
	m.mu.Lock()
	m.servers = append(m.servers, s)
	m.mu.Unlock()
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.o.Log.Error("nothing is served any more", "address", address, "error", err)
		}
	}()
	return l.Addr().String(), nil
}

// statusForFew serves the status, which names files, only to those who show the token, by which they could read all verdicts anyway.
func (m *Monitor) statusForFew(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if r.URL.Path == StatusPath && (m.o.Token == "" || subtle.ConstantTimeCompare([]byte(shown), []byte(m.o.Token)) != 1) {
			http.Error(w, "the status names files, so other machines are told it only for the header 'Authorization: Bearer TOKEN', with the token of "+
				"INGEST_NATS_TOKEN; 'authenta-ingest status' tells it, too", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// count keeps count of the connections, and closes one that is too many.
func (s *server) count(c net.Conn, now http.ConnState) {
	switch now {
	case http.StateNew:
		if s.open.Add(1) > maxOpen {
			_ = c.Close()
		}
	case http.StateClosed:
		s.open.Add(-1)
	}
}

// close lets answers that are being written be finished, for a moment, and waits until nothing is served any more.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // whoever is too slow is cut off
	}
	<-s.done
}

// onlyHere refuses requests that name another host than this machine. A web page could otherwise read what it likes: its
// author has the page's own name lead to 127.0.0.1, and the visitor's browser does the rest.
func onlyHere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && !embedded.Loopback(hostname(r.Host)) {
			http.Error(w, "this address is for requests to localhost only: ask for it by that name", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// hostname is the host of a request without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}
