package authenta

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/authenta/authenta-ingest/authenta/netkind"
)

// A guard says where a request must not be sent. It is asked about a URL before it is taken, and again by the dialer of
// NewTransport about each address that a name was resolved to, so that no name hides an address.
type guard struct {
	forbidden []endpoint
	home      string // an upload's: the platform's host. Empty: addresses are free, but for the forbidden ones
}

// An endpoint is one of Options.Forbidden.
type endpoint struct {
	host string // a name or an address
	port uint16
}

func (e endpoint) String() string { return net.JoinHostPort(e.host, strconv.Itoa(int(e.port))) }

func parseEndpoint(s string) (endpoint, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return endpoint{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return endpoint{host, uint16(n)}, err
}

// uploadGuard is the guard of an upload to u. Where a proxy is used, it is the proxy that resolves names and dials: then
// only what the URL itself says is looked at.
func (c *Client) uploadGuard(u *url.URL) *guard {
	g := &guard{forbidden: c.forbidden, home: c.base.Hostname()}
	if t, ok := c.transport.(*http.Transport); ok && t.Proxy != nil {
		if proxy, err := t.Proxy(&http.Request{URL: u}); proxy != nil || err != nil {
			g.home = ""
		}
	}
	return g
}

type guardKey struct{}

func (g *guard) follow(ctx context.Context) context.Context {
	return context.WithValue(ctx, guardKey{}, g)
}

// askGuard is the hook of a dialer that asks the request's guard, if it has one, before a connection is begun.
func askGuard(ctx context.Context, _, address string, _ syscall.RawConn) error {
	g, ok := ctx.Value(guardKey{}).(*guard)
	if !ok {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return g.check(ctx, to)
}

// checkURL refuses a URL that shows by itself that it must not be used. What its name leads to is not looked up.
func (g *guard) checkURL(ctx context.Context, u *url.URL) error {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	to, err := parseEndpoint(net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("%s has no such port", u.Hostname())
	}
	for _, f := range g.forbidden {
		if f.port == to.port && strings.EqualFold(f.host, to.host) {
			return fmt.Errorf("nothing may be sent to %s", to)
		}
	}
	if strings.EqualFold(to.host, "localhost") {
		to.host = "127.0.0.1"
	}
	if a, err := netip.ParseAddr(to.host); err == nil {
		return g.check(ctx, netip.AddrPortFrom(a, to.port))
	}
	return nil
}

// check refuses an address. An upload must not lead deeper into a network than the platform itself is: a platform on the
// Internet has no business with this machine, its neighbours, or what a cloud tells its machines at a link-local address.
func (g *guard) check(ctx context.Context, to netip.AddrPort) error {
	a := netkind.Plain(to.Addr())
	for _, f := range g.forbidden {
		if f.port != to.Port() {
			continue
		}
		all, err := resolve(ctx, f.host)
		if err != nil || slices.ContainsFunc(all, func(b netip.Addr) bool { return a == b || isHere(a) && isHere(b) }) {
			return fmt.Errorf("nothing may be sent to %s (%s)", f, to)
		}
	}
	if kind := netkind.Of(a); kind != netkind.Public && g.home != "" && kind != kindOfHost(ctx, g.home) {
		return fmt.Errorf("an upload must not go to %s: that is a %s address, and the platform's is not", to, kind)
	}
	return nil
}

// resolve returns the addresses of a host.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{netkind.Plain(a)}, nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i, a := range all {
		all[i] = netkind.Plain(a)
	}
	return all, err
}

// kindOfHost is the kind of all of a host's addresses; Public where they are of several kinds, or not known.
func kindOfHost(ctx context.Context, host string) netkind.Kind {
	all, err := resolve(ctx, host)
	if err != nil || len(all) == 0 {
		return netkind.Public
	}
	kind := netkind.Of(all[0])
	if slices.ContainsFunc(all, func(a netip.Addr) bool { return netkind.Of(a) != kind }) {
		return netkind.Public
	}
	return kind
}

// isHere reports whether an address is this machine's.
func isHere(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && netkind.Plain(p.Addr()) == a
	})
}
