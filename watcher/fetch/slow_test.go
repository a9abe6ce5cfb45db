package fetch

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes of this process, so that all their time is a bubble's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs a test with a server that is reached by pipes only. All settings are the defaults.
func inBubble(t *testing.T, h http.HandlerFunc, test func(t *testing.T, f *Fetcher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := pipes{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
		s := httptest.NewUnstartedServer(h)
		s.Listener.Close()
		s.Listener = p
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		f := newFetcher(t, Options{Hosts: []string{"example.com"}, Roots: roots(s)})
		f.transport.DialContext = p.dial
		test(t, f)
	})
}

// took fails the test unless it is so long since a time.
func took(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if d := time.Since(since); d < want || d > want+time.Second {
		t.Errorf("it took %v, want %v", d, want)
	}
}

func TestAServerThatDoesNotAnswerIsLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(t *testing.T, f *Fetcher) {
		began := time.Now()
		_, err := f.Open(t.Context(), "https://example.com/?s="+secret)
		wantError(t, "no answer", err, MayPass, "awaiting response headers")
		took(t, began, defaultStall)
	})
}

// Each byte or hint that comes before the answer is no reason to wait longer for it.
func TestHeadersThatDripAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]struct{ first, then string }{
		"bytes": {"HTTP/1.1 200 OK\r\nX: ", "x"},
		"hints": {"", "HTTP/1.1 103 Early Hints\r\n\r\n"},
	} {
		var ended chan struct{} // of the bubble
		h := func(w http.ResponseWriter, _ *http.Request) {
			defer func() { ended <- struct{}{} }()
			conn, _, _ := http.NewResponseController(w).Hijack()
			defer conn.Close()
			for _, err := io.WriteString(conn, text.first); err == nil; _, err = io.WriteString(conn, text.then) {
				time.Sleep(time.Second) // of the bubble
			}
		}
		inBubble(t, h, func(t *testing.T, f *Fetcher) {
			ended = make(chan struct{}, 1)
			began := time.Now()
			_, err := f.Open(t.Context(), "https://example.com/")
			wantError(t, name, err, MayPass, "")
			if d := time.Since(began); d > defaultStall+6*time.Second { // TLS gives its goodbye 5s, if nobody listens
				t.Errorf("%s: it took %v", name, d)
			}
			<-ended
		})
	}
}

// drip is a handler that sends n bytes every so often, times times, then nothing more.
func drip(n int, every time.Duration, times int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for range times {
			if _, err := w.Write(make([]byte, n)); err != nil {
				return
			}
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(every):
			case <-r.Context().Done():
				return
			}
		}
		if r.URL.Query().Has("ends") {
			return
		}
		<-r.Context().Done()
	}
}

func TestABodyThatStopsIsLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, drip(1<<20, time.Second, 3), func(t *testing.T, f *Fetcher) {
		b, err := f.Open(t.Context(), "https://example.com/")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		began := time.Now()
		n, err := io.Copy(io.Discard, b)
		wantError(t, "stall", err, MayPass, "no byte came for 30s")
		took(t, began, 2*time.Second+defaultStall)
		if n != 3<<20 {
			t.Errorf("got %d bytes", n)
		}
	})
}

func TestABodyThatDripsIsLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, drip(1, 10*time.Second, 1<<30), func(t *testing.T, f *Fetcher) {
		b, err := f.Open(t.Context(), "https://example.com/")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		began := time.Now()
		_, err = io.Copy(io.Discard, b)
		wantError(t, "drip", err, MayPass, "only 4 B came in 30s")
		took(t, began, defaultStall)
	})
}

func TestASlowButSteadyBodyIsWaitedFor(t *testing.T) {
	t.Parallel()
	inBubble(t, drip(20*minRate, 20*time.Second, 100), func(t *testing.T, f *Fetcher) { // half an hour
		b, err := f.Open(t.Context(), "https://example.com/?ends")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if n, err := io.Copy(io.Discard, b); err != nil || n != 100*20*minRate {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// What is done with the bytes takes its time, when a disk is full or a broker away. That is not the server's fault.
func TestTheTimeInWhichNobodyReadsDoesNotCount(t *testing.T) {
	t.Parallel()
	inBubble(t, drip(1000, 0, 50), func(t *testing.T, f *Fetcher) {
		b, err := f.Open(t.Context(), "https://example.com/?ends")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		got := 0
		for err == nil {
			time.Sleep(time.Hour) // of the bubble
			var n int
			n, err = b.Read(make([]byte, 1000))
			got += n
		}
		if err != io.EOF || got != 50_000 {
			t.Errorf("%d bytes, %v", got, err)
		}
	})
}

func TestPace(t *testing.T) {
	t.Parallel()
	type step struct {
		bytes  int
		waited time.Duration
	}
	for _, tt := range []struct {
		steps []step
		slow  int // step that is too slow, from 1; 0: none
	}{
		{[]step{{1, 29 * time.Second}, {10 * minRate, 0}, {21 * minRate, time.Second}}, 0},
		{[]step{{1, 29 * time.Second}, {10 * minRate, time.Second}}, 2},
		{[]step{{31 * minRate, 31 * time.Second}, {0, 29 * time.Second}, {0, time.Second}}, 3},
		{[]step{{1 << 40, 30 * time.Second}, {1, 30 * time.Second}}, 2}, // what was fast once may not rest on it
		{[]step{{30 * minRate, 30 * time.Second}, {30 * minRate, 30 * time.Second}}, 0},
		{[]step{{30*minRate - 1, 30 * time.Second}}, 1},
	} {
		p := pace{window: defaultStall}
		for i, s := range tt.steps {
			if err := p.add(s.bytes, s.waited); (err != nil) != (i+1 == tt.slow) {
				t.Errorf("%v: step %d: %v", tt.steps, i+1, err)
			}
		}
	}
}
