package sandbox_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A wire is a connection that sends what python-requests 2.32.3 sends, byte by byte, and reads answers.
type wire struct {
	r    *rig
	conn net.Conn
	in   *bufio.Reader
}

func dial(r *rig) *wire {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return &wire{r, conn, bufio.NewReader(conn)}
}

// send sends one request: own are the headers that the client adds to those of requests itself.
func (w *wire) send(method, path, own, body string) reply {
	w.r.t.Helper()
	length := ""
	if body != "" {
		length = fmt.Sprintf("Content-Length: %d\r\n", len(body))
	} else if method == "DELETE" {
		length = "Content-Length: 0\r\n"
	}
	fmt.Fprintf(w.conn, "%s %s HTTP/1.1\r\n"+
		"Host: %s\r\n"+
		"User-Agent: python-requests/2.32.3\r\n"+
		"Accept-Encoding: gzip, deflate\r\n"+
		"Accept: */*\r\n"+
		"Connection: keep-alive\r\n"+
		"%s%s\r\n%s", method, path, w.conn.RemoteAddr(), own, length, body)
	req, err := http.NewRequest(method, path, nil)
	if err != nil {
		w.r.t.Fatal(err)
	}
	resp, err := http.ReadResponse(w.in, req)
	if err != nil {
		w.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.r.t.Fatal(err)
	}
	return reply{resp, b}
}

func TestTheOfficialPythonClientIsServed(t *testing.T) {
	o := unlimited()
	o.Latency = 10 * time.Second
	r := newRig(t, o)
	clip := make([]byte, 164266)
	const keys = "x-client-id: sandbox-id\r\n" +
		"x-client-secret: sandbox-secret\r\n" +
		"Content-Type: application/json\r\n"
	w := dial(r)

	created := as[record](t, w.send("POST", "/api/media", keys,
		`{"name": "clip.mp4", "contentType": "video/mp4", "size": 164266, "modelType": "DF-1"}`))
	upload, err := url.Parse(created.UploadURL)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.send("PUT", upload.RequestURI(), "Content-Type: video/mp4\r\n", string(clip)); got.StatusCode != 200 {
		t.Fatalf("PUT: %s %s", got.Status, got.body)
	}
	if got := as[record](t, w.send("GET", "/api/media/"+created.MID, keys, "")); got.Status != "UPLOADED" {
		t.Errorf("polled %s, want UPLOADED", got.Status)
	}
	r.clock.Advance(10 * time.Second)
	if got := as[record](t, w.send("GET", "/api/media/"+created.MID, keys, "")); got.Status != "PROCESSED" || got.Faces == nil || got.ResultURL == "" {
		t.Errorf("polled %+v, want a result", got)
	}
	list := as[struct{ Data []record }](t, w.send("GET", "/api/media?page=1&pageSize=10", keys, ""))
	if len(list.Data) != 1 || list.Data[0].MID != created.MID {
		t.Errorf("listed %+v", list.Data)
	}
	if got := w.send("DELETE", "/api/media/"+created.MID, keys, ""); got.StatusCode/100 != 2 {
		t.Errorf("DELETE: %s", got.Status)
	}
	// The client maps errors by the code and message in their JSON.
	gone := w.send("GET", "/api/media/"+created.MID, keys, "")
	if want := `{"code":"not_found","type":"CLIENT_ERROR","message":"Media not found"}`; gone.StatusCode != 404 || string(gone.body) != want {
		t.Errorf("%s %s, want %s", gone.Status, gone.body, want)
	}
}
