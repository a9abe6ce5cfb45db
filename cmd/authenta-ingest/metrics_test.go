package main

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// A scrape is what a program's metrics said at one time.
type scrape struct {
	text     []byte
	families map[string]*dto.MetricFamily
}

// scrapeOf reads a program's own metrics, and not those of its process and its Go.
func scrapeOf(t *testing.T, url string) scrape {
	t.Helper()
	code, body := get(t, url+"/metrics")
	if code != http.StatusOK {
		return scrape{}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	maps.DeleteFunc(all, func(name string, _ *dto.MetricFamily) bool {
		return !strings.HasPrefix(name, queue.MetricNamespace+"_")
	})
	return scrape{text: body, families: all}
}

// series are the values of a metric by the values of its labels; of a histogram, how often it has measured something.
func (s scrape) series(name string) map[string]float64 {
	found := map[string]float64{}
	for _, m := range s.families[queue.MetricNamespace+"_"+name].GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetValue())
		}
		found[strings.Join(labels, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return found
}

// sum is that of all series.
func (s scrape) sum(name string) (sum float64) {
	for _, v := range s.series(name) {
		sum += v
	}
	return sum
}

// is reports whether a series is there and has a value.
func (s scrape) is(name, labels string, value float64) bool {
	v, there := s.series(name)[labels]
	return there && v == value
}

const metricsBegin, metricsEnd = "<!-- metrics -->\n", "<!-- end of metrics -->"

// tableOf is the documentation of metrics: their names, kinds, labels and help are those that a program has exported.
func tableOf(s scrape) string {
	var table strings.Builder
	table.WriteString("| metric | kind | labels | is |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(s.families)) {
		f := s.families[name]
		values := map[string][]string{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !slices.Contains(values[l.GetName()], l.GetValue()) {
					values[l.GetName()] = append(values[l.GetName()], l.GetValue())
				}
			}
		}
		var labels []string
		for _, label := range slices.Sorted(maps.Keys(values)) {
			said := "`" + label + "`"
			if !slices.Contains([]string{"model", "root", "version", "goversion"}, label) { // those differ from place to place
				slices.Sort(values[label])
				said += ": " + strings.Join(values[label], ", ")
			}
			labels = append(labels, said)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), strings.Join(labels, "; "), f.GetHelp())
	}
	return table.String()
}

// everything is the world of a program that has all metrics but those of troubles, and where it is scraped.
func everything(t *testing.T, o sandbox.Options) (*world, string) {
	t.Helper()
	w := newWorld(t, o)
	w.listen()
	w.env["INGEST_SUBJECTS"], w.env["AUTHENTA_MUTATION_QUOTA"], w.env["AUTHENTA_QUERY_QUOTA"] = "media.in", "1000", "2000"
	return w, w.serve()
}

func TestTheTableOfMetricsIsTrue(t *testing.T) {
	t.Parallel()
	const readme = "../../deploy/README.md"
	w, url := everything(t, sandbox.Options{})
	w.start(nil, "run", w.inbox)
	awaitReady(t, url)
	var s scrape
	eventually(t, time.Minute, "the broker is asked", func() bool {
		s = scrapeOf(t, url)
		return s.is("broker_scrape_ok", "", 1)
	})
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(data), metricsBegin)
	was, tail, ok2 := strings.Cut(rest, metricsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no %s…%s", readme, metricsBegin, metricsEnd)
	}
	now := tableOf(s)
	if was == now {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: run go test ./cmd/authenta-ingest -run TableOfMetrics -update\n%s", readme, now)
	}
	if err := os.WriteFile(readme, []byte(head+metricsBegin+now+metricsEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

var documented = regexp.MustCompile("(?m)^\\| `" + queue.MetricNamespace + "_([a-z_]+)` \\|")

// documentedMetrics are those of the table.
func documentedMetrics(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range documented.FindAllStringSubmatch(string(data), -1) {
		names = append(names, m[1])
	}
	if len(names) < 30 {
		t.Fatalf("only %d metrics are documented: %v", len(names), names)
	}
	return names
}

// A record is what was scraped in several runs, in order.
type record struct {
	mu   sync.Mutex
	runs map[string][]scrape
}

func (r *record) add(run string, s scrape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[run] = append(r.runs[run], s)
}

// until scrapes a run until it says what it should.
func (r *record) until(t *testing.T, run, url, what string, holds func(scrape) bool) scrape {
	t.Helper()
	tick := time.NewTicker(250 * time.Millisecond) // a scrape is some work
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		s := scrapeOf(t, url)
		if s.families != nil && holds(s) {
			r.add(run, s)
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("after a minute still not: %s\n%s", what, own(s.text))
		}
	}
}

// moved reports whether a series of a metric had different values at two times of one run.
func (r *record) moved(name string) bool {
	for _, scrapes := range r.runs {
		first := map[string]float64{}
		for _, s := range scrapes {
			for labels, v := range s.series(name) {
				if was, seen := first[labels]; seen && was != v {
					return true
				} else if !seen {
					first[labels] = v
				}
			}
		}
	}
	return false
}

// Every metric that the documents name is exported by the program, and tells of what happens: in runs in which everything goes
// wrong that a metric is for, it changes. Nothing secret is in any of them.
func TestEveryDocumentedMetricMovesInARunWithFaults(t *testing.T) {
	t.Parallel()
	r := &record{runs: map[string][]scrape{}}
	skipped := false
	t.Run("runs", func(t *testing.T) {
		t.Run("faults, pauses and missing folders", func(t *testing.T) { t.Parallel(); r.faults(t) })
		t.Run("a broker that comes and goes", func(t *testing.T) { t.Parallel(); r.broker(t) })
		t.Run("a full disk", func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { skipped = t.Skipped() })
			r.disk(t)
		})
	})
	if t.Failed() {
		return
	}
	if skipped && os.Getenv("CI") != "" {
		t.Error("the full disk was not tried")
	}
	names := documentedMetrics(t)
	for _, name := range names {
		switch {
		case name == "build_info": // what it tells of does not change while the program runs
		case name == "store_broken" && skipped:
		case !r.moved(name):
			t.Errorf("%s does not move", name)
		}
	}
	for run, scrapes := range r.runs {
		for _, s := range scrapes {
			for name := range s.families {
				if short := strings.TrimPrefix(name, queue.MetricNamespace+"_"); !slices.Contains(names, short) {
					t.Errorf("%s: %s is in no document", run, name)
				}
			}
			for _, secret := range []string{"test-secret", "X-Amz", "http", ".jpg", "picture"} {
				if i := bytes.Index(own(s.text), []byte(secret)); i >= 0 {
					t.Errorf("%s: a scrape tells %q", run, secret)
				}
			}
		}
	}
}

// own are the lines of a scrape that have values of this program's metrics.
func own(text []byte) []byte {
	var lines [][]byte
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(queue.MetricNamespace)) {
			lines = append(lines, line)
		}
	}
	return bytes.Join(lines, nil)
}

func (r *record) faults(t *testing.T) {
	const run = "faults"
	w, url := everything(t, sandbox.Options{Latency: 200 * time.Millisecond, Outcome: func(sum [32]byte) sandbox.Outcome {
		if sum[0]%3 == 0 {
			return sandbox.Outcome{Verdict: sandbox.Failed}
		}
		return sandbox.OutcomeOf(sum)
	}})
	share := filepath.Join(t.TempDir(), "share")
	if err := os.Mkdir(share, 0o755); err != nil {
		t.Fatal(err)
	}
	w.start(map[string]string{"INGEST_RESCAN": "1s"}, "run", w.inbox, share)
	awaitReady(t, url)
	r.until(t, run, url, "nothing happens", func(s scrape) bool { return s.is("broker_scrape_ok", "", 1) })
	var hit hits
	w.platform.Faults(passingFaults(&hit)...)
	w.drop(0, 12)
	w.write("copy.jpg", picture(3))
	w.write("text.jpg", []byte("this is none"))
	r.until(t, run, url, "all are answered", func(s scrape) bool { return s.sum("verdicts_total")+s.sum("failures_total") >= 14 })
	if n := hit.total(); n < 9 {
		t.Errorf("only %d faults have hit", n)
	}
	w.platform.Faults()

	conn := w.natsConn()
	ask := control.Remote{Conn: conn, Namespace: "authenta"}
	if _, err := ask.Pause(t.Context(), control.PauseRequest{Gates: control.OfPolls, Message: "night"}); err != nil {
		t.Fatal(err)
	}
	w.drop(20, 5)
	other := w.start(map[string]string{
		"NATS_URL": "nats://" + w.env["INGEST_NATS_LISTEN"], "INGEST_ROLE": "worker", "INGEST_SUBJECTS": "", "INGEST_HTTP": "off",
		"INGEST_STATE_DIR": t.TempDir(), "AUTHENTA_MUTATION_QUOTA": "1001",
	}, "run")
	eventually(t, time.Minute, "files are queued, and another worker is there", func() bool {
		s := w.status()
		return s.Queued == 5 && len(s.Workers) == 2
	})
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	restore := resize(t, js, "authenta-jobs", 1)
	if _, err := js.Publish(t.Context(), "media.in", picture(30)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(share, share+" away"); err != nil {
		t.Fatal(err)
	}
	tooDeep(t, w.inbox)
	r.until(t, run, url, "everything is told that is wrong", func(s scrape) bool {
		unread := s.series("watcher_root_unread")[w.inbox]
		return s.is("queue_depth", "upload", 5) && s.is("gate_closed", "polls hand", 1) && s.is("gate_closed", "uploads polls", 1) && s.is("intake_paused", "", 1) && s.is("queue_depth", "intake", 1) && s.is("members", "worker", 1) &&
			s.is("calls_granted", "mutation", 1001) && s.is("watcher_root", "missing "+share, 1) && unread > 0
	})
	if err := other.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := other.wait(time.Minute); code != exitDone { // while it ends, it would be asked to resume, too
		t.Errorf("the other worker ended with %d", code)
	}
	if err := os.Rename(share+" away", share); err != nil {
		t.Fatal(err)
	}
	restore()
	if _, err := ask.Resume(t.Context(), control.ResumeRequest{}); err != nil {
		t.Fatal(err)
	}
	all := r.until(t, run, url, "all is well again", func(s scrape) bool {
		return s.sum("queue_depth") == 0 && s.sum("gate_closed") == 0 && s.is("intake_paused", "", 0) && s.is("watcher_root", "events "+share, 1)
	})
	promtoolAccepts(t, all.text)
}

// passingFaults strike some calls of each kind in ways that nobody has to wait for long.
func passingFaults(h *hits) []sandbox.Fault {
	return []sandbox.Fault{
		{Op: sandbox.OpCreate, Times: 3, Do: h.counted("create 500", sandbox.ServerError)},
		{Op: sandbox.OpPut, Times: 3, Do: h.counted("put slow down", sandbox.SlowDown)},
		{Op: sandbox.OpGet, Times: 3, Do: h.counted("get garbage", sandbox.Garbage)},
		{Op: sandbox.OpList, Times: 1, Do: h.counted("list 502", sandbox.BadGateway)},
	}
}

// natsConn is a connection to the world's NATS.
func (w *world) natsConn() *nats.Conn {
	w.t.Helper()
	conn, err := nats.Connect("nats://" + w.env["INGEST_NATS_LISTEN"])
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	return conn
}

// resize gives a stream another limit, and returns what gives it its own back.
func resize(t *testing.T, js jetstream.JetStream, stream string, bytes int64) (restore func()) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	set := func(n int64) {
		t.Helper()
		now := config
		now.MaxBytes = n
		if _, err := js.UpdateStream(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	set(bytes)
	return func() { set(config.MaxBytes) }
}

// tooDeep makes folders whose paths are longer than the system takes: nobody can look into them, whatever his rights.
func tooDeep(t *testing.T, in string) {
	t.Helper()
	dir, err := os.OpenRoot(in)
	for range 20 {
		if err == nil {
			err = dir.Mkdir(strings.Repeat("d", 250), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		var next *os.Root
		next, err = dir.OpenRoot(strings.Repeat("d", 250))
		dir.Close()
		dir = next
	}
	if err != nil {
		t.Fatal(err)
	}
	dir.Close()
}

func (r *record) broker(t *testing.T) {
	const run = "broker"
	w := newWorld(t, sandbox.Options{Latency: 100 * time.Millisecond})
	url := w.serve()
	address, port := freePort(t)
	w.env["NATS_URL"] = "nats://" + address
	store := t.TempDir()
	p := w.start(nil, "run", w.inbox)
	r.until(t, run, url, "it waits for NATS", func(s scrape) bool { return s.is("phase", "starting", 1) && s.is("broker_connected", "", 0) })
	broker := natsServer(t, port, store)
	awaitReady(t, url)
	r.until(t, run, url, "it works", func(s scrape) bool {
		return s.is("phase", "working", 1) && s.is("broker_connected", "", 1) && s.is("broker_scrape_ok", "", 1)
	})
	w.drop(0, 1)
	w.strand("elsewhere")
	r.until(t, run, url, "a file waits for another machine", func(s scrape) bool {
		return s.is("waiting_for_host", "", 1) && s.sum("verdicts_total") == 1
	})
	broker.Shutdown()
	broker.WaitForShutdown()
	r.until(t, run, url, "NATS is away", func(s scrape) bool {
		return s.is("broker_connected", "", 0) && s.is("broker_scrape_ok", "", 0) && len(s.series("queue_depth")) == 0
	})
	p.kill()
	broker = natsServer(t, port, store)
	t.Cleanup(func() {
		broker.Shutdown()
		broker.WaitForShutdown()
	})
	conn, err := nats.Connect(w.env["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "KV_authenta-ledger"); err != nil { // what is in it is on the verdicts stream as well
		t.Fatal(err)
	}
	w.start(nil, "run", w.inbox)
	r.until(t, run, url, "the ledger is restored", func(s scrape) bool { return s.series("mended_total")["restored"] > 0 })
}

// strand submits a file of another machine, on which nobody works.
func (w *world) strand(host string) {
	w.t.Helper()
	conn, err := queue.Dial(w.t.Context(), queue.Server{URL: w.env["NATS_URL"]}, discard)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	q, err := queue.Open(w.t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = q.Submit(w.t.Context(), queue.Submission{
		Drop:   queue.Drop{ID: "stranded", URI: "file:///there/only/a.jpg", Name: "a.jpg", Host: host, QueuedAt: time.Now()},
		Digest: queue.Digest(strings.Repeat("a", 64)), Size: 10, ContentType: "image/jpeg", Model: "AC-1",
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (r *record) disk(t *testing.T) {
	const run = "disk"
	w := newWorld(t, sandbox.Options{})
	url := w.serve()
	disk := smallDisk(t, 64)
	w.env["INGEST_STATE_DIR"] = filepath.Join(disk, "state")
	w.start(nil, "run", w.inbox)
	awaitReady(t, url)
	r.until(t, run, url, "all is well", func(s scrape) bool { return s.is("store_broken", "", 0) && s.sum("disk_free_bytes") > 0 })
	makeRoom := fillDisk(t, disk, 0)
	w.drop(0, 3)
	r.until(t, run, url, "the store is broken", func(s scrape) bool { return s.is("store_broken", "", 1) })
	makeRoom()
	r.until(t, run, url, "it is mended", func(s scrape) bool { return s.is("store_broken", "", 0) })
}

// promtoolAccepts has Prometheus's own tool check a scrape, where it is installed; CI has it.
func promtoolAccepts(t *testing.T, text []byte) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Error("promtool is not installed")
		}
		t.Log("promtool is not in PATH: the scrape is not checked by it")
		return
	}
	check := exec.Command(tool, "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
