package sandbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// A clock stands still until it is advanced.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A rig is a platform behind a server, and a client that may do everything there.
type rig struct {
	*sandbox.Platform
	t     *testing.T
	url   string
	clock *clock
	keys  http.Header
}

// unlimited are options with which only the faults of a test stand in the way.
func unlimited() sandbox.Options {
	return sandbox.Options{Credits: sandbox.Unlimited, MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited}
}

func newRig(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}
	if o.Clock == nil {
		o.Clock = c.Now
	}
	p, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		server.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Platform: p, t: t, url: server.URL, clock: c, keys: pair("sandbox-id", "sandbox-secret")}
}

func pair(id, secret string) http.Header {
	return http.Header{"X-Client-Id": {id}, "X-Client-Secret": {secret}}
}

func bearer(key string) http.Header { return http.Header{"Authorization": {"Bearer " + key}} }

// A reply is an answer that has been read to its end.
type reply struct {
	*http.Response
	body []byte
}

// try sends a request and reads its answer, or says what came instead of one.
func (r *rig) try(method, url string, header http.Header, body io.Reader) (reply, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp, b}, err
}

func (r *rig) do(method, url string, header http.Header, body io.Reader) reply {
	r.t.Helper()
	got, err := r.try(method, url, header, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// call makes an API call with the rig's keys.
func (r *rig) call(method, path, body string) reply {
	r.t.Helper()
	return r.do(method, r.url+path, r.keys, bytes.NewBufferString(body))
}

// A record is a media record as a client reads it.
type record struct {
	MID, Name, Type, Status, ModelType, CreatedAt, UploadURL, SrcURL, ResultURL, HeatmapURL string

	ExpiresIn        int
	Fake             *bool
	Confidence       *float64
	Faces, DeepFakes *int
	Participants     []struct {
		ID         int
		Fake       bool
		Confidence float64
		Heatmap    string
	}
}

// as reads an answer that should be 200 and JSON.
func as[T any](t *testing.T, r reply) T {
	t.Helper()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", r.Request.Method, r.Request.URL.Path, r.Status, r.body)
	}
	return decode[T](t, r.body)
}

func decode[T any](t testing.TB, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

func createBody(model, contentType string, size int) string {
	return fmt.Sprintf(`{"name":"a file","contentType":%q,"size":%d,"modelType":%q}`, contentType, size, model)
}

// create makes a record for content: a video for DF-1.
func (r *rig) create(content []byte) record {
	r.t.Helper()
	return as[record](r.t, r.call("POST", "/api/media", createBody("DF-1", "video/mp4", len(content))))
}

func (r *rig) put(rec record, content []byte) reply {
	r.t.Helper()
	return r.do("PUT", rec.UploadURL, http.Header{"Content-Type": {"video/mp4"}}, bytes.NewReader(content))
}

// upload creates a record and puts content to it.
func (r *rig) upload(content []byte) record {
	r.t.Helper()
	rec := r.create(content)
	if got := r.put(rec, content); got.StatusCode != http.StatusOK {
		r.t.Fatalf("PUT: %s: %s", got.Status, got.body)
	}
	return rec
}

func (r *rig) get(mid string) record {
	r.t.Helper()
	return as[record](r.t, r.call("GET", "/api/media/"+mid, ""))
}

func (r *rig) wantStatus(mid, want string) {
	r.t.Helper()
	if got := r.get(mid).Status; got != want {
		r.t.Errorf("status %s, want %s", got, want)
	}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// always is an Options.Outcome.
func always(o sandbox.Outcome) func([32]byte) sandbox.Outcome {
	return func([32]byte) sandbox.Outcome { return o }
}

// soon bounds what should end by itself.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
