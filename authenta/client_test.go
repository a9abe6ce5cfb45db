package authenta

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestNewTellsAllMistakesAtOnce(t *testing.T) {
	_, err := New(Options{BaseURL: "platform.authenta.ai", Stall: -1})
	for _, want := range []string{"https://", "credentials", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestBaseURLToleratesWhatPeopleCopy(t *testing.T) {
	for in, want := range map[string]string{
		"https://platform.authenta.ai":          "https://platform.authenta.ai",
		"https://platform.authenta.ai/":         "https://platform.authenta.ai",
		"https://platform.authenta.ai/api/":     "https://platform.authenta.ai",
		"http://127.0.0.1:9090/authenta/api":    "http://127.0.0.1:9090/authenta",
		"/api":                                  "",
		"ftp://platform.authenta.ai":            "",
		"https://":                              "",
		"https://5ec2e7@platform.authenta.ai":   "",
		"https://platform.authenta.ai?x=5ec2e7": "",
		"https://5ec2e7:%zz":                    "",
	} {
		u, err := parseBaseURL(in)
		switch {
		case want == "" && (err == nil || strings.Contains(err.Error(), signature)):
			t.Errorf("%s: got %v, %v", in, u, err)
		case want != "" && (err != nil || u.String() != want):
			t.Errorf("%s: got %v, %v", in, u, err)
		}
	}
}

func TestCallsAreWhatThePlatformExpects(t *testing.T) {
	var got *http.Request
	var body []byte
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		switch r.Method {
		case http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"mid":"a","status":"INITED","uploadUrl":"http://s3.test/x?y=z"}`)
		case http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		default:
			io.WriteString(w, `{"mid":"a","status":"INITED","data":[]}`)
		}
	})
	c := newTestClient(t, base+"/api/", Options{UserAgent: "test/1"})
	ctx := t.Context()
	for want, call := range map[string]func() error{
		"POST /api/media": func() error {
			_, err := c.Create(ctx, NewMedia{Name: "n", ContentType: "video/mp4", Size: 7, Model: "DF-1"})
			return err
		},
		"GET /api/media/a":    func() error { _, err := c.Get(ctx, "a"); return err },
		"DELETE /api/media/a": func() error { return c.Delete(ctx, "a") },
		"GET /api/media?limit=10&offset=20&page=3&pageSize=10": func() error {
			_, err := c.List(ctx, ListOptions{Limit: 10, Offset: 20})
			return err
		},
		"GET /api/media?offset=0": func() error { _, err := c.List(ctx, ListOptions{}); return err },
	} {
		if err := call(); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if line := got.Method + " " + got.URL.String(); line != want {
			t.Errorf("got %s, want %s", line, want)
		}
		h := got.Header
		if h.Get("X-Client-Id") != testKeys.ClientID || h.Get("X-Client-Secret") != testKeys.ClientSecret || h.Get("User-Agent") != "test/1" {
			t.Errorf("%s: headers %v", want, h)
		}
		if wire := `{"name":"n","contentType":"video/mp4","size":7,"modelType":"DF-1"}`; got.Method == http.MethodPost && string(body) != wire {
			t.Errorf("got %s, want %s", body, wire)
		}
	}
}

func TestBearerKeyGoesBeforeThePair(t *testing.T) {
	h := http.Header{}
	Credentials{ClientID: "a", ClientSecret: "b", APIKey: "api_c"}.setHeaders(h)
	if len(h) != 1 || h.Get("Authorization") != "Bearer api_c" {
		t.Errorf("got %v", h)
	}
}

func TestWithoutUsableKeysNothingIsSent(t *testing.T) {
	unreadable := errors.New("key file is gone")
	for name, source := range map[string]func() (Credentials, error){
		"unreadable": func() (Credentials, error) { return Credentials{}, unreadable },
		"none":       func() (Credentials, error) { return Credentials{}, nil },
		"half":       func() (Credentials, error) { return Credentials{ClientID: "a"}, nil },
		"multi-line": func() (Credentials, error) { return Credentials{APIKey: "a\nb"}, nil },
	} {
		base := serve(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: sent", name) })
		_, err := newTestClient(t, base, Options{Credentials: source}).Create(t.Context(), NewMedia{})
		e := asError(t, err)
		if e.Kind != KindUnauthenticated || e.MaybeDone || name == "unreadable" && !errors.Is(err, unreadable) {
			t.Errorf("%s: got %v, %v", name, e.Kind, e)
		}
	}
}

func TestAnIDThatIsNoneIsNotSent(t *testing.T) {
	c := newTestClient(t, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") }), Options{})
	for _, id := range []MediaID{"", "..", "a/b"} {
		_, err := c.Get(t.Context(), id)
		if e := asError(t, err); e.Kind != KindRejected {
			t.Errorf("get %q: %v", id, e)
		}
		if e := asError(t, c.Delete(t.Context(), id)); e.Kind != KindRejected || e.MaybeDone {
			t.Errorf("delete %q: %v", id, e)
		}
	}
}

func TestCreateMaybeDoneUnlessAnswersSayNo(t *testing.T) {
	for name, tt := range map[string]struct {
		h         http.HandlerFunc
		kind      Kind
		maybeDone bool
	}{
		"refused":            {answer(429, `{"code":"AA001","message":"API limit reached"}`), KindQuota, false},
		"rejected":           {answer(400, `{"code":"bad_request"}`), KindRejected, false},
		"reply lost":         {cut, KindUnavailable, true},
		"server error":       {answer(500, `{"code":"internal_error"}`), KindUnavailable, true},
		"gateway error":      {answer(502, `<html>`), KindUnavailable, true},
		"garbage":            {answer(200, `<html>`), KindUnavailable, true},
		"no id":              {answer(201, `{"uploadUrl":"http://s3.test/x"}`), KindUnavailable, true},
		"unusable id":        {answer(201, `{"mid":"../x","uploadUrl":"http://s3.test/x"}`), KindUnavailable, true},
		"no upload URL":      {answer(201, `{"mid":"a"}`), KindUnavailable, true},
		"relative URL":       {answer(201, `{"mid":"a","uploadUrl":"/x?y=5ec2e7"}`), KindUnavailable, true},
		"URL of a file":      {answer(201, `{"mid":"a","uploadUrl":"file://host/x?y=5ec2e7"}`), KindUnavailable, true},
		"too long an answer": {answer(200, strings.Repeat(" ", maxBody+1)), KindUnavailable, true},
		"answer cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"mid":`)
		}, KindUnavailable, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := newTestClient(t, serve(t, tt.h), Options{}).Create(t.Context(), NewMedia{})
			if e := asError(t, err); e.Kind != tt.kind || e.MaybeDone != tt.maybeDone || m.ID != "" {
				t.Errorf("got %v, MaybeDone %t: %v", e.Kind, e.MaybeDone, e)
			}
		})
	}
}

func TestARequestThatNeverLeftIsNotMaybeDone(t *testing.T) {
	_, err := newTestClient(t, refusedURL(), Options{}).Create(t.Context(), NewMedia{})
	if e := asError(t, err); e.MaybeDone || e.Kind != KindUnavailable || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial refused: %v, MaybeDone %t", e, e.MaybeDone)
	}
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err = newTestClient(t, refusedURL(), Options{}).Create(ctx, NewMedia{})
	if e := asError(t, err); e.MaybeDone || !errors.Is(err, why) {
		t.Errorf("ended before: %v, MaybeDone %t", e, e.MaybeDone)
	}
}

func TestUploadURLsMustBeAsSafeAsThePlatform(t *testing.T) {
	c := newTestClient(t, "https://platform.test", Options{})
	for u, ok := range map[PresignedURL]bool{
		"https://s3.test/x?y=z": true, "http://s3.test/x": false, "": false, "https:///x": false, "https://a:b@s3.test/x": false,
	} {
		if err := c.checkUploadURL(t.Context(), u); (err == nil) != ok {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestKeysDoNotFollowARedirect(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	_, err := newTestClient(t, base, Options{}).Get(t.Context(), testID)
	if e := asError(t, err); e.Kind != KindUnavailable || e.Status != http.StatusTemporaryRedirect || e.Media != testID {
		t.Errorf("got %v", e)
	}
}

func TestMessagesThatRepeatSecretsLoseThem(t *testing.T) {
	body, _ := json.Marshal(map[string]string{
		"code":    "bad " + testKeys.ClientID,
		"message": "no " + testKeys.ClientSecret + " at https://s3/x?X-Amz-Signature=" + signature,
	})
	_, err := newTestClient(t, serve(t, answer(400, string(body))), Options{}).Get(t.Context(), testID)
	want := "get media " + string(testID) + ": platform answered 400 bad [redacted]: no [redacted] at https://s3/x?[redacted]"
	if e := asError(t, err); e.Error() != want {
		t.Errorf("got  %v\nwant %s", e, want)
	}
}

func TestCausesLoseTheirURL(t *testing.T) {
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Get", URL: "https://s3/x?y=" + signature, Err: io.ErrUnexpectedEOF}
	})
	_, err := newTestClient(t, "https://platform.test", Options{Transport: transport}).Get(t.Context(), testID)
	if e := asError(t, err); !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(e.Error(), "s3") {
		t.Errorf("got %v", e)
	}
}

func TestACallEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, "https://platform.test", Options{Transport: roundTripper(hang), Timeout: 7 * time.Second})
		begun := time.Now()
		_, err := c.Create(t.Context(), NewMedia{})
		e := asError(t, err)
		if e.Kind != KindUnavailable || !e.MaybeDone || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, MaybeDone %t", e, e.MaybeDone)
		}
		if took := time.Since(begun); took != 7*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestTheCallersContextIsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, "https://platform.test", Options{Transport: roundTripper(hang)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, testID)
		if e := asError(t, err); e.Kind != KindUnavailable || e.MaybeDone || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", e)
		}
	})
}

// A kept connection dies while its second call is on the way. net/http would make that call again by itself, and the
// platform would count both.
func TestACallOnAConnectionThatDiesIsMadeOnce(t *testing.T) {
	t.Parallel()
	for op, call := range map[Op]func(*Client) error{
		OpGet:  func(c *Client) error { _, err := c.Get(t.Context(), testID); return err },
		OpList: func(c *Client) error { _, err := c.List(t.Context(), ListOptions{}); return err },
	} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			c := newTestClient(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 2 {
					cut(w, r)
				}
				if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
					t.Errorf("a body was announced: %d %v", r.ContentLength, r.TransferEncoding)
				}
				answer(200, `{"mid":"`+string(testID)+`","status":"UPLOADED","data":[]}`)(w, r)
			}), Options{})
			if err := call(c); err != nil {
				t.Fatal(err)
			}
			if e := asError(t, call(c)); e.Kind != KindUnavailable {
				t.Errorf("%v", e)
			}
			if n := calls.Load(); n != 2 {
				t.Errorf("%d calls were made, want 2", n)
			}
		})
	}
}
