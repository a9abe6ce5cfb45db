package queue

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Check reports what is wrong with the files that the server is to know us by, or we it.
func (s Server) Check() error {
	_, err := s.secured()
	return err
}

// secured are the options with which the server is to know us, and we it. The error is every mistake in them.
func (s Server) secured() (opts []nats.Option, err error) {
	if s.Creds != "" {
		err = errors.Join(err, checkCreds(s.Creds))
		opts = append(opts, nats.UserCredentials(s.Creds))
	}
	if s.CA != "" {
		err = errors.Join(err, checkCA(s.CA))
		opts = append(opts, nats.RootCAs(s.CA))
	}
	if s.Cert != "" && s.Key != "" {
		if _, bad := tls.LoadX509KeyPair(s.Cert, s.Key); bad != nil {
			err = errors.Join(err, fmt.Errorf("NATS_TLS_CERT and NATS_TLS_KEY: %w", bad))
		}
		opts = append(opts, nats.ClientCert(s.Cert, s.Key))
	}
	return opts, err
}

func checkCA(path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("NATS_TLS_CA: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("NATS_TLS_CA: %s has no certificate of an authority, as PEM, in it", path)
	}
	return nil
}

// checkCreds reports why a file cannot be a user's credentials. What is in it is not told.
func checkCreds(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("NATS_CREDS: %w", err)
	}
	_, errToken := nkeys.ParseDecoratedJWT(data)
	if _, err := nkeys.ParseDecoratedUserNKey(data); err != nil || errToken != nil {
		return fmt.Errorf("NATS_CREDS: %s has no user's JWT and seed in it: want a file as 'nsc generate creds' writes it", path)
	}
	return nil
}

// tries are the attempts to connect for the first time. One server that refuses may be amiss itself: only if as many tries as
// there are servers were refused, one after the other, it is us.
type tries struct {
	servers int
	log     *slog.Logger
	dialer  *dialer

	mu      sync.Mutex
	told    bool
	row     int // refusals since there was something else
	refusal error
}

// failed takes note of a try. It is called for each one, also later.
func (t *tries) failed(nc *nats.Conn, err error) {
	if nc.Stats().Reconnects > 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if refusalAdvice(err) == "" {
		t.row = 0
	} else {
		t.row, t.refusal = t.row+1, err
	}
	if !t.told {
		t.told = true
		t.log.Warn("NATS cannot be reached; waiting for it", "error", t.dialer.reason(err))
	}
}

// refused returns why no server takes us.
func (t *tries) refused() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.row < t.servers {
		return nil
	}
	return t.refusal
}

// explainRefusal adds to a refusal what is to be set.
func explainRefusal(err error) error {
	if advice := refusalAdvice(err); advice != "" {
		return fmt.Errorf("%w: %s", err, advice)
	}
	return err
}

// refusalAdvice says what is to be set after a server was refused, or has refused us; empty: it is something else.
func refusalAdvice(err error) string {
	remote, _ := errors.AsType[*net.OpError](err)
	switch {
	case is[x509.HostnameError](err):
		return "the server's certificate is for another name: set NATS_URL to a name that it is for"
	case is[x509.CertificateInvalidError](err):
		return "the server's certificate is not valid: it has to be renewed, or NATS_TLS_CA to be another"
	case is[*tls.CertificateVerificationError](err):
		return "the server's certificate was signed by somebody whom we do not know: set NATS_TLS_CA to the certificate of its authority"
	case remote != nil && remote.Op == "remote error", errors.Is(err, nats.ErrTLS) && strings.Contains(err.Error(), "closed by remote after TLS handshake"):
		return "the server does not take our certificate, or wants one: set NATS_TLS_CERT and NATS_TLS_KEY to one that its authority has signed"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the server offers no TLS: set NATS_URL to nats://, or have it offer TLS"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return "the server does not let us in: set NATS_CREDS to a credentials file of one of its users, or user:password@ or token@ in NATS_URL"
	case strings.Contains(err.Error(), "signing nonce"):
		return "set NATS_CREDS to a credentials file, with a user's JWT and seed in it"
	}
	return ""
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
