package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// askTime is how long the broker may take to answer a scrape: scrapers wait for ten seconds, as a rule.
	askTime = 2 * time.Second
	// askAgain is how long its answers are good for: several may scrape, and the broker has other work.
	askAgain = 10 * time.Second
)

var (
	queueDepth = describe("queue_depth",
		"Jobs of the whole cluster that wait to be uploaded (upload) or for their result (await), those in hand included, and messages "+
			"on subjects that are not taken in yet (intake; those on streams of others are not counted). Growing: look at gate_closed, "+
			"then at members.", "queue")
	waitingForHost = describe("waiting_for_host",
		"Of the jobs that wait to be uploaded, those whose files can only be read on machines where no worker runs. Above 0: start one "+
			"there; 'status' names the machines.")
	intakePaused = describe("intake_paused",
		"1 while no files are taken in, because a stream or the disk of the store is full; they wait in their folders. 'status' says "+
			"what is full.")
	storeBytes = describe("store_bytes",
		"Bytes that a stream or bucket holds. jobs, ledger, files, intake and media refuse what is new when they are full; verdicts, "+
			"failures and events drop their oldest.", "stream")
	storeLimit = describe("store_limit_bytes", "Bytes that a stream or bucket may hold: of jobs, ledger and files, new files get no more "+
		"than three quarters.", "stream")
	membersPresent = describe("members", "Processes of the cluster by their role. Without all or worker nothing is judged; without all "+
		"or watcher nothing is taken in.", "role")
	callsGranted = describe("calls_granted", "Calls that the account was granted, by AUTHENTA_MUTATION_QUOTA and AUTHENTA_QUERY_QUOTA; "+
		"absent without them.", "kind")
	callsLeft = describe("calls_left", "How many of the granted calls are left. At 0 uploads or polls are paused: ask for more, raise "+
		"the setting.", "kind")
	mendedTotal = describe("mended_total",
		"What was found amiss in the store since it is there, and mended: jobs requeued, answers restored or announced again, files "+
			"forgotten to be taken in again, staged files swept, verdicts evicted before their time. Evicted grows: the ledger is too "+
			"small for so many files in INGEST_RESULT_TTL. The others grow after a crash only.", "what")
	scrapeOK = describe("broker_scrape_ok",
		"1 if NATS has answered all that the metrics of the whole cluster are made of; else 0, and those are absent. 0 while "+
			"broker_connected is 1: NATS is overloaded or lacks a quorum; the log says what failed.")
)

// A collector tells of the whole cluster, as the broker does when it is asked. What it does not answer in time is absent.
type collector struct {
	cluster *Cluster

	mu      sync.Mutex // one asks at a time, for all
	asked   time.Time
	metrics []prometheus.Metric
	failing bool // that was logged
}

func (*collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		queueDepth, waitingForHost, intakePaused, storeBytes, storeLimit, membersPresent, callsGranted, callsLeft, mendedTotal, scrapeOK,
	} {
		to <- d
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.IsZero() || time.Since(c.asked) > askAgain {
		c.metrics = c.ask()
		c.asked = time.Now()
	}
	for _, m := range c.metrics {
		to <- m
	}
}

// ask asks the broker everything at once. The lock is held.
func (c *collector) ask() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	questions := []func(context.Context) ([]prometheus.Metric, error){c.depths, c.untaken, c.waiting, c.intake, c.fullness, c.mended}
	answers, failures := make([][]prometheus.Metric, len(questions)), make([]error, len(questions))
	var all errgroup.Group
	for i, question := range questions {
		all.Go(func() error {
			answers[i], failures[i] = question(ctx)
			return nil
		})
	}
	_ = all.Wait() // the errors are in failures
	err := errors.Join(failures...)
	c.log(err)
	metrics := append(c.known(), gauge(scrapeOK, truth(err == nil)))
	for _, a := range answers {
		metrics = append(metrics, a...)
	}
	return metrics
}

// log says once that something cannot be told, unless the connection is gone, which is said already.
func (c *collector) log(err error) {
	switch {
	case err != nil && !c.failing && c.cluster.Queue.NATS().IsConnected():
		c.failing = true
		c.cluster.Log.Warn("NATS does not answer what metrics are made of; they are absent", "error", err)
	case err == nil && c.failing:
		c.failing = false
		c.cluster.Log.Info("NATS answers what metrics are made of again")
	}
}

func (c *collector) depths(ctx context.Context) ([]prometheus.Metric, error) {
	d, err := c.cluster.Queue.Depths(ctx)
	if err != nil {
		return nil, err
	}
	return []prometheus.Metric{gauge(queueDepth, float64(d.Upload), "upload"), gauge(queueDepth, float64(d.Await), "await")}, nil
}

func (c *collector) untaken(ctx context.Context) ([]prometheus.Metric, error) {
	n, err := c.cluster.Queue.Untaken(ctx)
	if err != nil {
		return nil, err
	}
	return []prometheus.Metric{gauge(queueDepth, float64(n), "intake")}, nil
}

func (c *collector) waiting(ctx context.Context) ([]prometheus.Metric, error) {
	hosts, err := c.cluster.Waiting(ctx)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, h := range hosts {
		if !h.Works {
			n += h.Files
		}
	}
	return []prometheus.Metric{gauge(waitingForHost, float64(n))}, nil
}

func (c *collector) intake(ctx context.Context) ([]prometheus.Metric, error) {
	err := c.cluster.Queue.Room(ctx)
	full := errors.Is(err, queue.ErrFull)
	if err != nil && !full {
		return nil, err
	}
	return []prometheus.Metric{gauge(intakePaused, truth(full))}, nil
}

func (c *collector) fullness(ctx context.Context) (metrics []prometheus.Metric, err error) {
	stores, err := c.cluster.Queue.Fullness(ctx)
	for _, s := range stores {
		metrics = append(metrics, gauge(storeBytes, float64(s.Bytes), s.Store))
		if s.Limit > 0 {
			metrics = append(metrics, gauge(storeLimit, float64(s.Limit), s.Store))
		}
	}
	return metrics, err
}

func (c *collector) mended(ctx context.Context) (metrics []prometheus.Metric, err error) {
	m, err := c.cluster.Queue.Mended(ctx)
	if err != nil {
		return nil, err
	}
	for what, n := range map[string]int{
		"requeued": m.Requeued, "restored": m.Restored, "announced": m.Announced, "forgotten": m.Forgotten, "swept": m.Swept, "evicted": m.Evicted,
	} {
		metrics = append(metrics, prometheus.MustNewConstMetric(mendedTotal, prometheus.CounterValue, float64(n), what))
	}
	return metrics, nil
}

// known tells what this process knows of the cluster without asking: nothing, if it hears nothing from it.
func (c *collector) known() (metrics []prometheus.Metric) {
	if !c.cluster.Here() {
		return nil
	}
	present := map[Role]int{RoleAll: 0, RoleWatcher: 0, RoleWorker: 0}
	for _, m := range c.cluster.Members() {
		if !m.Role.Valid() { // of a version that knew of none, and did everything
			m.Role = RoleAll
		}
		present[m.Role]++
	}
	for role, n := range present {
		metrics = append(metrics, gauge(membersPresent, float64(n), string(role)))
	}
	counts := c.cluster.Budget.Counts()
	for kind, count := range map[string]Count{"mutation": counts.Mutation, "query": counts.Query} {
		if count.Known() {
			metrics = append(metrics, gauge(callsGranted, float64(count.Granted), kind), gauge(callsLeft, float64(count.Left()), kind))
		}
	}
	return metrics
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
