package authenta

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/authenta/authenta-ingest/authenta/retryafter"
)

func FuzzMedia(f *testing.F) {
	f.Fuzz(func(t *testing.T, body string) {
		if m, err := decodeMedia([]byte(body), "", received); err == nil {
			wantSound(t, m)
		}
		m, err := decodeMedia([]byte(body), testID, received)
		if err != nil {
			return
		}
		if wantSound(t, m); m.ID != testID {
			t.Errorf("%q was taken for %q", m.ID, testID)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Fuzz(func(t *testing.T, body string) {
		p, err := decodePage([]byte(body), received)
		if err != nil {
			return
		}
		if min(p.Limit, p.Offset, p.Total) < 0 || len(p.Media) > maxRecords {
			t.Errorf("%d, %d, %d, %d records", p.Limit, p.Offset, p.Total, len(p.Media))
		}
		for _, m := range p.Media {
			if wantSound(t, m); m.UploadURL != scalar(m.UploadURL).webURL() {
				t.Errorf("an upload URL of %d bytes", len(m.UploadURL))
			}
		}
	})
}

// wantSound checks that a record can be kept, counted with and printed.
func wantSound(t *testing.T, m Media) {
	t.Helper()
	if _, err := ParseMediaID(string(m.ID)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{m.Name, m.Type, string(m.Status), string(m.Model)} {
		if len(text) > 3*maxText || strings.ContainsFunc(text, notPrintable) {
			t.Errorf("%q is no fit text", text)
		}
	}
	urls, shares := []PresignedURL{m.ResultURL, m.HeatmapURL, m.SourceURL}, []*float64{m.Confidence}
	for _, p := range m.Participants {
		urls, shares = append(urls, p.Heatmap), append(shares, p.Confidence)
		if p.ID < 0 {
			t.Errorf("participant %d", p.ID)
		}
	}
	for _, u := range urls {
		if len(u) > maxURL || u != "" && !strings.HasPrefix(strings.ToLower(string(u)), "http") {
			t.Errorf("%q is no URL to follow", string(u))
		}
	}
	for _, c := range shares {
		if c != nil && !(*c >= 0 && *c <= 1) {
			t.Errorf("a confidence of %v", *c)
		}
	}
	if m.Size < 0 || m.Faces != nil && *m.Faces < 0 || m.Deepfakes != nil && *m.Deepfakes < 0 || len(m.Participants) > MaxParticipants {
		t.Errorf("impossible counts: %+v", m)
	}
	if m.UploadExpires.Sub(received) > maxURLLife {
		t.Errorf("an upload URL that is good until %v", m.UploadExpires)
	}
	if _, err := json.Marshal(m); err != nil {
		t.Error(err)
	}
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }

// FuzzAPIError gives an error answer to a call whose keys the answer may well repeat.
func FuzzAPIError(f *testing.F) {
	f.Fuzz(func(t *testing.T, status int, body, retryAfter string) {
		if status < 200 || status > 999 || status/100 == 2 {
			t.Skip("no error")
		}
		answer := roundTripper(func(*http.Request) (*http.Response, error) {
			h := http.Header{"Retry-After": {retryAfter}}
			return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		c := newTestClient(t, "https://platform.test", Options{Transport: answer})
		_, err := c.Create(t.Context(), NewMedia{})
		e, ok := err.(*Error)
		if !ok || e.Kind < KindQuota || e.Kind > KindUnavailable || e.Status != status {
			t.Fatalf("%#v", err)
		}
		wantHarmless(t, e)
		for _, key := range testKeys.keys() {
			if key != "" && strings.Contains(e.Error(), key) {
				t.Errorf("the error tells %q: %v", key, e)
			}
		}
		if definite := e.Kind != KindUnavailable; e.MaybeDone == definite {
			t.Errorf("%v, MaybeDone %t", e.Kind, e.MaybeDone)
		}
		if e.RetryAfter < 0 || e.RetryAfter > retryafter.Most {
			t.Errorf("asked to wait %v", e.RetryAfter)
		}
	})
}

func FuzzStorageError(f *testing.F) {
	f.Fuzz(func(t *testing.T, status int, body string) {
		e := storageError(status, []byte(body))
		e.Op = OpUpload
		wantHarmless(t, e)
		switch e.Kind {
		case KindURLExpired, KindThrottled, KindStorageRefused:
			if e.MaybeDone || e.Code == "" {
				t.Errorf("storage's own answer leaves doubt: %+v", e)
			}
		case KindUnavailable:
			if e.MaybeDone != (e.Code == "") {
				t.Errorf("in doubt although storage has answered, or the other way round: %+v", e)
			}
		default:
			t.Errorf("storage does not say %v", e.Kind)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Fuzz(func(t *testing.T, value, date string) {
		d := retryafter.Of(http.Header{"Retry-After": {value}, "Date": {date}})
		if d < 0 || d > retryafter.Most {
			t.Errorf("%v", d)
		}
	})
}

func FuzzPresignedURL(f *testing.F) {
	c, err := New(Options{BaseURL: "http://127.0.0.1", Credentials: func() (Credentials, error) { return testKeys, nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head, tail string) {
		const secret = "s3cr3t-of-the-URL"
		if strings.ContainsAny(head, "?#") {
			t.Skip("the secret would be somewhere else")
		}
		p := PresignedURL(head + "?X-Amz-Signature=" + secret + tail)
		if strings.Contains(p.String(), secret) || strings.Contains(p.GoString(), secret) || strings.Contains(p.LogValue().String(), secret) {
			t.Errorf("%s tells the secret", p)
		}
		if came := time.Now(); !p.expires(came).IsZero() && p.expires(came).Before(came) {
			t.Error("it is dead when it comes")
		}
		if err := c.checkUploadURL(t.Context(), p); err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
			return
		}
		if u, err := url.Parse(string(p)); err != nil || u.Host == "" || u.User != nil || len(p) > maxURL {
			t.Errorf("%q was let through", string(p))
		}
		if scalar(p).webURL() != p {
			t.Errorf("%q is good for uploads only", string(p))
		}
	})
}

func FuzzScalar(f *testing.F) {
	f.Fuzz(func(t *testing.T, data string) {
		var s scalar
		if err := json.Unmarshal([]byte(data), &s); err != nil {
			if json.Valid([]byte(data)) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if n := s.count(); n != nil && (*n < 0 || *n > 1<<53) {
			t.Errorf("count %d", *n)
		}
		if x := s.share(); x != nil && !(*x >= 0 && *x <= 1) {
			t.Errorf("share %v", *x)
		}
		if _, err := json.Marshal([]any{s.float(), s.bool(), s.time()}); err != nil {
			t.Error(err)
		}
		if text := s.text(); strings.ContainsFunc(text, notPrintable) {
			t.Errorf("text %q", text)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		const key = "the-client-secret"
		got := clean(text, key)
		if strings.Contains(got, key) || strings.ContainsFunc(got, notPrintable) || !utf8.ValidString(got) || len([]rune(got)) > maxMessage+1 {
			t.Errorf("%q", got)
		}
		if i := strings.Index(got, "X-Amz-Signature="); i >= 0 && !strings.HasPrefix(got[i+len("X-Amz-Signature="):], "…") && len(got) > i+len("X-Amz-Signature=") {
			if next := got[i+len("X-Amz-Signature=")]; !strings.ContainsRune(" \"'<>", rune(next)) {
				t.Errorf("a signature is left in %q", got)
			}
		}
	})
}
