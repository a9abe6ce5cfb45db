package authenta

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// An observer notes calls.
type observer struct {
	mu    sync.Mutex
	calls []Call
}

func (o *observer) note(c Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, c)
}

func TestEachCallIsObservedOnceWithItsAnswer(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]struct {
		serve http.HandlerFunc
		op    Op
		kind  Kind  // 0: it succeeds
		sent  int64 // bytes
		do    func(*Client, string) error
	}{
		"a list": {answer(200, `{"data":[]}`), OpList, 0, 0, func(c *Client, _ string) error {
			_, err := c.List(t.Context(), ListOptions{})
			return err
		}},
		"no such record": {answer(404, `{"code":"X"}`), OpGet, KindNotFound, 0, func(c *Client, _ string) error {
			_, err := c.Get(t.Context(), testID)
			return err
		}},
		"a cut": {cut, OpCreate, KindUnavailable, 0, func(c *Client, _ string) error {
			_, err := c.Create(t.Context(), NewMedia{Name: "clip", ContentType: "video/mp4", Size: 10, Model: "DF-1"})
			return err
		}},
		"an upload": {answer(200, ""), OpUpload, 0, 1000, func(c *Client, url string) error {
			return c.Upload(t.Context(), Upload{ID: testID, URL: PresignedURL(url), ContentType: "video/mp4", Size: 1000}, sparseFile(t, 1000))
		}},
		"an upload that is refused": {answer(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>"), OpUpload, KindStorageRefused, 0, func(c *Client, url string) error {
			return c.Upload(t.Context(), Upload{ID: testID, URL: PresignedURL(url), ContentType: "video/mp4", Size: 1000}, sparseFile(t, 1000))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o observer
			url := serve(t, at.serve)
			c := newTestClient(t, url, Options{Observe: o.note})
			began := time.Now()
			err := at.do(c, url)
			took := time.Since(began)
			if len(o.calls) != 1 {
				t.Fatalf("observed %d times", len(o.calls))
			}
			got := o.calls[0]
			kind := Kind(0)
			if got.Err != nil {
				kind = got.Err.Kind
			}
			if got.Op != at.op || kind != at.kind || got.Sent != at.sent || got.Took <= 0 || got.Took > took || (err == nil) != (got.Err == nil) {
				t.Errorf("observed %+v, which took %s and ended with %v", got, took, err)
			}
		})
	}
}

func TestWhatIsNotSentIsNotObserved(t *testing.T) {
	t.Parallel()
	var o observer
	url := serve(t, answer(200, ""))
	keyless := newTestClient(t, url, Options{Observe: o.note, Credentials: func() (Credentials, error) { return Credentials{}, nil }})
	if _, err := keyless.Get(t.Context(), testID); err == nil {
		t.Error("a call without keys")
	}
	c := newTestClient(t, url, Options{Observe: o.note})
	if err := c.Upload(t.Context(), Upload{ID: testID, URL: PresignedURL(url), ContentType: "video/mp4", Size: 7}, sparseFile(t, 1000)); err == nil {
		t.Error("a file of another size was sent")
	}
	if len(o.calls) > 0 {
		t.Errorf("observed %+v", o.calls)
	}
}
