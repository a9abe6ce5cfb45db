package authenta

import (
	"net"
	"net/http"
	"time"
)

// NewTransport returns the transport that a [Client] uses unless it is given another: for a pool of workers that call
// one platform and one storage host, directly or through the proxy that the environment names. It makes no connection
// that the client refuses (see Options.Forbidden). It is for the clients of one platform: what one of them may
// connect to, another may use.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, ControlContext: askGuard}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true, // a DialContext of our own turns it off otherwise
		TLSHandshakeTimeout: 10 * time.Second,

		// The platform's and S3's headers take some hundred bytes. What comes before the final answer counts as well.
		MaxResponseHeaderBytes: 64 << 10,

		// A connection that died without a word would otherwise be used on and on, each call waiting out its time-out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},

		MaxIdleConnsPerHost: 64, // the default, 2, makes a worker pool dial for most calls

		// S3 drops idle connections after about 5 s, and a request that meets such a connection may be lost.
		IdleConnTimeout: 4 * time.Second,

		// Storage that refuses a PUT answers instead of "100 Continue". A client that sends the file without waiting
		// for either loses about 4 in 10 of those answers to a reset connection. A host that knows nothing of
		// Expect costs every upload this long.
		ExpectContinueTimeout: 2 * time.Second,
	}
}
