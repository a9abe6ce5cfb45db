package authenta

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestUploadsLeadNoDeeperThanThePlatformIs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		home, to string
		refused  string // part of the error; empty: let through
	}{
		{"203.0.113.1", "198.51.100.7:443", ""},
		{"203.0.113.1", "[2001:db8::1]:443", ""},
		{"203.0.113.1", "127.0.0.1:443", "loopback"},
		{"203.0.113.1", "127.8.8.8:443", "loopback"},
		{"203.0.113.1", "[::1]:443", "loopback"},
		{"203.0.113.1", "[::ffff:127.0.0.1]:443", "loopback"},
		{"203.0.113.1", "[64:ff9b::7f00:1]:443", "loopback"},
		{"203.0.113.1", "[64:ff9b::c633:6407]:443", ""},
		{"203.0.113.1", "0.0.0.0:443", "loopback"},
		{"203.0.113.1", "[::]:443", "loopback"},
		{"203.0.113.1", "169.254.169.254:80", "link-local"},
		{"203.0.113.1", "[fe80::1%eth0]:80", "link-local"},
		{"203.0.113.1", "[fd00:ec2::254]:80", "private"},
		{"203.0.113.1", "10.1.2.3:443", "private"},
		{"203.0.113.1", "172.16.0.1:443", "private"},
		{"203.0.113.1", "192.168.1.1:443", "private"},
		{"203.0.113.1", "100.100.100.200:80", "private"},
		{"203.0.113.1", "192.0.0.192:80", "private"},
		{"203.0.113.1", "224.0.0.1:443", "multicast"},
		{"203.0.113.1", "[ff02::1]:443", "multicast"},
		{"203.0.113.1", "255.255.255.255:443", "multicast"},
		{"127.0.0.1", "127.0.0.1:443", ""},
		{"127.0.0.1", "[::1]:443", ""},
		{"127.0.0.1", "198.51.100.7:443", ""},
		{"127.0.0.1", "169.254.169.254:80", "link-local"},
		{"10.0.0.1", "192.168.7.7:443", ""},
		{"10.0.0.1", "127.0.0.1:443", "loopback"},
		{"localhost", "127.0.0.1:443", ""},
		{"no-such-host.invalid", "10.0.0.1:443", "private"},
		{"", "10.0.0.1:443", ""}, // an API call, or a proxy dials
	} {
		err := (&guard{home: tt.home}).check(t.Context(), netip.MustParseAddrPort(tt.to))
		if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
			t.Errorf("from %s to %s: %v, want %q", tt.home, tt.to, err, tt.refused)
		}
	}
}

func TestNothingIsSentToAForbiddenAddressUnderAnyName(t *testing.T) {
	t.Parallel()
	forbid := func(addresses ...string) *guard {
		g := &guard{home: "127.0.0.1"}
		for _, a := range addresses {
			e, err := parseEndpoint(a)
			if err != nil {
				t.Fatal(err)
			}
			g.forbidden = append(g.forbidden, e)
		}
		return g
	}
	for _, tt := range []struct {
		forbidden, url string
		refused        bool
	}{
		{"127.0.0.1:4222", "http://127.0.0.1:4222/x", true},
		{"127.0.0.1:4222", "http://localhost:4222/x", true},
		{"127.0.0.1:4222", "http://LOCALHOST:4222/x", true},
		{"127.0.0.1:4222", "http://[::1]:4222/x", true},
		{"127.0.0.1:4222", "http://0.0.0.0:4222/x", true},
		{"127.0.0.1:4222", "http://[::ffff:127.0.0.1]:4222/x", true},
		{"0.0.0.0:4222", "http://127.0.0.1:4222/x", true},
		{"[::]:4222", "http://127.0.0.1:4222/x", true},
		{"localhost:4222", "http://127.0.0.1:4222/x", true},
		{"127.0.0.1:80", "http://127.0.0.1/x", true},
		{"127.0.0.1:443", "https://127.0.0.1/x", true},
		{"nats.example:4222", "http://NATS.example:4222/x", true},
		{"127.0.0.1:4222", "http://127.0.0.1:4223/x", false},
		{"127.0.0.1:4222", "http://203.0.113.1:4222/x", false},
		{"nats.example:4222", "http://s3.example:4222/x", false},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := forbid(tt.forbidden).checkURL(t.Context(), u); (err != nil) != tt.refused {
			t.Errorf("%s, with %s forbidden: %v", tt.url, tt.forbidden, err)
		}
	}
	for _, own := range ownAddresses(t) {
		if err := forbid("0.0.0.0:4222").check(t.Context(), netip.AddrPortFrom(own, 4222)); err == nil {
			t.Errorf("%s is this machine's too", own)
		}
	}
	if _, err := New(Options{Forbidden: []string{"nats"}}); err == nil || !strings.Contains(err.Error(), "host:port") {
		t.Errorf("got %v", err)
	}
}

func ownAddresses(t *testing.T) []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var own []netip.Addr
	for _, a := range all {
		own = append(own, netip.MustParsePrefix(a.String()).Addr())
	}
	return own
}

// listen returns a server's address, and how many connections it has seen.
func listen(t *testing.T) (address string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	connections = new(atomic.Int32)
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			conn.Close()
		}
	}()
	return l.Addr().String(), connections
}

func TestARecordWhoseUploadURLLeadsAstrayIsUnusable(t *testing.T) {
	t.Parallel()
	broker, connections := listen(t)
	for name, tt := range map[string]struct {
		base, to, want string
	}{
		"the broker":         {"http://127.0.0.1", "http://" + broker, "nothing may be sent to " + broker},
		"a neighbour":        {"https://203.0.113.1", "https://10.0.0.1", "10.0.0.1:443: that is a private address, and the platform's is not"},
		"the cloud's secret": {"https://203.0.113.1", "https://169.254.169.254", "link-local"},
	} {
		transport := roundTripper(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.WriteString(`{"mid":"a","status":"INITED","uploadUrl":"` + tt.to + `/x?X-Amz-Signature=` + signature + `"}`)
			return w.Result(), nil
		})
		c := newTestClient(t, tt.base, Options{Transport: transport, Forbidden: []string{broker}})
		_, err := c.Create(t.Context(), NewMedia{})
		e := asError(t, err)
		if e.Kind != KindUnavailable || !e.MaybeDone || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%s: %v, MaybeDone %t: %v", name, e.Kind, e.MaybeDone, e)
		}
		// A URL that is known from elsewhere is not used either.
		e = asError(t, c.Upload(t.Context(), uploadTo(tt.to, 100), sparseFile(t, 100)))
		if e.Kind != KindURLExpired || e.MaybeDone || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%s: upload: %v, MaybeDone %t: %v", name, e.Kind, e.MaybeDone, e)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

// named is a client of a platform on the Internet whose dialer resolves every name to one address.
func named(t *testing.T, to string, o Options) *Client {
	t.Helper()
	transport := NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	dial := transport.DialContext
	transport.Proxy = nil
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, to) }
	o.Transport = transport
	return newTestClient(t, "http://203.0.113.1", o)
}

func TestANameThatLeadsAstrayIsRefusedWhenItIsDialled(t *testing.T) {
	t.Parallel()
	inside, connections := listen(t)
	c := named(t, inside, Options{})
	e := asError(t, c.Upload(t.Context(), uploadTo("http://innocent.example", 100), sparseFile(t, 100)))
	if e.Kind != KindUnavailable || e.MaybeDone || !strings.Contains(e.Error(), "an upload must not go to "+inside) {
		t.Errorf("%v, MaybeDone %t: %v", e.Kind, e.MaybeDone, e)
	}
	c = named(t, inside, Options{Forbidden: []string{inside}})
	for op, call := range operations {
		e := asError(t, call(t, c, "http://innocent.example"))
		if e.Kind != KindUnavailable || e.MaybeDone || !strings.Contains(e.Error(), "nothing may be sent to "+inside) {
			t.Errorf("%s: %v, MaybeDone %t: %v", op, e.Kind, e.MaybeDone, e)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

// A proxy resolves names itself, and stands in the local network as a rule.
func TestAProxyMayBeAnywhere(t *testing.T) {
	t.Parallel()
	var asked atomic.Pointer[string]
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(new(r.URL.Host))
		answer(200, "")(w, r)
	})
	transport := NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	at, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = http.ProxyURL(at)
	c := newTestClient(t, "http://203.0.113.1", Options{Transport: transport})
	if err := c.Upload(t.Context(), uploadTo("http://s3.example", 100), sparseFile(t, 100)); err != nil {
		t.Fatal(err)
	}
	if got := asked.Load(); got == nil || *got != "s3.example" {
		t.Errorf("the proxy was asked for %v", got)
	}
}
