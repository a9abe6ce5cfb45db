package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/authenta/authenta-ingest/authenta/retryafter"
)

func TestAFileIsFetchedAsItIs(t *testing.T) {
	t.Parallel()
	file := bytes.Repeat([]byte("a file\n"), 100_000)
	var seen atomic.Pointer[http.Request]
	f, base := world(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r)
		w.Header().Set("Content-Type", "Video/MP4; codecs=x")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		if r.URL.Query().Has("chunked") {
			http.NewResponseController(w).Flush()
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		}
		w.Write(file)
	})
	for _, size := range []int64{int64(len(file)), -1} {
		url := base + "/in/a%20clip%2Fb.mp4?X-Sig=" + secret
		if size < 0 {
			url += "&chunked"
		}
		b, err := f.Open(t.Context(), url+"#fragment")
		if err != nil {
			t.Fatal(err)
		}
		if b.Size != size || b.ContentType != "video/mp4" || b.Name != "b.mp4" {
			t.Errorf("got %d bytes of %q named %q", b.Size, b.ContentType, b.Name)
		}
		if err := iotest.TestReader(b, file); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		r := seen.Load()
		if r.URL.Query().Get("X-Sig") != secret || r.URL.EscapedPath() != "/in/a%20clip%2Fb.mp4" || r.Method != "GET" {
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
		for name := range r.Header {
			if name != "Connection" && name != "Accept" && name != "Accept-Encoding" && name != "User-Agent" {
				t.Errorf("sent %s: %s", name, r.Header.Get(name))
			}
		}
		if r.Header.Get("Accept-Encoding") != "identity" || r.ProtoMajor != 1 || r.TLS.Version < 0x0303 {
			t.Errorf("by %s, TLS %x: %v", r.Proto, r.TLS.Version, r.Header)
		}
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	t.Parallel()
	var strayed atomic.Int32
	other, elsewhere := serveTLS(t, func(http.ResponseWriter, *http.Request) { strayed.Add(1) })
	var asked atomic.Int32
	s, address := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("sent along: %v", r.Header)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/left/%d", &n); err == nil && n > 0 {
			w.Header().Set("Location", fmt.Sprintf("%d?s=%s", n-1, secret))
			w.WriteHeader([]int{301, 302, 303, 307, 308}[n%5])
			return
		}
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		if r.URL.Path == "/nowhere" {
			w.WriteHeader(http.StatusFound)
			return
		}
		io.WriteString(w, "the file")
	})
	pool := roots(s)
	pool.AddCert(other.Certificate())
	f := newFetcher(t, Options{Hosts: []string{address, elsewhere}, Private: true, Roots: pool}) // both may be asked

	for _, path := range []string{"/left/0", "/left/1", "/left/5", "/?to=https://" + address + "/file", "/?to=/file%23x"} {
		if got, err := read(t, f, "https://"+address+path); err != nil || string(got) != "the file" {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for path, want := range map[string]struct {
		kind Kind
		says string
	}{
		"/left/6":    {Gone, "more than 5 times"},
		"/left/1000": {Gone, "more than 5 times"},
		"/nowhere":   {Gone, "does not say to what URL"},
		"/?to=https://" + elsewhere + "/file%3Fs=" + secret:              {NotAllowed, "redirects to https://" + elsewhere + "/file, and is followed on https://" + address},
		"/?to=//" + elsewhere + "/file":                                  {NotAllowed, "redirects to"},
		"/?to=http://" + address + "/file":                               {NotAllowed, "redirects to http://"},
		"/?to=https://user:" + secret + "@" + address + "/file":          {NotAllowed, "redirects to"},
		"/?to=https://localhost" + address[strings.Index(address, ":"):]: {NotAllowed, "redirects to"},
		"/?to=file:///etc/passwd":                                        {NotAllowed, "redirects to"},
		"/?to=https://%25zz":                                             {Gone, "does not say to what URL"},
	} {
		before := asked.Load()
		_, err := read(t, f, "https://"+address+path)
		wantError(t, path, err, want.kind, want.says)
		if n := asked.Load() - before; n > maxRedirects+1 {
			t.Errorf("%s: %d requests", path, n)
		}
	}
	if n := strayed.Load(); n > 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

func TestAnAnswerThatIsNotTheFileSaysWhetherToAskAgain(t *testing.T) {
	t.Parallel()
	f, base := world(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		for name, v := range r.URL.Query() {
			w.Header().Set(name, v[0])
		}
		w.WriteHeader(status)
		io.WriteString(w, "not the file")
	})
	for path, want := range map[string]struct {
		kind  Kind
		after time.Duration
	}{
		"/404": {Gone, 0}, "/410": {Gone, 0}, "/401": {Gone, 0}, "/403": {Gone, 0}, "/400": {Gone, 0}, "/451": {Gone, 0},
		"/203": {Gone, 0}, "/206": {Gone, 0}, "/300": {Gone, 0},
		"/500": {MayPass, 0}, "/502": {MayPass, 0}, "/503": {MayPass, 0}, "/408": {MayPass, 0}, "/429": {MayPass, 0},
		"/429?Retry-After=7":          {MayPass, 7 * time.Second},
		"/503?Retry-After=4000000000": {MayPass, retryafter.Most},
		"/503?Retry-After=-1":         {MayPass, 0},
		"/503?Date=Mon,+02+Jan+2006+15:04:05+GMT&Retry-After=Mon,+02+Jan+2006+15:05:05+GMT": {MayPass, time.Minute},
	} {
		_, err := read(t, f, base+path)
		e := wantError(t, path, err, want.kind, "fetch "+base+path[:4]+": the server answered "+path[1:4])
		if fmt.Sprint(e.Status) != path[1:4] || e.RetryAfter != want.after {
			t.Errorf("%s: status %d, again after %v", path, e.Status, e.RetryAfter)
		}
	}
}

func TestWhatTheServerGetsWrong(t *testing.T) {
	t.Parallel()
	const ok, end = "HTTP/1.1 200 OK\r\n", "Content-Length: 4\r\n\r\nfile"
	kilobyte := "X: " + strings.Repeat("b", 1000) + "\r\n"
	for name, tt := range map[string]struct {
		answer string
		kind   Kind // empty: it is fetched
		says   string
	}{
		"shorter than it says":      {ok + "Content-Length: 100\r\n\r\nonly this", MayPass, "ended before the file did"},
		"longer than it says":       {ok + "Content-Length: 4\r\n\r\nfile and more", "", "file"},
		"two sizes":                 {ok + "Content-Length: 4\r\nContent-Length: 9\r\n\r\nfile", MayPass, ""},
		"a negative size":           {ok + "Content-Length: -4\r\n\r\nfile", MayPass, ""},
		"a size beyond all":         {ok + "Content-Length: 99999999999999999999\r\n\r\nfile", MayPass, ""},
		"too large by what it says": {ok + "Content-Length: 10485761\r\n\r\nfile", TooLarge, "it has 10 MB, and 10 MB are taken at most (INGEST_MAX_SIZE)"},
		"no size":                   {ok + "\r\nfile", Gone, "have it send Content-Length"},
		"chunks without an end":     {ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nfile\r\n", MayPass, "ended before the file did"},
		"half a chunk":              {ok + "Transfer-Encoding: chunked\r\n\r\n40\r\nfile", MayPass, "ended before the file did"},
		"chunks, and a size":        {ok + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n4\r\nfile\r\n0\r\n\r\n", "", "file"},
		"no chunks":                 {ok + "Transfer-Encoding: chunked\r\n\r\nfile", MayPass, ""},
		"compressed":                {ok + "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nfile", Gone, `encoded as "gzip"`},
		"compressed twice":          {ok + "Content-Encoding: identity, br\r\nContent-Length: 4\r\n\r\nfile", Gone, `encoded as "br"`},
		"not compressed":            {ok + "Content-Encoding: Identity\r\nContent-Length: 4\r\n\r\nfile", "", "file"},
		"empty":                     {ok + "Content-Length: 0\r\n\r\n", "", ""},
		"nothing":                   {"", MayPass, ""},
		"another protocol":          {"220 mail.example ESMTP \x1b[31m\r\n", MayPass, ""},
		"half a header":             {ok + "Content-Le", MayPass, ""},
		"many headers":              {ok + strings.Repeat(kilobyte, 100) + end, MayPass, "exceeded 65536 bytes"},
		"a long header":             {ok + "X: " + strings.Repeat("b", 100_000) + "\r\n" + end, MayPass, "exceeded 65536 bytes"},
		"much before the answer":    {strings.Repeat("HTTP/1.1 103 Early Hints\r\n"+kilobyte+"\r\n", 100) + ok + end, MayPass, "exceeded 65536 bytes"},
		"headers that are enough":   {ok + strings.Repeat(kilobyte, 60) + end, "", "file"},
		"switched":                  {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nfile", "", ""},
		"a trailer bomb": {ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nfile\r\n0\r\n" +
			strings.Repeat(kilobyte, 1000), MayPass, ""},
	} {
		f, base := world(t, raw(tt.answer))
		got, err := read(t, f, base+"/clip.mp4?s="+secret)
		if name == "switched" {
			wantError(t, name, err, Gone, "101")
			continue
		}
		if tt.kind != "" {
			wantError(t, name, err, tt.kind, tt.says)
		} else if err != nil || string(got) != tt.says {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestAnErrorOfReadingStays(t *testing.T) {
	t.Parallel()
	f, base := world(t, raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"))
	b, err := f.Open(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, first := io.ReadAll(b)
	if n, again := b.Read(make([]byte, 10)); n != 0 || again != first {
		t.Errorf("%v, then %d bytes and %v", first, n, again)
	}
}

func TestACertificateThatIsNotTheHostsIsNotTaken(t *testing.T) {
	t.Parallel()
	s, address := serveTLS(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	stranger := newFetcher(t, Options{Hosts: []string{address}, Private: true})
	_, err := read(t, stranger, "https://"+address)
	wantError(t, "unknown authority", err, MayPass, "certificate")

	misnamed := newFetcher(t, Options{Hosts: []string{"media.example.net"}, Private: true, Roots: roots(s)})
	dialTo(misnamed, address)
	_, err = read(t, misnamed, "https://media.example.net/?s="+secret)
	wantError(t, "another's name", err, MayPass, "certificate")
}

func TestPlainTextIsNotTaken(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	address := s.Listener.Addr().String()
	f := newFetcher(t, Options{Hosts: []string{address}, Private: true})
	_, err := read(t, f, "https://"+address)
	wantError(t, "plain HTTP", err, MayPass, "TLS handshake")
}

func TestOldTLSIsNotTaken(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	s.StartTLS()
	defer s.Close()
	address := s.Listener.Addr().String()
	_, err := read(t, newFetcher(t, Options{Hosts: []string{address}, Private: true, Roots: roots(s)}), "https://"+address)
	wantError(t, "TLS 1.1", err, MayPass, "protocol version")
}

func TestACancelledFetchSaysWhyAndLeavesNothing(t *testing.T) {
	t.Parallel()
	why := errors.New("the reason")
	asked := make(chan context.CancelCauseFunc, 1)
	f, base := world(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "the beginning")
			http.NewResponseController(w).Flush()
		} else {
			(<-asked)(why)
		}
		<-r.Context().Done() // the connection is given up
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	asked <- cancel
	_, err := f.Open(ctx, base+"/headers")
	if wantError(t, "before the answer", err, MayPass, "the reason"); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}

	ctx, cancel = context.WithCancelCause(t.Context())
	b, err := f.Open(ctx, base+"/body")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := io.ReadFull(b, make([]byte, len("the beginning"))); err != nil {
		t.Fatal(err)
	}
	cancel(why)
	_, err = b.Read(make([]byte, 10))
	if wantError(t, "in the body", err, MayPass, "the reason"); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
