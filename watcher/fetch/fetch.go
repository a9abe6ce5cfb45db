// Package fetch gets what an https: reference points at.
//
// References come from whoever may publish, so neither they nor what answers is trusted. Only hosts of an allow-list are
// asked, by https with a verified certificate, and the address that a name leads to is looked at right before the
// connection is begun; nothing goes along that tells of us or of who referred; a redirect is followed on the same host
// only. What comes streams: memory is flat, whatever is sent. It ends when it is larger than allowed, when it says one
// size and has another, and when it is too slow to be worth a slot.
//
// It makes one attempt, and says by the [Kind] of its error whether another may help. What the bytes are is for others to
// find out.
package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// The settings that errors name.
const (
	hostsSetting   = "INGEST_URL_HOSTS"
	privateSetting = "INGEST_URL_PRIVATE"
	sizeSetting    = "INGEST_MAX_SIZE"
)

// Options say what may be fetched.
type Options struct {
	// Hosts are those that may be asked; none: nothing may. An entry is a name (media.example.com), any name below one
	// (*.example.com), or an address (192.0.2.7, [2001:db8::7]), with a port (media.example.com:8443) where it is not 443.
	Hosts []string

	// Private lets names lead to this machine and into private networks. It also has the proxy used that the environment
	// names (HTTPS_PROXY): there it is the proxy that resolves names and connects, and nobody can look at the address.
	// Without Private all connections are direct.
	Private bool

	// MaxSize is the most that is taken, in bytes; default 5 GiB, the most that storage takes in one upload.
	MaxSize int64

	// Stall is how long no byte may come; default 30s. Over each such time at least 16 KiB a second have to come. Time
	// in which nobody reads does not count.
	Stall time.Duration

	// Roots are the certificates that servers' are verified by; nil: the system's, or those of SSL_CERT_FILE.
	Roots *x509.CertPool

	resolver *net.Resolver // a test's
}

const (
	defaultMaxSize = 5 << 30
	defaultStall   = 30 * time.Second
	maxURL         = 8 << 10 // bytes; servers take no longer ones
	maxRedirects   = 5
)

// A Fetcher fetches. It is safe for concurrent use.
type Fetcher struct {
	hosts     []pattern
	maxSize   int64
	stall     time.Duration
	private   bool
	transport *http.Transport
}

// New returns a fetcher, or every mistake in the options, joined, one on a line. It connects to nothing yet.
func New(o Options) (*Fetcher, error) {
	hosts, err := parsePatterns(o.Hosts)
	if o.MaxSize < 0 || o.Stall < 0 {
		err = errors.Join(err, fmt.Errorf("at most %d bytes, and %v without any: want 0 or more", o.MaxSize, o.Stall))
	}
	if err != nil {
		return nil, err
	}
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	return &Fetcher{hosts: hosts, maxSize: o.MaxSize, stall: o.Stall, private: o.Private, transport: newTransport(o)}, nil
}

// Open asks for what a URL points at. Its errors, and those of reading the body, are [*Error]s. The body is read under
// ctx, and has to be closed.
func (f *Fetcher) Open(ctx context.Context, rawURL string) (*Body, error) {
	fail := func(err error) (*Body, error) { return nil, asError(rawURL, err) }
	u, err := parse(rawURL)
	if err != nil {
		return fail(&Error{Kind: NotAllowed, Err: err})
	}
	if u, err = f.target(u); err != nil {
		return fail(&Error{Kind: NotAllowed, Err: err})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := f.follow(ctx, u)
	if err != nil {
		cancel(nil)
		return fail(err)
	}
	if err := f.judge(resp); err != nil {
		cancel(nil) // first, so that nothing more of the body is read
		resp.Body.Close()
		return fail(err)
	}
	b := newBody(ctx, cancel, f, resp)
	b.Name, b.url = nameIn(u), rawURL
	return b, nil
}

// follow asks for u, and for what it is redirected to.
func (f *Fetcher) follow(ctx context.Context, u *url.URL) (*http.Response, error) {
	for range maxRedirects + 1 {
		resp, err := f.ask(ctx, u)
		if err != nil {
			return nil, err
		}
		if !isRedirect(resp.StatusCode) {
			return resp, nil
		}
		resp.Body.Close()
		if u, err = next(u, resp); err != nil {
			return nil, err
		}
	}
	return nil, &Error{Kind: Gone, Err: fmt.Errorf("it redirects more than %d times", maxRedirects)}
}

// ask makes one request. It goes to the transport itself: a client would add a Referer and follow to anywhere.
func (f *Fetcher) ask(ctx context.Context, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &Error{Kind: NotAllowed, Err: errNoURL}
	}
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Accept-Encoding", "identity") // so that sizes mean what they say
	req.Header.Set("User-Agent", "authenta-ingest")
	resp, err := f.transport.RoundTrip(req)
	if err != nil {
		return nil, failed(ctx, f.explain(req, err))
	}
	return resp, nil
}

// judge says why the body of an answer is not to be read.
func (f *Fetcher) judge(resp *http.Response) error {
	encoding := contentEncoding(resp.Header)
	switch {
	case resp.StatusCode != http.StatusOK:
		return answered(resp)
	case encoding != "":
		return &Error{Kind: Gone, Err: fmt.Errorf("it comes encoded as %q, which was not asked for", encoding)}
	case resp.ContentLength > f.maxSize:
		return &Error{Kind: TooLarge, Err: tooLarge(resp.ContentLength, f.maxSize)}
	case resp.ContentLength < 0 && len(resp.TransferEncoding) == 0:
		return &Error{Kind: Gone, Err: errors.New("the server tells neither its size nor its end, so that nobody could see " +
			"if a part were missing: have it send Content-Length, or chunks")}
	}
	return nil
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// next is where an answer to the request for u redirects to, which must be on the same host.
func next(u *url.URL, resp *http.Response) (*url.URL, error) {
	to, err := u.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return nil, &Error{Kind: Gone, Err: errors.New("it redirects, and does not say to what URL")}
	}
	target, err := canonical(to)
	if err != nil || target.Host != u.Host {
		return nil, &Error{Kind: NotAllowed, Err: fmt.Errorf("it redirects to %s, and is followed on https://%s only",
			Redacted(to.String()), u.Host)}
	}
	return target, nil
}
