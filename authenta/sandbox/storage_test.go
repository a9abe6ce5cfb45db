package sandbox_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestPutInsistsOnWhatWasSigned(t *testing.T) {
	content := []byte("seven by")
	video := http.Header{"Content-Type": {"video/mp4"}}
	for _, c := range []struct {
		name   string
		header http.Header
		body   io.Reader
		alter  func(url string) string
		age    time.Duration
		status int
		xml    string
	}{
		{name: "as signed", status: 200},
		{name: "just in time", age: time.Hour - time.Second, status: 200},
		{name: "too late", age: time.Hour, status: 403, xml: "<Code>AccessDenied</Code><Message>Request has expired</Message>"},
		{name: "another type", header: http.Header{"Content-Type": {"video/webm"}}, status: 403, xml: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "no type", header: http.Header{}, status: 403, xml: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "too short", body: bytes.NewReader(content[1:]), status: 403, xml: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "empty", body: http.NoBody, status: 403, xml: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "chunked", body: io.MultiReader(bytes.NewReader(content)), status: 501, xml: "<Code>NotImplemented</Code>"},
		{name: "another record", alter: swap("/storage/", "/storage/0"), status: 403, xml: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "longer life", alter: swap("Expires=3600", "Expires=9999"), status: 403, xml: "<Code>SignatureDoesNotMatch</Code>"},
		{name: "no signature", alter: func(u string) string { u, _, _ = strings.Cut(u, "?"); return u }, status: 403, xml: "<Code>AccessDenied</Code>"},
		{name: "odd expiry", alter: swap("Expires=3600", "Expires=x"), status: 403, xml: "<Code>AccessDenied</Code>"},
		{name: "client id", header: pair("sandbox-id", ""), status: 400, xml: "<Code>InvalidArgument</Code>"},
		{name: "client secret", header: pair("", "sandbox-secret"), status: 400, xml: "<Code>InvalidArgument</Code>"},
		{name: "bearer key", header: bearer("api_sandbox"), status: 400, xml: "<Code>InvalidArgument</Code>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, unlimited())
			rec := r.create(content)
			r.clock.Advance(c.age)
			uploadURL, header, body := rec.UploadURL, video, io.Reader(bytes.NewReader(content))
			if c.alter != nil {
				uploadURL = c.alter(uploadURL)
			}
			if c.header != nil {
				header = c.header
			}
			if c.body != nil {
				body = c.body
			}
			got := r.do("PUT", uploadURL, header, body)
			if got.StatusCode != c.status || !strings.Contains(string(got.body), c.xml) {
				t.Fatalf("got %s %s, want %d %s", got.Status, got.body, c.status, c.xml)
			}
			l := r.Ledger()
			if c.status != 200 {
				if l.PutsBegun != 0 || l.CreditsSpent != 0 {
					t.Errorf("%d begun, %d paid", l.PutsBegun, l.CreditsSpent)
				}
				return
			}
			if got.Header.Get("ETag") == "" || l.PutsBegun != 1 || l.PutsCompleted != 1 || l.Paid[digest(content)] != 1 {
				t.Errorf("ETag %q, ledger %+v", got.Header.Get("ETag"), l)
			}
		})
	}
}

func swap(from, to string) func(string) string {
	return func(s string) string { return strings.Replace(s, from, to, 1) }
}

func TestNamesOfAllKindsCanBeUploaded(t *testing.T) {
	r := newRig(t, unlimited())
	for _, name := range []string{"clip.mp4", "two words", "50% ?&#+.mp4", "dir/clip.mp4", "прогон.mp4", "results/x.json"} {
		rec := as[record](t, r.call("POST", "/api/media", fmt.Sprintf(`{"name":%q,"contentType":"video/mp4","size":1,"modelType":"DF-1"}`, name)))
		if got := r.put(rec, []byte("x")); got.StatusCode != 200 {
			t.Errorf("%s: %s %s", name, got.Status, got.body)
		}
		if rec = r.get(rec.MID); rec.Name != name || rec.Status != "PROCESSED" {
			t.Errorf("%s: %+v", name, rec)
		}
	}
}

// rawPut sends a PUT of rec's URL by hand, with these headers and this body, ends the sending side and returns the
// connection's other half.
func rawPut(t *testing.T, r *rig, rec record, headers, body string) *bufio.Reader {
	t.Helper()
	u, err := url.Parse(rec.UploadURL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Type: video/mp4\r\n%s\r\n%s", u.RequestURI(), u.Host, headers, body)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

func TestAPutThatEndsEarlyLeavesNothing(t *testing.T) {
	r := newRig(t, unlimited())
	rec := r.create([]byte("seven by"))
	resp, err := http.ReadResponse(rawPut(t, r, rec, "Content-Length: 8\r\n", "seven"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(body), "<Code>IncompleteBody</Code>") {
		t.Errorf("%s %s", resp.Status, body)
	}
	r.wantStatus(rec.MID, "INITED")
	if l := r.Ledger(); l.PutsBegun != 1 || l.PutsCompleted != 0 || len(l.Paid) != 0 || len(l.Records) != 0 {
		t.Errorf("%+v", l)
	}
}

func TestExpectContinueIsAnsweredFromTheHeaders(t *testing.T) {
	r := newRig(t, unlimited())
	rec := r.create([]byte("seven by"))
	for headers, want := range map[string]string{
		"Expect: 100-continue\r\nContent-Length: 8\r\n": "HTTP/1.1 100 Continue\r\n",
		"Expect: 100-continue\r\nContent-Length: 9\r\n": "HTTP/1.1 403 Forbidden\r\n",
	} {
		// No body is sent: an answer that waited for it would never come.
		if got, err := rawPut(t, r, rec, headers, "").ReadString('\n'); got != want {
			t.Errorf("%q: got %q (%v), want %q", headers, got, err, want)
		}
	}
}

func TestPresignedResultsExpireAndBelongToTheirPath(t *testing.T) {
	r := newRig(t, unlimited())
	rec := r.get(r.upload([]byte("x")).MID)
	for url, want := range map[string]int{
		rec.ResultURL: 200,
		rec.SrcURL:    404, // bytes are not kept
		strings.Replace(rec.ResultURL, "results", "heatmaps", 1):   403,
		strings.Replace(rec.ResultURL, "Signature=", "Forged=", 1): 403,
	} {
		if got := r.do("GET", url, nil, nil); got.StatusCode != want {
			t.Errorf("%s: %s, want %d", url, got.Status, want)
		}
	}
	r.clock.Advance(time.Hour)
	if got := r.do("GET", rec.ResultURL, nil, nil); got.StatusCode != 403 {
		t.Errorf("an hour later: %s", got.Status)
	}
}
