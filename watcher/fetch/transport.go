package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

func newTransport(o Options) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: o.resolver}
	t := &http.Transport{
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: o.Stall,

		// A thousand of ordinary ones would fit. What comes before the final answer counts as well.
		MaxResponseHeaderBytes: 64 << 10,

		// A connection a file. What a server sends beyond one is not mistaken for the next, and nothing is kept open. HTTP/2
		// would let 4 MB of each file come that nobody has asked for yet, and have one that is slow to be stored hold up
		// others.
		DisableKeepAlives: true,
		Protocols:         new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if o.Private {
		t.Proxy = proxy
	} else {
		dialer.ControlContext = refusePrivate
	}
	return t
}

// refusePrivate is asked by the dialer about each address that it is about to connect to.
func refusePrivate(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return checkPublic(to.Addr())
}

// proxy is the environment's. Its mistakes are not quoted: they may have a password in them.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("what HTTPS_PROXY says is no address of a proxy")
	}
	return u, nil
}

// explain adds to the error of a connection that could not be made what whoever is behind a proxy should know.
func (f *Fetcher) explain(r *http.Request, err error) error {
	dial, ok := errors.AsType[*net.OpError](err)
	if !ok || dial.Op != "dial" || f.private {
		return err
	}
	if u, _ := http.ProxyFromEnvironment(r); u == nil {
		return err
	}
	return fmt.Errorf("%w (not by the proxy that HTTPS_PROXY names: that is used if %s is set)", err, privateSetting)
}
