package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/cmd/authenta-ingest/monitor"
	"github.com/authenta/authenta-ingest/queue/control"
)

// serve lets the world's daemon be asked over HTTP, and returns where.
func (w *world) serve() string {
	address, _ := freePort(w.t)
	w.env["INGEST_HTTP"] = address
	return "http://" + address
}

// get asks for a page; 0: nobody answers.
func get(t *testing.T, url string) (code int, body []byte) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	if body, err = io.ReadAll(r.Body); err != nil {
		t.Error(err)
	}
	return r.StatusCode, body
}

// readyz asks whether a daemon is ready. Its checks are by their names.
func readyz(t *testing.T, url string) (code int, checks map[string]monitor.Check) {
	t.Helper()
	code, body := get(t, url+"/readyz")
	if code == 0 {
		return 0, nil
	}
	var r monitor.Readiness
	if err := json.Unmarshal(body, &r); err != nil || r.Ready != (code == http.StatusOK) {
		t.Fatalf("%d: %s: %v", code, body, err)
	}
	checks = map[string]monitor.Check{}
	for _, c := range r.Checks {
		checks[c.Name] = c
	}
	return code, checks
}

// awaitReady waits until a daemon is ready.
func awaitReady(t *testing.T, url string) {
	t.Helper()
	eventually(t, time.Minute, "it is ready", func() bool {
		code, _ := readyz(t, url)
		return code == http.StatusOK
	})
}

func TestADaemonIsReadyOnceItWorksAndNotWhileItStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	url := w.serve()
	w.listen()
	p := w.start(map[string]string{"INGEST_DRAIN": "10m"}, "run", w.inbox)
	awaitReady(t, url)
	if code, body := get(t, url+"/healthz"); code != http.StatusOK {
		t.Errorf("not healthy: %d %s", code, body)
	}
	if code, body := get(t, url+"/metrics"); code != http.StatusOK || !strings.Contains(string(body), "go_goroutines") ||
		!strings.Contains(string(body), "process_open_fds") {
		t.Errorf("no metrics: %d %s", code, body)
	}
	var shown, served control.Status
	code, body := get(t, url+"/api/status")
	if err := json.Unmarshal(body, &served); err != nil || code != http.StatusOK {
		t.Errorf("%d %s: %v", code, body, err)
	}
	if err := json.Unmarshal([]byte(w.command("status", "--json")), &shown); err != nil {
		t.Error(err)
	}
	if len(served.Workers) != 1 || !slices.EqualFunc(served.Workers, shown.Workers, func(a, b control.Member) bool { return a.ID == b.ID }) {
		t.Errorf("served %+v, shown %+v", served, shown)
	}

	w.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.Hang})
	w.write("a.jpg", picture(1))
	eventually(t, time.Minute, "an upload hangs", func() bool { return w.platform.Ledger().Creates == 1 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "it is not ready", func() bool {
		code, _ := readyz(t, url)
		return code == http.StatusServiceUnavailable
	})
	if _, checks := readyz(t, url); !strings.Contains(checks["daemon"].Message, "stopping") {
		t.Errorf("%+v", checks)
	}
	if code, body := get(t, url+"/healthz"); code != http.StatusOK {
		t.Errorf("not healthy while it stops: %d %s", code, body)
	}
}

func TestADaemonWithoutABrokerIsHealthyButNotReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	url := w.serve()
	address, port := freePort(t)
	w.env["NATS_URL"] = "nats://" + address
	w.start(nil, "run", w.inbox)
	unready := func(why string) (code int, checks map[string]monitor.Check) {
		t.Helper()
		eventually(t, time.Minute, "it is not ready for: "+why, func() bool {
			code, checks = readyz(t, url)
			return code == http.StatusServiceUnavailable && strings.Contains(fmt.Sprint(checks), why)
		})
		if code, body := get(t, url+"/healthz"); code != http.StatusOK {
			t.Errorf("not healthy: %d %s", code, body)
		}
		return code, checks
	}
	unready("starting: connecting to NATS")
	if code, body := get(t, url+"/api/status"); code != http.StatusServiceUnavailable || !strings.Contains(string(body), `{"error":"there is no status yet: `) {
		t.Errorf("%d %s", code, body)
	}
	broker := natsServer(t, port, t.TempDir())
	awaitReady(t, url)
	broker.Shutdown()
	broker.WaitForShutdown()
	if _, checks := unready("is away"); checks["broker"].OK {
		t.Errorf("%+v", checks)
	}
	began := time.Now()
	code, body := get(t, url+"/api/status")
	if took := time.Since(began); code != http.StatusServiceUnavailable || !strings.HasPrefix(string(body), `{"error":"`) || took > 10*time.Second {
		t.Errorf("%d %s after %s", code, body, took)
	}
}

func TestAnAddressThatIsTakenIsDoneWithoutUnlessItWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w.env["INGEST_HTTP"] = taken.Addr().String()
	p := w.start(nil, "run", w.inbox)
	if code := p.wait(time.Minute); code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	if said := p.stderr.String(); !strings.Contains(said, "INGEST_HTTP="+w.env["INGEST_HTTP"]) || !strings.Contains(said, "set it to an address of this machine that is free") {
		t.Errorf("it does not say what to do: %s", said)
	}
	w.write("a.jpg", picture(1))
	p = w.start(nil, "run", "--once", w.inbox) // beside the daemon, with its settings
	if code := p.wait(time.Minute); code != exitDone || !strings.Contains(p.stderr.String(), "neither health nor metrics are served") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	taken.Close()
	p = w.start(nil, "run", "--once", w.inbox)
	if code := p.wait(time.Minute); code != exitDone || !strings.Contains(p.stderr.String(), "the status are served") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

// Two daemons on one machine, of which nobody has said where they are to be asked.
func TestASecondDaemonOnTheDefaultAddressWarnsAndRuns(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil { // the first daemon
		defer l.Close()
	}
	w := newWorld(t, sandbox.Options{})
	w.env["INGEST_HTTP"] = "" // as if it were not set
	p := w.start(nil, "run", "--json", w.inbox)
	w.write("a.jpg", picture(1))
	eventually(t, time.Minute, "it works", func() bool { return p.judged() == 1 })
	if said := p.stderr.String(); !strings.Contains(said, "Set INGEST_HTTP to an address that is free") {
		t.Errorf("it does not say what to do: %s", said)
	}
	p.terminate()
	p = w.start(nil, "run", "--once", w.inbox) // which nobody asks how it is
	if code := p.wait(time.Minute); code != exitDone || strings.Contains(p.stderr.String(), "INGEST_HTTP") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

func TestOnALoopbackAddressOnlyLocalNamesAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	url := w.serve()
	w.start(nil, "run", w.inbox)
	awaitReady(t, url)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:1": 200, "127.0.0.1": 200, "127.9.9.9:80": 200, "[::1]:8080": 200, "[::1]": 200,
		"rebound.example": 421, "rebound.example:8080": 421, "127.0.0.1.example": 421, "localhost.example": 421, "10.0.0.1": 421,
	} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/status", "/"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != want || want != 200 && !strings.Contains(string(body), "localhost") {
				t.Errorf("Host %s: %d, want %d: %s", host, answer.StatusCode, want, body)
			}
		}
	}
}

func TestTheHealthCommandSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	health := func(code int, says string, args ...string) {
		t.Helper()
		p := w.start(nil, append([]string{"health"}, args...)...)
		if got := p.wait(time.Minute); got != code || !strings.Contains(p.stdout.String()+p.stderr.String(), says) {
			t.Errorf("health %v: %d, want %d and %q: %s%s", args, got, code, says, p.stdout.String(), p.stderr.String())
		}
	}
	health(exitFailure, "INGEST_HTTP=off: the daemon cannot be asked")
	url := w.serve()
	health(exitFailure, "no daemon answers at "+w.env["INGEST_HTTP"])

	address, port := freePort(t)
	w.env["NATS_URL"] = "nats://" + address
	p := w.start(nil, "run", w.inbox)
	eventually(t, time.Minute, "it listens", func() bool { code, _ := readyz(t, url); return code != 0 })
	w.env["INGEST_SETTLE"] = "a mistake in what the daemon alone needs"
	health(exitDone, "healthy\n")
	health(exitFailure, "not ready\nauthenta-ingest: daemon: starting: connecting to NATS", "--ready")
	broker := natsServer(t, port, t.TempDir())
	defer broker.WaitForShutdown()
	defer broker.Shutdown()
	awaitReady(t, url)
	health(exitDone, "ready\n", "--ready")
	p.terminate()

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"healthy": true}`) }))
	defer other.Close()
	w.env["INGEST_HTTP"] = other.Listener.Addr().String()
	health(exitFailure, "is no daemon of this kind: it answered 200 OK")
}

// Whatever it listens on, the command finds the daemon on this machine.
func TestTheHealthCommandReachesEveryKindOfAddress(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "0.0.0.0", "[::]", "[::1]", "localhost"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Options{})
			_, port := freePort(t)
			w.env["INGEST_HTTP"] = fmt.Sprintf("%s:%d", host, port)
			if l, err := net.Listen("tcp", w.env["INGEST_HTTP"]); err != nil {
				t.Skip("this machine has no such address: ", err)
			} else {
				l.Close()
			}
			w.env["NATS_URL"] = "nats://127.0.0.1:1" // how it is, is told without
			w.start(nil, "run", w.inbox)
			eventually(t, time.Minute, "it is healthy", func() bool { return w.start(nil, "health").wait(time.Minute) == exitDone })
		})
	}
}

func TestAPauseIsReadyWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{MutationQuota: 1, Latency: 10 * time.Millisecond})
	url := w.serve()
	w.listen()
	w.drop(0, 3)
	w.start(nil, "run", w.inbox)
	held := func(name, why string, says ...string) {
		t.Helper()
		var c monitor.Check
		eventually(t, time.Minute, name+" are "+why, func() bool {
			code, checks := readyz(t, url)
			c = checks[name]
			return code == http.StatusOK && !c.OK && strings.Contains(c.Message, why)
		})
		for _, want := range says {
			if !strings.Contains(c.Message, want) {
				t.Errorf("%s: %q does not say %q", name, c.Message, want)
			}
		}
	}
	held("uploads", "paused quota", "next try", "have the platform grant more calls")
	w.command("pause", "polls", "--reason", "night shift")
	held("polls", "paused by hand", "night shift", "'authenta-ingest resume' ends it")
	if said := w.command("health", "--ready"); !strings.HasPrefix(said, "ready\nuploads: paused quota") || !strings.Contains(said, "\npolls: paused by hand") {
		t.Errorf("health --ready says %q", said)
	}
	if said := w.command("health"); said != "healthy\n" {
		t.Errorf("health says %q", said)
	}
	w.platform.Grant(unlimited)
	w.command("resume")
	eventually(t, time.Minute, "all is well", func() bool {
		code, checks := readyz(t, url)
		return code == http.StatusOK && checks["uploads"].OK && checks["polls"].OK
	})
}

func TestAFullDiskIsReadyWithAReason(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]int64{"nearly full": 1 << 20, "full, so that no write succeeds": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Options{})
			url := w.serve()
			disk := smallDisk(t, 64)
			w.env["INGEST_STATE_DIR"] = filepath.Join(disk, "state")
			w.start(nil, "run", w.inbox)
			awaitReady(t, url)
			makeRoom := fillDisk(t, disk, leave)
			w.write("a.jpg", picture(1))
			eventually(t, time.Minute, "both tell of it", func() bool {
				code, checks := readyz(t, url)
				return code == http.StatusOK && strings.Contains(checks["disk"].Message, "make room on it") && !checks["intake"].OK
			})
			makeRoom()
			eventually(t, time.Minute, "all is well", func() bool {
				_, checks := readyz(t, url)
				return checks["disk"].OK && checks["intake"].OK && checks["broker"].OK
			})
		})
	}
}

// A server that takes connections and does nothing: no state of the connection tells of it.
func TestABrokerThatHangsIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	url := w.serve()
	c := w.cluster(0)
	w.start(nil, "run", w.inbox)
	awaitReady(t, url)
	if err := c.broker.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "it is not ready", func() bool {
		code, checks := readyz(t, url)
		return code == http.StatusServiceUnavailable && strings.Contains(checks["broker"].Message, "has taken nothing")
	})
	began := time.Now()
	code, body := get(t, url+"/api/status")
	if took := time.Since(began); code != http.StatusServiceUnavailable || !strings.HasPrefix(string(body), `{"error":"the status could not be had`) || took > 10*time.Second {
		t.Errorf("%d %s after %s", code, body, took)
	}
	if code, body := get(t, url+"/healthz"); code != http.StatusOK {
		t.Errorf("not healthy: %d %s", code, body)
	}
	if err := c.broker.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, url)
}

func TestAMissingFolderIsToldAndIsADefectOnlyIfThereIsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	url := w.serve()
	other := t.TempDir()
	w.start(nil, "run", w.inbox, other)
	awaitReady(t, url)
	is := func(code int, inboxOK, otherOK bool) {
		t.Helper()
		eventually(t, time.Minute, fmt.Sprintf("%d, inbox: %v, other: %v", code, inboxOK, otherOK), func() bool {
			got, checks := readyz(t, url)
			a, b := checks["folder "+w.inbox], checks["folder "+other]
			return got == code && a.OK == inboxOK && b.OK == otherOK && strings.Contains(a.Message, "mount it") == !inboxOK
		})
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	is(200, true, true)
	move(w.inbox, w.inbox+".away")
	is(200, false, true)
	move(other, other+".away")
	is(503, false, false)
	if code, body := get(t, url+"/healthz"); code != http.StatusOK {
		t.Errorf("not healthy: %d %s", code, body)
	}
	move(w.inbox+".away", w.inbox)
	is(200, true, false)
	move(other+".away", other)
	is(200, true, true)
}
