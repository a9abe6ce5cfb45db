package fetch

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/authenta/netkind"
)

// FuzzAllowed gives the allow-list any entry, and asks it for any URL. What is allowed is https to a place that the entry
// means in its plainest reading, is asked for in the same form as it was checked in, and is public if it is an address.
func FuzzAllowed(f *testing.F) {
	for _, entry := range []string{"media.example.com", "*.example.com:8443", "192.0.2.7", "[2001:db8::7]:8443", "xn--bcher-kva.example."} {
		for _, u := range []string{"https://media.example.com:8443/a?b#c", "https://[2001:DB8::7]:8443", "https://u:p@192.0.2.7./"} {
			f.Add(entry, u)
		}
	}
	f.Fuzz(func(t *testing.T, entry, raw string) {
		fetcher, err := New(Options{Hosts: []string{entry}})
		if (err == nil) != (CheckHosts([]string{entry}) == nil) {
			t.Fatalf("%q: %v", entry, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v", entry, err)
			}
			return
		}
		u, err := parse(raw)
		if err != nil || fetcher.Allowed(u) != nil {
			return
		}
		target, err := fetcher.target(u)
		if err != nil || target.Scheme != "https" || target.User != nil || target.Fragment != "" || target.RequestURI() != u.RequestURI() {
			t.Fatalf("%q is asked for as %q: %v", raw, target, err)
		}
		again, err := url.Parse(target.String())
		if err != nil || again.Host != target.Host || again.String() != target.String() {
			t.Fatalf("%q is %q, and then %q: %v", raw, target, again, err)
		}
		if a, err := netip.ParseAddr(target.Hostname()); err == nil && netkind.Of(a) != netkind.Public {
			t.Fatalf("%q leads to %s", raw, a)
		}
		if !plainly(entry, target) {
			t.Errorf("%q allows %q", entry, target)
		}
	})
}

// plainly is what an entry means for a URL: its host as it is written, or the end of it.
func plainly(entry string, u *url.URL) bool {
	host, port := strings.ToLower(strings.TrimSpace(entry)), "443"
	if _, err := netip.ParseAddr(host); err != nil {
		if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
			host, port = host[:i], strings.TrimLeft(host[i+1:], "0")
		}
	}
	if got := u.Port(); got != port && (got != "" || port != "443") {
		return false
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if domain, ok := strings.CutPrefix(host, "*"); ok {
		return strings.HasSuffix(u.Hostname(), domain) && len(u.Hostname()) > len(domain)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		b, err := netip.ParseAddr(u.Hostname())
		return err == nil && a.Unmap() == b
	}
	return host == u.Hostname()
}

// FuzzTold gives a URL with secrets in it. Nothing that is told of it has one, or is more than a line.
func FuzzTold(f *testing.F) {
	f.Add("https://media.example.com/in/", "clip.mp4", "X-Amz-Signature=")
	f.Fuzz(func(t *testing.T, before, path, query string) {
		if strings.ContainsAny(before+path, "?#") {
			t.Skip("the secret is to be in the query")
		}
		raw := before + path + "?" + query + secret
		fetcher, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(before+path, secret) {
			t.Skip()
		}
		_, err = fetcher.Open(t.Context(), raw)
		wantError(t, raw, err, NotAllowed, "fetch ")
		if u, err := url.Parse(raw); err == nil {
			if name := nameIn(u); len(name) > maxName || strings.ContainsAny(name, "/\x00\n") || name == ".." {
				t.Errorf("%q is named %q", raw, name)
			}
		}
	})
}
