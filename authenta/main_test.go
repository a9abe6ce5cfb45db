package authenta

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKeys = Credentials{ClientID: "the-client-id", ClientSecret: "the-client-secret"}

const (
	testID    MediaID = "692f406f9f68d4b70080bb80"
	signature string  = "5ec2e7" // of every presigned URL in these tests
)

// newTestClient returns a client of the platform at base whose idle connections end with the test.
func newTestClient(t *testing.T, base string, o Options) *Client {
	t.Helper()
	o.BaseURL = base
	if o.Credentials == nil {
		o.Credentials = func() (Credentials, error) { return testKeys, nil }
	}
	if o.Transport == nil {
		transport := NewTransport()
		t.Cleanup(transport.CloseIdleConnections)
		o.Transport = transport
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// answer is a handler that gives everybody the same answer.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// cut ends the connection without an answer.
func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// refusedURL is the address of a port that nobody listens at.
func refusedURL() string {
	s := httptest.NewServer(nil)
	s.Close()
	return s.URL
}

// sparseFile returns a file of the given size that takes no space.
func sparseFile(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "clip.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

// asError returns err as what every error of a client must be: an *Error that keeps the secrets.
func asError(t *testing.T, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	for _, secret := range []string{testKeys.ClientID, testKeys.ClientSecret, signature} {
		if strings.Contains(e.Error()+e.Code+e.Message, secret) {
			t.Errorf("the error tells %q: %v", secret, e)
		}
	}
	return e
}

// A roundTripper is a transport in one function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return f(r)
}

// hang answers nothing until the request's context ends.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// hangAfterReading does so with the request read.
func hangAfterReading(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return hang(r)
}
