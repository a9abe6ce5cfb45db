package queue

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// MetricNamespace is what the names of this program's metrics begin with, before a _.
const MetricNamespace = "authenta_ingest"

// maxModels bounds the values of the label model beside those that the settings name: the models of further jobs, which messages,
// earlier settings or other processes have named, are other. The platform has six.
const (
	maxModels = 16
	other     = "other"
)

// metrics count what this process does to the store. What it finds done already it does not count.
type metrics struct {
	drops, jobs, verdicts, failures *prometheus.CounterVec
	answer, processing, lag         *prometheus.HistogramVec

	most   int        // models
	mu     sync.Mutex // of who adds a model
	others *tally     // of models that are too many; nil: there are none
	models atomic.Pointer[map[Model]*tally]
}

// A tally has the metrics of one model.
type tally struct {
	drops    counters[Acceptance]
	jobs     counters[State]
	verdicts counters[Outcome]
	failures counters[Reason]

	answer, processing, lag prometheus.Observer
}

// counters are those of a metric for one model, by its other label.
type counters[L ~string] struct {
	of    map[L]prometheus.Counter
	other func() prometheus.Counter // of values that only a newer version knows
}

func (c counters[L]) count(l L) {
	if known, ok := c.of[l]; ok {
		known.Inc()
		return
	}
	c.other().Inc()
}

// acceptedNot is what became of a drop that no job could be made of.
const acceptedNot Acceptance = "refused"

// newMetrics returns metrics, of which those of some models are there from the start.
func newMetrics(r prometheus.Registerer, models []Model) *metrics {
	factory := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return factory.NewCounterVec(prometheus.CounterOpts{Namespace: MetricNamespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		return factory.NewHistogramVec(prometheus.HistogramOpts{Namespace: MetricNamespace, Name: name, Help: help, Buckets: buckets}, []string{"model"})
	}
	m := &metrics{
		drops: counter("drops_total", "Files and messages that this process took in, once for each model: queued as new jobs, joined to "+
			"jobs in work for the same content, answered at once by an earlier answer, or refused.", "model", "result"),
		jobs: counter("jobs_total", "Jobs that this process has brought into a state, again after a retry. A job is judged once for all files of its content; "+
			"judged counts the verdicts that were not answered by earlier ones.", "model", "state"),
		verdicts: counter("verdicts_total", "Verdicts that this process has published, one for each file, those included that an earlier "+
			"verdict has answered. None while files are queued: look at gate_closed.", "model", "outcome"),
		failures: counter("failures_total", "Failures that this process has published: files that could not be judged, by their own "+
			"fault. Some are normal; if many come with one reason, the log and 'status' show the last of them.", "model", "reason"),
		answer: histogram("answer_seconds", "How long files had to wait for their verdict or failure, from when they were taken in; "+
			"those that were answered at once do not count.",
			1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 4*3600, 24*3600),
		processing: histogram("processing_seconds", "How long it took from when storage had a file, or its job was retried, to its "+
			"verdict: mostly the platform's time.",
			1, 2.5, 5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 3600),
		lag: histogram("verdict_lag_seconds", "At most so long had a result been there when its verdict was published: the time since "+
			"the platform last said that it had none, or, at the first question, since the upload. What waited for a pause or a restart "+
			"does not count. Growing: polls are held up by the quota, the rate, or too few workers.",
			.25, .5, 1, 2, 3, 4, 5, 7.5, 10, 15, 30, 60, 120, 300, 600),
	}
	m.models.Store(&map[Model]*tally{"": m.refusals()})
	m.most = maxModels + len(models)
	for _, model := range models {
		m.of(model)
	}
	return m
}

// of returns the metrics of a model; those of no model, for files that none takes, if it is empty.
func (m *metrics) of(model Model) *tally {
	if t, ok := (*m.models.Load())[model]; ok {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := *m.models.Load()
	if t, ok := known[model]; ok {
		return t
	}
	if len(known) > m.most { // one of them is none
		if m.others == nil {
			m.others = m.tally(other)
		}
		return m.others
	}
	next := maps.Clone(known)
	next[model] = m.tally(string(model))
	m.models.Store(&next)
	return next[model]
}

// tally makes or finds the metrics of a model, all of which are there from then on.
func (m *metrics) tally(model string) *tally {
	return &tally{
		drops:    countersOf(m.drops, model, AcceptedNew, AcceptedJoined, AcceptedAnswered, acceptedNot),
		jobs:     countersOf(m.jobs, model, Queued, Reserved, Uploaded, Judged, Failed),
		verdicts: countersOf(m.verdicts, model, Fake, Real, Inconclusive),
		failures: countersOf(m.failures, model, Rejected, AnalysisFailed, Timeout, Unreadable, Changed, TooLarge, Crash),
		answer:   m.answer.WithLabelValues(model), processing: m.processing.WithLabelValues(model), lag: m.lag.WithLabelValues(model),
	}
}

// refusals are the metrics of files that no job was made of.
func (m *metrics) refusals() *tally {
	return &tally{
		drops:    countersOf(m.drops, noModel, acceptedNot),
		failures: countersOf(m.failures, noModel, Unsupported, Unreadable, Changed, TooLarge, Crash, Invalid),
	}
}

func countersOf[L ~string](of *prometheus.CounterVec, model string, labels ...L) counters[L] {
	c := counters[L]{of: map[L]prometheus.Counter{}, other: func() prometheus.Counter { return of.WithLabelValues(model, other) }}
	for _, l := range labels {
		c.of[l] = of.WithLabelValues(model, string(l))
	}
	return c
}

// accepted counts a drop.
func (m *metrics) accepted(model Model, a Acceptance) { m.of(model).drops.count(a) }

// reached counts a job that this process has brought into another state.
func (m *metrics) reached(j Job) {
	t := m.of(j.Model)
	t.jobs.count(j.State)
	if j.State == Judged {
		t.processing.Observe(between(later(j.UploadedAt, j.ResumedAt), j.EndedAt))
	}
}

// answered counts an ended job's answer to a drop.
func (m *metrics) answered(j Job) {
	if t := m.of(j.Model); j.State == Judged {
		t.verdicts.count(j.Judgement.Outcome)
	} else {
		t.failures.count(j.Fault.Reason)
	}
}

// waited measures how long a drop had to wait for its answer.
func (m *metrics) waited(model Model, d Drop) {
	m.of(model).answer.Observe(between(d.QueuedAt, time.Now()))
}

// refused counts a drop that no job was made of.
func (m *metrics) refused(r Reason) {
	t := m.of("")
	t.drops.count(acceptedNot)
	t.failures.count(r)
}

// concluded measures the time since a result was not there.
func (m *metrics) concluded(model Model, notYet time.Time) {
	m.of(model).lag.Observe(between(notYet, time.Now()))
}

// between is the time from one moment to another, in seconds: never negative, whatever the clocks of those who noted them say.
func between(from, to time.Time) float64 { return max(0, to.Sub(from).Seconds()) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
