package fetch

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// names answers every question for a name with the next of some addresses; the last goes on for ever.
func names(t *testing.T, addresses ...string) *net.Resolver {
	var asked atomic.Int32
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		a := netip.MustParseAddr(addresses[min(int(asked.Load()), len(addresses)-1)])
		go func() {
			defer there.Close()
			if answerQuestion(there, a) {
				asked.Add(1)
			}
		}()
		return here, nil
	}}
}

// answerQuestion reads one DNS question as it goes over TCP, and answers it; with nothing where it is for addresses of the
// other kind.
func answerQuestion(conn net.Conn, a netip.Addr) (answered bool) {
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return false
	}
	q := make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(conn, q); err != nil {
		return false
	}
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5 // the root, type and class
	kind := uint16(1)
	if a.Is6() {
		kind = 28
	}
	answered = binary.BigEndian.Uint16(q[end-4:]) == kind
	r := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	if answered {
		r[7] = 1
		r = append(r, 0xc0, 12) // the name asked for
		r = binary.BigEndian.AppendUint16(r, kind)
		r = append(r, 0, 1, 0, 0, 0, 0)
		r = binary.BigEndian.AppendUint16(r, uint16(len(a.AsSlice())))
		r = append(r, a.AsSlice()...)
	}
	conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
	return answered
}

func TestANameThatLeadsInsideIsRefused(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s, address := serveTLS(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	_, port, _ := net.SplitHostPort(address)
	for inside, kind := range map[string]string{
		"127.0.0.1": "loopback", "::1": "loopback", "0.0.0.0": "loopback", "::": "loopback", "::ffff:127.0.0.1": "loopback",
		"64:ff9b::7f00:1": "loopback", "10.1.2.3": "private", "169.254.169.254": "link-local", "64:ff9b::a9fe:a9fe": "link-local",
		"100.100.100.200": "private", "fd00:ec2::254": "private", "2002:7f00:1::": "private", "224.0.0.1": "multicast",
	} {
		f := newFetcher(t, Options{Hosts: []string{"example.com:" + port}, Roots: roots(s), resolver: names(t, inside)})
		_, err := f.Open(t.Context(), "https://example.com:"+port+"/?s="+secret)
		wantError(t, inside, err, NotAllowed, "a "+kind+" address, and only public ones are allowed while INGEST_URL_PRIVATE is not set")

		literal := "https://" + net.JoinHostPort(inside, port)
		f = newFetcher(t, Options{Hosts: []string{net.JoinHostPort(inside, port)}, Roots: roots(s)})
		_, err = f.Open(t.Context(), literal)
		wantError(t, literal, err, NotAllowed, "a "+kind+" address")
	}
	f := newFetcher(t, Options{Hosts: []string{"localhost:" + port}, Roots: roots(s)})
	_, err := f.Open(t.Context(), "https://localhost:"+port)
	wantError(t, "localhost", err, NotAllowed, "a loopback address")
	if n := asked.Load(); n > 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestANameThatLeadsInsideIsFetchedIfThatIsAllowed(t *testing.T) {
	t.Parallel()
	s, address := serveTLS(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	_, port, _ := net.SplitHostPort(address)
	f := newFetcher(t, Options{Hosts: []string{"example.com:" + port}, Private: true, Roots: roots(s), resolver: names(t, "127.0.0.1")})
	for _, host := range []string{"example.com", "EXAMPLE.com", "example.com."} {
		if got, err := read(t, f, "https://"+host+":"+port); err != nil || string(got) != "example.com:"+port {
			t.Errorf("%s: asked as %q, %v", host, got, err)
		}
	}
}

// A name that leads outside when it is looked at may lead inside when it is connected to.
func TestANameThatChangesItsAddressIsRefused(t *testing.T) {
	t.Parallel()
	s, address := serveTLS(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	_, port, _ := net.SplitHostPort(address)
	resolver := names(t, "203.0.113.1", "127.0.0.1")
	f := newFetcher(t, Options{Hosts: []string{"example.com:" + port}, Roots: roots(s), resolver: resolver})
	if first, err := resolver.LookupNetIP(t.Context(), "ip4", "example.com"); err != nil || first[0].String() != "203.0.113.1" {
		t.Fatalf("%v, %v", first, err)
	}
	_, err := f.Open(t.Context(), "https://example.com:"+port)
	wantError(t, "second answer", err, NotAllowed, "it leads to 127.0.0.1, a loopback address")
}

func TestANameThatIsNotKnownMayPass(t *testing.T) {
	t.Parallel()
	f := newFetcher(t, Options{Hosts: []string{"no-such-host.invalid"}})
	_, err := f.Open(t.Context(), "https://no-such-host.invalid/?s="+secret)
	wantError(t, "no such host", err, MayPass, "no-such-host.invalid")
}

// withProxy names the variable that has a run of this binary use a proxy: net/http reads the environment once.
const withProxy = "FETCH_TEST_WITH_PROXY"

func TestTheProxyIsUsedOnlyWhereAddressesAreFree(t *testing.T) {
	if os.Getenv(withProxy) == "" {
		inChild(t)
		return
	}
	connects := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	for _, name := range []string{"NO_PROXY", "no_proxy", "https_proxy"} {
		t.Setenv(name, "")
	}
	t.Setenv("HTTPS_PROXY", strings.Replace(proxy.URL, "http://", "http://user:"+secret+"@", 1))

	hosts := []string{"media.example"}
	_, err := newFetcher(t, Options{Hosts: hosts, Private: true}).Open(t.Context(), "https://media.example/")
	wantError(t, "with Private", err, MayPass, "Bad Gateway")
	if got := <-connects; got != "CONNECT media.example:443" {
		t.Errorf("the proxy was asked for %s", got)
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	f := newFetcher(t, Options{Hosts: hosts})
	f.transport.DialContext = (&net.Dialer{}).DialContext
	dialTo(f, closed.Listener.Addr().String())
	_, err = f.Open(t.Context(), "https://media.example/")
	wantError(t, "without", err, MayPass, "not by the proxy that HTTPS_PROXY names")
	if len(connects) > 0 {
		t.Errorf("the proxy was asked for %s", <-connects)
	}
}

// inChild runs the calling test again in a process of its own.
func inChild(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), withProxy+"=1")
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
}
