package authenta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const uploadSize = 8 << 20 // more than socket buffers hold

// uploadTo returns an upload of size bytes to base.
func uploadTo(base string, size int64) Upload {
	return Upload{ID: testID, URL: PresignedURL(base + "/bucket/key?X-Amz-Signature=" + signature), ContentType: "video/mp4", Size: size}
}

func TestStorageGetsTheFileAndNothingElse(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			var got *http.Request
			var body []byte
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
			}))
			transport := NewTransport()
			if proto == "HTTP/2.0" {
				s.EnableHTTP2 = true
				s.StartTLS()
				transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
			} else {
				s.Start()
			}
			defer s.Close()
			defer transport.CloseIdleConnections()
			f := sparseFile(t, 0)
			f.Write(content) // leaves the offset at the end
			c := newTestClient(t, s.URL, Options{Transport: transport, UserAgent: "test/1"})
			if err := c.Upload(t.Context(), uploadTo(s.URL, int64(len(content))), f); err != nil {
				t.Fatal(err)
			}
			if got.Proto != proto || got.Method != http.MethodPut || got.TransferEncoding != nil || !bytes.Equal(body, content) {
				t.Errorf("got %s %s, %v, %d bytes", got.Proto, got.Method, got.TransferEncoding, len(body))
			}
			if got.ContentLength != int64(len(content)) || got.Header.Get("Content-Type") != "video/mp4" {
				t.Errorf("length %d, headers %v", got.ContentLength, got.Header)
			}
			if proto == "HTTP/1.1" && got.Header.Get("Expect") != "100-continue" { // Go's HTTP/2 server hides it
				t.Errorf("headers %v", got.Header)
			}
			for _, name := range []string{"Authorization", "X-Client-Id", "X-Client-Secret", "Accept"} {
				if got.Header.Get(name) != "" {
					t.Errorf("storage got %s", name)
				}
			}
			if _, err := f.Stat(); err != nil {
				t.Errorf("the caller's file was closed: %v", err)
			}
		})
	}
}

func TestUploadMaybeDoneOnceAllBytesHaveLeft(t *testing.T) {
	refuseAtOnce := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`)
	}
	for name, tt := range map[string]struct {
		h         http.HandlerFunc
		kind      Kind
		maybeDone bool
	}{
		"cut before the file":    {cut, KindUnavailable, false},
		"cut in the middle":      {cutAfter(1 << 20), KindUnavailable, false},
		"cut after the file":     {cutAfter(uploadSize), KindUnavailable, true},
		"gateway after the file": {answer(502, "<html>"), KindUnavailable, true},
		"storage after the file": {answer(500, "<Error><Code>InternalError</Code></Error>"), KindUnavailable, false},
		"storage is busy":        {answer(503, "<Error><Code>SlowDown</Code></Error>"), KindThrottled, false},
		"refused after the file": {answer(400, "<Error><Code>IncompleteBody</Code></Error>"), KindUnavailable, false},
		"redirect":               {answer(307, ""), KindUnavailable, true},
		"expired":                {refuseAtOnce, KindURLExpired, false},
		"success too early":      {func(http.ResponseWriter, *http.Request) {}, KindUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, tt.h)
			err := newTestClient(t, base, Options{}).Upload(t.Context(), uploadTo(base, uploadSize), sparseFile(t, uploadSize))
			e := asError(t, err)
			if e.Kind != tt.kind || e.MaybeDone != tt.maybeDone || e.Op != OpUpload || e.Media != testID {
				t.Errorf("got %v, MaybeDone %t: %v", e.Kind, e.MaybeDone, e)
			}
		})
	}
}

// cutAfter takes n bytes of the request and ends the connection without an answer.
func cutAfter(n int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, n)
		cut(w, r)
	}
}

func TestAnUploadThatNeverLeftIsNotMaybeDone(t *testing.T) {
	base := refusedURL()
	err := newTestClient(t, base, Options{}).Upload(t.Context(), uploadTo(base, 1), sparseFile(t, 1))
	if e := asError(t, err); e.Kind != KindUnavailable || e.MaybeDone || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, MaybeDone %t", e, e.MaybeDone)
	}
}

func TestAnEarlyRejectionIsNotLost(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>`)
	})
	c, f := newTestClient(t, base, Options{}), sparseFile(t, uploadSize)
	for range 50 {
		e := asError(t, c.Upload(t.Context(), uploadTo(base, uploadSize), f))
		if e.Kind != KindStorageRefused || e.Code != "SignatureDoesNotMatch" || offset(f) != 0 {
			t.Fatalf("got %v after %d bytes: %v", e.Kind, offset(f), e)
		}
	}
}

func TestAFileOfAnotherSizeIsNotSent(t *testing.T) {
	base := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
	c := newTestClient(t, base, Options{})
	for size, want := range map[int64]Kind{99: KindFileChanged, 101: KindFileChanged, 0: KindRejected, -1: KindRejected} {
		e := asError(t, c.Upload(t.Context(), uploadTo(base, size), sparseFile(t, 100)))
		if e.Kind != want || e.MaybeDone {
			t.Errorf("%d: got %v: %v", size, e.Kind, e)
		}
	}
	e := asError(t, c.Upload(t.Context(), Upload{URL: "file:///etc/passwd", Size: 100}, sparseFile(t, 100)))
	if e.Kind != KindURLExpired {
		t.Errorf("got %v", e)
	}
}

func TestAFileThatChangesWhileItIsSentIsNoticed(t *testing.T) {
	const size = 64 << 20
	for name, tt := range map[string]struct {
		newSize   int64
		maybeDone bool // storage got as much as was declared
	}{
		"shrinks": {size / 2, false},
		"grows":   {size + 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			f, over := sparseFile(t, size), make(chan struct{})
			base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				io.CopyN(io.Discard, r.Body, 1<<20)
				f.Truncate(tt.newSize)
				io.Copy(io.Discard, r.Body)
				<-over // no answer
			})
			e := asError(t, newTestClient(t, base, Options{}).Upload(t.Context(), uploadTo(base, size), f))
			close(over)
			if e.Kind != KindFileChanged || e.MaybeDone != tt.maybeDone {
				t.Errorf("got %v, MaybeDone %t: %v", e.Kind, e.MaybeDone, e)
			}
		})
	}
}

func TestAnUploadThatStallsIsBrokenOff(t *testing.T) {
	over := make(chan struct{})
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 1))
		<-over
	})
	c := newTestClient(t, base, Options{Stall: 200 * time.Millisecond})
	const size = 256 << 20
	e := asError(t, c.Upload(t.Context(), uploadTo(base, size), sparseFile(t, size)))
	close(over)
	if e.Kind != KindUnavailable || e.MaybeDone || !strings.Contains(e.Error(), "no byte moved for 200ms") {
		t.Errorf("got %v, MaybeDone %t: %v", e.Kind, e.MaybeDone, e)
	}
}

func TestUploadTimeoutsAreExact(t *testing.T) {
	for name, tt := range map[string]struct {
		transport roundTripper
		after     time.Duration
		maybeDone bool
	}{
		"nothing moves":  {hang, 30 * time.Second, false},
		"nobody answers": {hangAfterReading, 60 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestClient(t, "https://platform.test", Options{Transport: tt.transport})
				begun := time.Now()
				e := asError(t, c.Upload(t.Context(), uploadTo("https://s3.test", 100), sparseFile(t, 100)))
				if e.Kind != KindUnavailable || e.MaybeDone != tt.maybeDone {
					t.Errorf("got %v, MaybeDone %t: %v", e.Kind, e.MaybeDone, e)
				}
				if took := time.Since(begun); took < tt.after || took > tt.after*11/10 {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestSlowProgressIsProgress(t *testing.T) {
	begun := time.Now()
	p := progress{stall: 30 * time.Second, answer: 60 * time.Second, size: 10, moved: begun}
	for _, step := range []struct {
		at    int64
		after time.Duration
		late  bool
	}{
		{0, 29 * time.Second, false},
		{1, 29 * time.Second, false},
		{1, 58 * time.Second, false},
		{2, 59 * time.Second, false},
		{2, 89 * time.Second, true},
		{10, 90 * time.Second, false},
		{10, 149 * time.Second, false},
		{10, 150 * time.Second, true},
	} {
		if err := p.observe(step.at, begun.Add(step.after)); (err != nil) != step.late {
			t.Errorf("%d bytes after %v: %v", step.at, step.after, err)
		}
	}
}

func TestTheCallersContextEndsAnUpload(t *testing.T) {
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	over := make(chan struct{})
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1<<20)
		cancel(why)
		<-over
	})
	const size = 256 << 20
	f := sparseFile(t, size)
	err := newTestClient(t, base, Options{}).Upload(ctx, uploadTo(base, size), f)
	close(over)
	if e := asError(t, err); e.Kind != KindUnavailable || e.MaybeDone || !errors.Is(err, why) {
		t.Errorf("got %v, MaybeDone %t: %v", e.Kind, e.MaybeDone, e)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil || offset(f) != 0 {
		t.Errorf("the file is still in use: at %d, %v", offset(f), err)
	}
}

func TestTheBodyIsOneThatSendfileTakes(t *testing.T) {
	_, ok := newBody(os.Stdin).forRequest().(syscall.Conn)
	if want := runtime.GOOS == "linux"; ok != want {
		t.Errorf("got %t, want %t", ok, want)
	}
}

func TestMemoryIsFlatWhateverTheFilesSize(t *testing.T) {
	const size = 256 << 20
	base := serve(t, answer(http.StatusOK, ""))
	c, f := newTestClient(t, base, Options{}), sparseFile(t, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := c.Upload(t.Context(), uploadTo(base, size), f); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
}

func BenchmarkUpload20MB(b *testing.B) {
	const size = 20 << 20
	s := httptest.NewServer(answer(http.StatusOK, ""))
	defer s.Close()
	transport := NewTransport()
	defer transport.CloseIdleConnections()
	c, err := New(Options{BaseURL: s.URL, Transport: transport, Credentials: func() (Credentials, error) { return testKeys, nil }})
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(b.TempDir() + "/clip.mp4")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	f.Truncate(size)
	b.SetBytes(size)
	for b.Loop() {
		if err := c.Upload(b.Context(), uploadTo(s.URL, size), f); err != nil {
			b.Fatal(err)
		}
	}
}
