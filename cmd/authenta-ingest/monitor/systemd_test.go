package monitor

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A manager is what systemd is to a process: a socket that takes messages.
type manager struct {
	t    *testing.T
	conn *net.UnixConn

	mu    sync.Mutex
	lines []string
}

// newManager makes a socket, and has the process told of it.
func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &manager{t: t, conn: conn}
}

// read takes messages until the test is over.
func (s *manager) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, strings.Split(string(buf[:n]), "\n")...)
		s.mu.Unlock()
	}
}

// count is how many lines were told so far that begin so.
func (s *manager) count(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.lines), func(l string) bool { return !strings.HasPrefix(l, prefix) }))
}

func (s *manager) await(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain: %s: %q", what, s.lines)
		}
	}
}

// A logged is a log that a test reads.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text)
}

func TestALoopThatNoLongerTurnsStopsTheWatchdog(t *testing.T) {
	s := newManager(t)
	go s.read()
	const every = 20 * time.Millisecond
	t.Setenv("WATCHDOG_USEC", "40000")
	var log logged
	m := New(Options{Stale: 10 * every, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer m.Close()
	address, err := m.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	turn := m.Pulse("loop")
	m.Notify(time.Second)
	healthz := func(want int) {
		t.Helper()
		if code, body := get(t, "http://"+address+HealthPath); code != want {
			t.Errorf("%d %s, want %d", code, body, want)
		}
	}
	s.await("it goes on while the loop turns", func() bool { turn(); return s.count("WATCHDOG=1") >= 25 })
	healthz(http.StatusOK)
	s.await("it is noticed that the loop stands still", func() bool { return log.has("it will start it anew") && log.has("loop: this loop has not turned") })
	was := s.count("WATCHDOG=1")
	<-time.After(10 * every)
	if n := s.count("WATCHDOG=1") - was; n > 1 { // one may have been on its way
		t.Errorf("systemd was told %d times that a process is alive that is not", n)
	}
	healthz(http.StatusServiceUnavailable)
	s.await("it goes on when the loop turns again", func() bool { turn(); return s.count("WATCHDOG=1") > was+3 })
	healthz(http.StatusOK)
}

func TestSystemdIsToldWhatItNeedsToKnow(t *testing.T) {
	s := newManager(t)
	go s.read()
	m := New(Options{Log: quiet})
	m.Starting("looking around")
	m.Notify(time.Second)
	s.await("it starts", func() bool { return s.count("STATUS=starting: looking around") == 1 })
	s.await("and takes its time", func() bool { return s.count("EXTEND_TIMEOUT_USEC=30000000") == 1 })
	var mu sync.Mutex
	checks := []Check{{Name: "broker", Message: "away\nand gone", Vital: true}}
	m.Working(Probes{Checks: func(context.Context) []Check {
		mu.Lock()
		defer mu.Unlock()
		return checks
	}})
	s.await("what it waits for", func() bool { return s.count("STATUS=not ready: broker: away and gone") == 1 })
	if s.count("READY=1") != 0 {
		t.Errorf("it is said to be ready, and is not: %q", s.lines)
	}
	mu.Lock()
	checks = []Check{{Name: "uploads", Message: "paused"}}
	mu.Unlock()
	s.await("it is ready", func() bool { return s.count("READY=1") == 1 })
	s.await("but does not do everything", func() bool { return s.count("STATUS=working, but uploads: paused") == 1 })
	before := s.count("EXTEND_TIMEOUT_USEC")
	m.Stopping()
	s.await("it stops", func() bool { return s.count("STOPPING=1") == 1 && s.count("STATUS=stopping") == 1 })
	s.await("and takes its time", func() bool { return s.count("EXTEND_TIMEOUT_USEC") == before+1 })
	m.Close()
	if s.count("READY=1") != 1 || s.count("STOPPING=1") != 1 {
		t.Errorf("%q", s.lines)
	}
}

func TestThatItStopsIsToldThoughItEndsAtOnce(t *testing.T) {
	s := newManager(t)
	go s.read()
	m := New(Options{Log: quiet})
	m.Notify(time.Second)
	m.Close()
	s.await("it stops", func() bool { return s.count("STOPPING=1") == 1 })
}

// A process does not hang because whoever has started it does.
func TestASystemdThatReadsNothingIsNotWaitedForLong(t *testing.T) {
	s := newManager(t)
	t.Setenv("WATCHDOG_USEC", "40") // soon more than a socket holds
	m := New(Options{Log: quiet})
	m.Notify(time.Second)
	full := func() bool {
		c, err := net.DialUnix("unixgram", nil, s.conn.LocalAddr().(*net.UnixAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err = c.Write([]byte("X=1"))
		return err != nil
	}
	s.await("the socket is full", full)
	closed := make(chan struct{})
	go func() {
		m.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Error("it hangs")
	}
}

func TestWithoutSystemdNothingIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "many")
	var log logged
	m := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	m.Notify(time.Second)
	m.Close()
	s := newManager(t)
	s.conn.Close() // whoever was to be told is gone
	n := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	n.Notify(time.Second)
	n.Close()
	if !log.has("WATCHDOG_USEC") || strings.Count(log.buf.String(), "systemd cannot be told") != 1 {
		t.Error(log.buf.String())
	}
}
