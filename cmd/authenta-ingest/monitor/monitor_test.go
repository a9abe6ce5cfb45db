package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// serving is a monitor that serves on an address of its own, until the test is over.
func serving(t *testing.T, o Options) (m *Monitor, url string) {
	t.Helper()
	o.Log = quiet
	m = New(o)
	t.Cleanup(m.Close)
	address, err := m.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return m, "http://" + address
}

// get asks for a page as one who does not stay connected.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return r.StatusCode, string(all)
}

func TestALoopThatNoLongerTurnsMakesTheProcessUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Log: quiet})
		defer m.Close()
		one, other := m.Pulse("one"), m.Pulse("other")
		healthy := func(want bool, when string) {
			t.Helper()
			if h := m.Health(); h.Healthy != want || len(h.Checks) != 2 {
				t.Errorf("%s: %+v", when, h)
			}
		}
		time.Sleep(time.Hour)
		healthy(true, "before they begin: NATS may be waited for")
		one()
		other()
		time.Sleep(3 * time.Minute)
		healthy(true, "just within the time")
		one()
		time.Sleep(time.Second)
		healthy(false, "one of them stands still")
		if c := m.Health().Checks; !c[0].OK || c[1].OK || !strings.Contains(c[1].Message, "not turned for 3m1s") {
			t.Errorf("%+v", c)
		}
		other()
		healthy(true, "it turns again")
		time.Sleep(time.Hour)
		healthy(false, "both stand still")
		m.Stopping()
		healthy(true, "loops end when the process does")
	})
}

func TestReadyIsWhatWorksWithAllThatIsVital(t *testing.T) {
	t.Parallel()
	m, url := serving(t, Options{})
	ready := func(want bool, says string) {
		t.Helper()
		code, body := get(t, url+ReadyPath)
		var r Readiness
		if err := json.Unmarshal([]byte(body), &r); err != nil || r.Ready != want || want != (code == http.StatusOK) || !strings.Contains(body, says) {
			t.Errorf("%d %s: want ready: %v, and %q: %v", code, body, want, says, err)
		}
	}
	ready(false, "starting: it has just begun")
	m.Starting("connecting to NATS")
	ready(false, "starting: connecting to NATS")
	checks := []Check{{Name: "broker", OK: true, Vital: true}, {Name: "uploads", Message: "paused"}}
	m.Working(Probes{
		Checks: func(context.Context) []Check { return checks },
		Status: func(context.Context) (any, error) { return map[string]int{"queued": 7}, nil },
	})
	ready(true, `{"name":"uploads","ok":false,"message":"paused"}`)
	if code, body := get(t, url+StatusPath); code != http.StatusOK || body != "{\"queued\":7}\n" {
		t.Errorf("%d %s", code, body)
	}
	checks = []Check{{Name: "broker", Message: "away", Vital: true}}
	ready(false, `{"name":"broker","ok":false,"message":"away"}`)
	checks = nil
	ready(true, "daemon")
	m.Stopping()
	m.Working(Probes{}) // a signal has come while it was starting
	ready(false, "stopping: ")
	if code, body := get(t, url+StatusPath); code != http.StatusOK { // what it still has in hand
		t.Errorf("%d %s", code, body)
	}
}

func TestAStatusThatCannotBeHadIsSaidSo(t *testing.T) {
	t.Parallel()
	m, url := serving(t, Options{})
	wants := func(says string) {
		t.Helper()
		code, body := get(t, url+StatusPath)
		var p problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || code != http.StatusServiceUnavailable || !strings.Contains(p.Error, says) {
			t.Errorf("%d %s: want %q: %v", code, body, says, err)
		}
	}
	wants("the daemon is starting (it has just begun)")
	m.Working(Probes{Status: func(context.Context) (any, error) { return nil, errors.New("no NATS") }})
	wants("the status could not be had: no NATS")

	early, earlyURL := serving(t, Options{})
	early.Stopping()
	url = earlyURL
	wants("the daemon is stopping")
}

func TestQuestionsThatTakeLongAreAnsweredInTimeAndDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Patience: 5 * time.Second, Log: quiet})
		defer m.Close()
		var asked atomic.Int32
		free := make(chan struct{})
		hang := func() { asked.Add(1); <-free } // whatever its context says
		m.Working(Probes{
			Checks: func(context.Context) []Check { hang(); return nil },
			Status: func(context.Context) (any, error) { hang(); return nil, nil },
		})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				began := time.Now()
				if r := m.Readiness(t.Context()); r.Ready || !strings.Contains(r.Checks[0].Message, "no answer within 5s") {
					t.Errorf("%+v", r)
				}
				if _, err := m.status(t.Context()); err == nil || time.Since(began) != 10*time.Second {
					t.Errorf("%v after %s", err, time.Since(began))
				}
			})
		}
		all.Wait()
		if asked.Load() != 2 {
			t.Errorf("the daemon was asked %d times, want once for each", asked.Load())
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.status(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever is gone is answered %v", err)
		}
		close(free)
	})
}

func TestAClientThatSaysNothingIsCutOff(t *testing.T) {
	t.Parallel()
	_, url := serving(t, Options{})
	for _, said := range []string{"", "GET /healthz HTTP/1.1\r\nHost: local"} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			c := dial(t, url)
			if _, err := io.WriteString(c, said); err != nil {
				t.Fatal(err)
			}
			awaitEOF(t, c, 4*headerTime)
		})
	}
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// awaitEOF reads until the other side has closed the connection.
func awaitEOF(t *testing.T, c net.Conn, limit time.Duration) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	if e, timeout := errors.AsType[net.Error](err); timeout && e.Timeout() {
		t.Errorf("still connected after %s", limit)
	}
}

func TestThereIsABoundToConnections(t *testing.T) {
	t.Parallel()
	_, url := serving(t, Options{})
	var open []net.Conn
	for range maxOpen {
		open = append(open, dial(t, url))
	}
	awaitEOF(t, dial(t, url), headerTime/2) // before the others' time is over
	for _, c := range open {
		c.Close()
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(time.Minute); ; {
		if r, err := client.Get(url + HealthPath); err == nil {
			r.Body.Close()
			return
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestPagesAreReadOnly(t *testing.T) {
	t.Parallel()
	_, url := serving(t, Options{Metrics: http.NotFoundHandler()})
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{HealthPath, ReadyPath, StatusPath, MetricsPath, "/"} {
		r, err := client.Post(url+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, r.StatusCode)
		}
	}
	if code, body := get(t, url); code != http.StatusOK || !strings.Contains(body, ReadyPath) {
		t.Errorf("who looks around finds %d %s", code, body)
	}
	if code, _ := get(t, url+"/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("profiles are where nobody has asked for them: %d", code)
	}
}

func TestProfilesAreServedWhereTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	m := New(Options{Log: quiet})
	defer m.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := m.ServeProfiles(address); err == nil {
		t.Error("it listens where somebody else does")
	}
	l.Close()
	if err := m.ServeProfiles(address); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, "http://"+address+"/debug/pprof/goroutine?debug=1"); code != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("%d %s", code, body)
	}
}

func TestALocalNameIsOneThatOnlyThisMachineHas(t *testing.T) {
	for host, want := range map[string]string{
		"localhost": "localhost", "LOCALHOST:80": "localhost", "[::1]:80": "::1", "[::1]": "::1", "::1": "::1", "127.0.0.1:": "127.0.0.1",
		"a.example:80": "a.example", "": "",
	} {
		if got := hostname(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

// What a client that speaks for the health command is told is what is served.
func TestAClientIsToldWhatIsServed(t *testing.T) {
	t.Parallel()
	m, url := serving(t, Options{Stale: time.Nanosecond})
	m.Pulse("loop")()
	c := Client{Address: strings.TrimPrefix(url, "http://")}
	for end := time.Now().Add(time.Minute); m.Health().Healthy && time.Now().Before(end); { // until the clock has moved
	}
	h, err := c.Health(t.Context())
	if err != nil || h.Healthy || len(h.Checks) != 1 || h.Checks[0].OK {
		t.Errorf("%+v, %v", h, err)
	}
	m.Working(Probes{Checks: func(context.Context) []Check { return []Check{{Name: "polls", Message: "paused"}} }})
	r, err := c.Readiness(t.Context())
	want := []Check{{Name: "daemon", OK: true}, {Name: "polls", Message: "paused"}}
	if err != nil || !r.Ready || !slices.Equal(r.Checks, want) {
		t.Errorf("%+v, %v", r, err)
	}
}

// What names files is for those on this machine, and for those who may read all verdicts anyway.
func TestOtherMachinesAreToldTheStatusOnlyForTheToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		token, shown string
		want         int
	}{
		{"", "", http.StatusForbidden}, {"", "Bearer ", http.StatusForbidden},
		{"secret", "", http.StatusForbidden}, {"secret", "Bearer other", http.StatusForbidden}, {"secret", "Bearer secret", http.StatusOK},
	} {
		m := New(Options{Token: c.token, Log: quiet})
		t.Cleanup(m.Close)
		address, err := m.Serve("0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		m.Working(Probes{
			Checks: func(context.Context) []Check { return nil },
			Status: func(context.Context) (any, error) { return "clip.mp4", nil },
		})
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]int{StatusPath: c.want, HealthPath: http.StatusOK, ReadyPath: http.StatusOK} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.shown != "" {
				req.Header.Set("Authorization", c.shown)
			}
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != want || want == http.StatusForbidden && strings.Contains(string(body), "clip.mp4") {
				t.Errorf("token %q, shown %q: %s answers %d %s (%v), want %d", c.token, c.shown, path, resp.StatusCode, body, err, want)
			}
		}
	}
}
