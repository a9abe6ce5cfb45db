package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// scrape are the values of all metrics, by their names and labels: "members worker".
func scrape(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	must(t, err)
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), queue.MetricNamespace+"_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			found[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return found
}

func TestMetricsTellOfTheWholeCluster(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	r := prometheus.NewPedanticRegistry()
	p := b.join(func(o *control.Options) { o.Metrics, o.MutationQuota, o.Role = r, 7, control.RoleWorker })
	b.join(func(o *control.Options) { o.MutationQuota, o.Role = 7, control.RoleWatcher })
	await(t, "both know of each other", func() bool { return len(p.Members()) == 2 })
	_, err := p.Queue.Submit(deadline(t), queue.Submission{
		Drop: queue.Drop{ID: "a", URI: "file:///in/a.jpg", Name: "a.jpg"}, Digest: queue.Digest(strings.Repeat("0", 64)), Size: 1, ContentType: "image/jpeg", Model: "AC-1",
	})
	must(t, err)
	must(t, p.Budget.Create(deadline(t), "some job"))
	got := scrape(t, r)
	for name, want := range map[string]float64{
		"members all": 0, "members worker": 1, "members watcher": 1, "queue_depth upload": 1, "queue_depth await": 0, "queue_depth intake": 0,
		"waiting_for_host": 0, "intake_paused": 0, "broker_scrape_ok": 1, "calls_granted mutation": 7, "calls_left mutation": 6,
		"mended_total requeued": 0, "mended_total evicted": 0, "store_limit_bytes jobs": 256 << 20, "store_bytes verdicts": 0,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s is %v (%v), want %v", name, value, there, want)
		}
	}
	if got["store_bytes jobs"] == 0 || got["store_bytes ledger"] == 0 {
		t.Errorf("there is a job in %v", got)
	}
	for _, absent := range []string{"calls_granted query", "calls_left query", "store_bytes intake", "store_bytes media"} {
		if value, there := got[absent]; there {
			t.Errorf("%s is %v, and there is none", absent, value)
		}
	}
}

func TestAScrapeWithoutABrokerIsShortAndTellsNothingThatIsStale(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	r := prometheus.NewPedanticRegistry()
	p := b.join(func(o *control.Options) { o.Metrics = r })
	p.kill()
	began := time.Now()
	got := scrape(t, r)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if ok, there := got["broker_scrape_ok"]; !there || ok != 0 {
		t.Errorf("broker_scrape_ok is %v (%v)", ok, there)
	}
	if _, there := got["gate_closed uploads quota"]; !there {
		t.Error("what the process knows by itself is missing")
	}
	for name := range got {
		for _, asked := range []string{"queue_depth", "waiting_for_host", "intake_paused", "store_", "mended_total"} {
			if strings.HasPrefix(name, asked) {
				t.Errorf("%s is told", name)
			}
		}
	}
}

// Two who scrape at once, and one who does so soon again, have the broker asked once.
func TestTheBrokerIsAskedForTheMetricsOnceInAWhile(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	r := prometheus.NewPedanticRegistry()
	p := b.join(func(o *control.Options) { o.Metrics = r })
	before := scrape(t, r)
	_, err := p.Queue.Submit(deadline(t), queue.Submission{
		Drop: queue.Drop{ID: "a", URI: "file:///in/a.jpg", Name: "a.jpg"}, Digest: queue.Digest(strings.Repeat("0", 64)), Size: 1, ContentType: "image/jpeg", Model: "AC-1",
	})
	must(t, err)
	if again := scrape(t, r); again["queue_depth upload"] != before["queue_depth upload"] {
		t.Error("the broker was asked again at once")
	}
}
