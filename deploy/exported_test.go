package deploy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// exported is what the program says of itself: the text, and the metrics in it by their names.
type exported struct {
	text     []byte
	families map[string]*dto.MetricFamily
}

var scraped struct {
	once sync.Once
	exported
}

// scrape runs the program with all that adds a metric, and returns what it exports.
func scrape(t *testing.T) exported {
	t.Helper()
	scraped.once.Do(func() {
		cmd := exec.Command(program(t), "run", "--sandbox", t.TempDir())
		cmd.Env = append(os.Environ(), "INGEST_STATE_DIR="+t.TempDir(), "INGEST_NATS_LISTEN=off", "INGEST_HTTP=127.0.0.1:0",
			"AUTHENTA_MUTATION_QUOTA=1000", "AUTHENTA_QUERY_QUOTA=1500")
		p := &process{t: t, cmd: cmd, exited: make(chan struct{})}
		cmd.Stdout, cmd.Stderr = &p.out, &p.out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = cmd.Wait() // the code is read from ProcessState
			close(p.exited)
		}()
		defer p.terminate(0)
		said := regexp.MustCompile(`"health, metrics and the status are served","address":"([^"]*)"`)
		eventually(t, time.Minute, "it has asked its broker for all metrics", func() bool {
			at := said.FindStringSubmatch(p.out.String())
			if at == nil {
				return false
			}
			text, err := get("http://" + at[1] + "/metrics")
			scraped.text = text
			return err == nil && bytes.Contains(text, []byte("authenta_ingest_members{role=\"all\"} 1\n")) &&
				bytes.Contains(text, []byte("authenta_ingest_calls_left")) && bytes.Contains(text, []byte("authenta_ingest_watcher_root{"))
		})
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(scraped.text))
		if err != nil {
			t.Fatalf("%v: %s", err, scraped.text)
		}
		scraped.families = families
	})
	if len(scraped.families) == 0 {
		t.Fatal("nothing was exported; another test says why")
	}
	return scraped.exported
}

func get(url string) ([]byte, error) {
	r, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", r.Status)
	}
	return io.ReadAll(r.Body)
}

// A family may be asked for by these names as well.
var suffixes = regexp.MustCompile(`_(bucket|sum|count)$`)

// family returns what a query may mean by a name, or nil.
func (e exported) family(name string) *dto.MetricFamily {
	if f := e.families[name]; f != nil {
		return f
	}
	if f := e.families[suffixes.ReplaceAllString(name, "")]; f != nil && f.GetType() == dto.MetricType_HISTOGRAM {
		return f
	}
	return nil
}

// values returns those that a label has, and whether it is there.
func values(f *dto.MetricFamily, label string) (found []string) {
	for _, m := range f.GetMetric() {
		for _, pair := range m.GetLabel() {
			if pair.GetName() == label {
				found = append(found, pair.GetValue())
			}
		}
	}
	return found
}

var (
	selector = regexp.MustCompile(`\b((?:authenta_ingest_|process_|go_)\w+)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	plain    = regexp.MustCompile(`^[\w|]+$`)
	// added are labels that are not the program's: Prometheus's own, or of a histogram's buckets.
	added = []string{"job", "instance", "namespace", "le"}
)

// mistakes tells what in a query is not as the program exports it: metrics, labels, and the values that are asked for.
func (e exported) mistakes(query string) (found []string) {
	for _, s := range selector.FindAllStringSubmatch(query, -1) {
		f := e.family(s[1])
		if f == nil {
			found = append(found, "there is no metric "+s[1])
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			label, value := m[1], m[3]
			have := values(f, label)
			switch {
			case slices.Contains(added, label) || strings.HasPrefix(value, "$"):
			case have == nil:
				found = append(found, fmt.Sprintf("%s has no label %s", s[1], label))
			case plain.MatchString(value):
				for one := range strings.SplitSeq(value, "|") {
					if !slices.Contains(have, one) {
						found = append(found, fmt.Sprintf("%s never has %s=%q, but %v", s[1], label, one, have))
					}
				}
			}
		}
	}
	return found
}

func TestMistakesInQueriesAreFound(t *testing.T) {
	t.Parallel()
	e := scrape(t)
	for query, mistakes := range map[string]int{
		`sum by (job) (rate(authenta_ingest_verdict_lag_seconds_bucket{job="x", le="5"}[5m]))`: 0,
		`authenta_ingest_gate_closed{why=~"quota|spent"} + go_goroutines`:                      0,
		`authenta_ingest_gate_close`:                               1,
		`authenta_ingest_gate_closed{why=~"quota|spend"}`:          1,
		`authenta_ingest_gate_closed{reason="quota"}`:              1,
		`authenta_ingest_verdicts_total_bucket > process_open_fd`:  2,
		`rate(authenta_ingest_api_calls_total{call="poll"}[5m])`:   1,
		`authenta_ingest_store_bytes{stream=~"$stream"}`:           0,
		`authenta_ingest_store_bytes / authenta_ingest_store_byte`: 1,
	} {
		if found := e.mistakes(query); len(found) != mistakes {
			t.Errorf("%s: %v, want %d", query, found, mistakes)
		}
	}
}

func TestWhatIsExportedIsAsPrometheusWantsIt(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	e := scrape(t)
	c := exec.Command(promtool, "check", "metrics")
	c.Stdin = bytes.NewReader(e.text)
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
