package fetch

import (
	"net/url"
	"strings"
	"testing"
)

func TestAllowedHosts(t *testing.T) {
	t.Parallel()
	f := newFetcher(t, Options{Private: true, Hosts: []string{
		"media.example.com", "Media.Example.com:8443", " *.cdn.example ", "*.ports.example:444", "xn--bcher-kva.example.",
		"192.0.2.7", "192.0.2.8:8443", "2001:DB8::7", "[2001:db8::8]", "[2001:db8::9]:8443", "::ffff:192.0.2.9", "nas",
	}})
	for _, tt := range []struct{ url, says string }{ // says: part of the error; empty: allowed
		{"https://media.example.com/a", ""},
		{"HTTPS://MEDIA.EXAMPLE.COM/a", ""},
		{"https://media.example.com./a", ""},
		{"https://media.example.com:443/a", ""},
		{"https://media.example.com:/a", ""},
		{"https://media.example.com:8443/a", ""},
		{"https://media.example.com:0443/a", ""},
		{"https://media.example.com:8444/a", "media.example.com:8444 is not in INGEST_URL_HOSTS"},
		{"https://media.example.com:22/a", "media.example.com:22 is not in INGEST_URL_HOSTS"},
		{"https://x.media.example.com/a", "x.media.example.com is not in"},
		{"https://example.com/a", "example.com is not in"},
		{"https://media.example.com.evil.example/a", "is not in"},
		{"https://evilmedia.example.com/a", "is not in"},
		{"https://a.cdn.example/", ""},
		{"https://a.b.CDN.example./", ""},
		{"https://cdn.example/", "is not in"},
		{"https://evilcdn.example/", "is not in"},
		{"https://a.cdn.example:8443/", "is not in"},
		{"https://a.ports.example:444/", ""},
		{"https://a.ports.example/", "is not in"},
		{"https://.cdn.example/", "no host"},
		{"https://a..cdn.example/", "no host"},
		{"https://a.cdn.example../", "no host"},
		{"https://xn--bcher-kva.example/", ""},
		{"https://XN--BCHER-KVA.example/", ""},
		{"https://bücher.example/", "xn--"},
		{"https://b%C3%BCcher.example/", "xn--"},
		{"https://media。example.com/", "xn--"}, // a full stop of another script
		{"https://192.0.2.7/", ""},
		{"https://[::ffff:192.0.2.7]/", ""},
		{"https://192.0.2.8:8443/", ""},
		{"https://192.0.2.8/", "is not in"},
		{"https://192.0.2.9/", ""},
		{"https://[2001:db8:0::7]/", ""},
		{"https://[2001:db8::8]/", ""},
		{"https://[2001:db8::9]:8443/", ""},
		{"https://[2001:db8::9]/", "[2001:db8::9] is not in"},
		{"https://[2001:db8::7%25eth0]/", "one network interface"},
		{"https://3221226503/", "no host"}, // 192.0.2.7 to some
		{"https://0xc0000207/", "no host"},
		{"https://192.0.519/", "no host"},
		{"https://192.0.2.07/", "no host"},
		{"https://192.0.2.7./", "no host"},
		{"https://nas/", ""},
		{"https://media.example.com:0/", "no port"},
		{"https://media.example.com:65536/", "no port"},
		{"https://media.example.com:99999999999999999999/", "no port"},
		{"https://media.example.com\\@evil.example/", "no URL"},
		{"https://media.example.com%2eevil.example/", "no URL"},
		{"https://media.example.com evil.example/", "no URL"},
		{"https://user:" + secret + "@media.example.com/", "user name"},
		{"https://media.example.com@evil.example/", "user name"},
		{"https://@media.example.com/", "user name"},
		{"http://media.example.com/", "only https"},
		{"file:///etc/passwd", "only https"},
		{"//media.example.com/", "only https"},
		{"media.example.com/a", "only https"},
		{"", "only https"},
		{"https:media.example.com/", "no host"},
		{"https:///a", "no host"},
		{"https://:443/a", "no host"},
		{"https://" + strings.Repeat("a", 64) + ".cdn.example/", "no host"},
		{"https://" + strings.Repeat("a.", 130) + "cdn.example/", "no host"},
		{"https://media.example.com/" + strings.Repeat("a", maxURL), "the URL has 8218 bytes"},
		{"https://us:" + secret + "/@media.example.com/", "no URL"},
		{"https://media.example.com/%zz?s=" + secret, "no URL"},
		{"https://media.example.com/\n?s=" + secret, "no URL"},
	} {
		u, err := parse(tt.url)
		if err == nil {
			err = f.Allowed(u)
		}
		if tt.says == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.url, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s is allowed", tt.url)
			continue
		}
		_, err = f.Open(t.Context(), tt.url)
		wantError(t, tt.url, err, NotAllowed, tt.says)
	}
}

func TestNothingIsAllowedUnlessItIsListed(t *testing.T) {
	t.Parallel()
	_, err := newFetcher(t, Options{}).Open(t.Context(), "https://example.com/")
	wantError(t, "no list", err, NotAllowed, "fetch https://example.com/: example.com is not in INGEST_URL_HOSTS")
}

func TestEveryMistakeInTheListIsSaid(t *testing.T) {
	t.Parallel()
	bad := []string{
		"", "*", "*:443", "https://media.example.com", "media.example.com/in", "user@media.example.com", "media.*.example",
		"*media.example.com", "*.*.example", "*.", "media.example.com:", "media.example.com:0", "media.example.com:https",
		"media.example.com:70000", ":443", "bücher.example", "192.0.2", "*.192.0.2.7", "[media.example.com]", "[2001:db8::1",
		"[fe80::1%eth0]", "a b", "2001:db8::1:99999", "*.[2001:db8::1]:443",
	}
	err := CheckHosts(append([]string{"media.example.com"}, bad...))
	if err == nil {
		t.Fatal("no mistake")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(bad) {
		t.Fatalf("%d lines for %d mistakes:\n%v", len(lines), len(bad), err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, `host "`+bad[i]+`": `) {
			t.Errorf("%q: %s", bad[i], line)
		}
	}
	if err := CheckHosts([]string{"media.example.com", "*.example.com"}); err != nil {
		t.Error(err)
	}
	if _, err := New(Options{Hosts: []string{"*"}, MaxSize: -1}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v", err)
	}
}

func TestRedactedKeepsSecrets(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://media.example.com/a%20b/c?X-Sig=" + secret:     "https://media.example.com/a%20b/c",
		"https://user:" + secret + "@media.example.com/a":       "https://media.example.com/a",
		"https://media.example.com/a#" + secret:                 "https://media.example.com/a",
		"https://user:" + secret + "/x@media.example.com/":      "(no URL)",
		"https:opaque?" + secret:                                "(no URL)",
		secret:                                                  "(no URL)",
		"https://media.example.com/%zz?" + secret:               "(no URL)",
		"https://media.example.com/" + strings.Repeat("a", 400): "https://media.example.com/" + strings.Repeat("a", 274) + "…",
	} {
		if got := Redacted(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestTheNameIsWhatThePathEndsIn(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/clip.mp4":                         "clip.mp4",
		"/a/b/clip.mp4":                     "clip.mp4",
		"/a/%2e%2e":                         "",
		"/a/..":                             "",
		"/a/%2Fetc%2Fpasswd":                "passwd",
		"/a/":                               "",
		"":                                  "",
		"/":                                 "",
		"/a%2F":                             "",
		"/cl%00ip%0A.mp4":                   "clip.mp4",
		"/%ff%fe.mp4":                       ".mp4",
		"/gr%C3%BC%C3%9Fe.mp4":              "grüße.mp4",
		"/%E2%80%AEgpj.exe":                 "gpj.exe", // written from right to left
		"/" + strings.Repeat("%C3%BC", 200): strings.Repeat("ü", 127),
	} {
		u, err := url.Parse("https://example.com" + path)
		if err != nil {
			t.Fatal(err)
		}
		if got := nameIn(u); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
