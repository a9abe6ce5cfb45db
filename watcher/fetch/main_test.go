package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is in every part of a test's URLs that must not be told.
const secret = "5ec2e7"

// serveTLS returns a server's address.
func serveTLS(t testing.TB, h http.HandlerFunc) (s *httptest.Server, address string) {
	t.Helper()
	s = httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // broken connections are what is tested
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, s.Listener.Addr().String()
}

// roots are those that a server's certificate is verified by.
func roots(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func newFetcher(t testing.TB, o Options) *Fetcher {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const maxSize = 10 << 20

// world returns a server, and a fetcher that may ask it for at most maxSize bytes.
func world(t testing.TB, h http.HandlerFunc) (f *Fetcher, base string) {
	t.Helper()
	s, address := serveTLS(t, h)
	return newFetcher(t, Options{Hosts: []string{address}, Private: true, MaxSize: maxSize, Roots: roots(s)}), "https://" + address
}

// read fetches all of what a URL points at.
func read(t testing.TB, f *Fetcher, url string) ([]byte, error) {
	t.Helper()
	b, err := f.Open(t.Context(), url)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

// wantError checks that err is what every error here has to be: an *Error of a kind, that says a thing and keeps the secrets.
func wantError(t testing.TB, what string, err error, kind Kind, says string) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Errorf("%s: got %v, want an *Error", what, err)
		return new(Error)
	}
	if e.Kind != kind || !strings.Contains(e.Error(), says) {
		t.Errorf("%s: %s: %v\nwant %s: …%s…", what, e.Kind, e, kind, says)
	}
	if strings.Contains(e.Error(), secret) || strings.ContainsFunc(e.Error(), func(r rune) bool { return r < ' ' }) {
		t.Errorf("%s: not fit to be told: %q", what, e.Error())
	}
	return e
}

// raw is a handler that answers in bytes of its own, then ends the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, answer)
	}
}

// dialTo has a fetcher connect to an address, whatever it is asked for.
func dialTo(f *Fetcher, address string) {
	dial := f.transport.DialContext
	f.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, address) }
}
