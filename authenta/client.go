package authenta

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultBaseURL is the address of Authenta's own installation.
const DefaultBaseURL = "https://platform.authenta.ai"

// Defaults of the durations in [Options].
const (
	DefaultTimeout       = 30 * time.Second
	DefaultStall         = 30 * time.Second
	DefaultAnswerTimeout = 60 * time.Second // storage answers once the object is on its discs
)

// Options say which platform a [Client] talks to, and how. Zero values mean the defaults.
type Options struct {
	// BaseURL is the platform's address, absolute and http or https, without /api. Empty: DefaultBaseURL.
	BaseURL string

	// Credentials is asked for the keys before every API call, so that it can notice keys that were replaced. It must
	// be safe for concurrent use. Required.
	Credentials func() (Credentials, error)

	// Transport carries the API calls and the uploads. As [http.RoundTripper] demands, it must close every request's
	// body: Upload waits for that. Nil: NewTransport(). Any other looks after the addresses that it dials itself.
	Transport http.RoundTripper

	// Forbidden are addresses, host:port, that nothing is ever sent to, whatever upload URLs the platform gives, under
	// whatever name. One of this machine's stands for all of them.
	//
	// Beyond these, an upload goes to a loopback, link-local, private or multicast address only if the platform is at
	// one of that kind itself.
	Forbidden []string

	// UserAgent is sent to the platform, not to the storage host. Empty: net/http's.
	UserAgent string

	// Timeout bounds an API call, from dialling to the end of the answer. It does not bound an upload.
	Timeout time.Duration

	// Stall is how long an upload may go without handing a byte to the network, dialling included.
	Stall time.Duration

	// AnswerTimeout is how long storage may take to answer after the last byte was handed to the network.
	AnswerTimeout time.Duration

	// Observe, if set, is told of each call once, when it has ended and before its method returns. It must be safe for
	// concurrent use, and not block.
	Observe func(Call)
}

// A Client calls the Media API. It is safe for concurrent use, starts nothing and has nothing to close.
type Client struct {
	base        *url.URL
	credentials func() (Credentials, error)
	transport   http.RoundTripper
	forbidden   []endpoint
	userAgent   string
	timeout     time.Duration
	stall       time.Duration
	answer      time.Duration
	observer    func(Call)
	http1       atomic.Bool // the platform's last answer came over HTTP/1
}

// New returns a client, or everything that is wrong with o. It makes no call.
func New(o Options) (*Client, error) {
	base, err := parseBaseURL(cmp.Or(o.BaseURL, DefaultBaseURL))
	if o.Credentials == nil {
		err = errors.Join(err, errors.New("no source of credentials"))
	}
	var forbidden []endpoint
	for _, address := range o.Forbidden {
		e, errAddress := parseEndpoint(address)
		if errAddress != nil {
			err = errors.Join(err, fmt.Errorf("forbidden address %q: want host:port", address))
		}
		forbidden = append(forbidden, e)
	}
	if min(o.Timeout, o.Stall, o.AnswerTimeout) < 0 {
		err = errors.Join(err, errors.New("a time-out is negative"))
	}
	if err != nil {
		return nil, fmt.Errorf("authenta client: %w", err)
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	return &Client{
		base:        base,
		credentials: o.Credentials,
		transport:   o.Transport,
		forbidden:   forbidden,
		userAgent:   o.UserAgent,
		timeout:     cmp.Or(o.Timeout, DefaultTimeout),
		stall:       cmp.Or(o.Stall, DefaultStall),
		answer:      cmp.Or(o.AnswerTimeout, DefaultAnswerTimeout),
		observer:    o.Observe,
	}, nil
}

// BaseURL is the platform's address in the one form that all ways of writing it have.
func (c *Client) BaseURL() string { return c.base.String() }

// parseBaseURL tolerates what people copy from the documentation's examples: a trailing slash, and a trailing /api.
func parseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("the platform's address is not a URL") // url.Parse would repeat it, and what it may contain
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("the platform's address must begin with https:// or http:// and name a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the platform's address must have no user, query or fragment")
	}
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/api")
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: path}, nil
}
