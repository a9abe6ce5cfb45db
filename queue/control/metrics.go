package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authenta/authenta-ingest/queue"
)

// Reasons, in metrics, for which a gate is shut that no answer has closed.
const (
	byHand  Why = "hand"  // a person has closed it
	byPolls Why = "polls" // uploads: results could not be fetched, and what cannot be fetched is not paid for
)

// answers are all that a gate may be closed for by an answer or a count.
var answers = []Why{Quota, Credits, Unauthenticated, Forbidden, Throttled, Outage, Spent}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(queue.MetricNamespace, "", name), help, labels, nil)
}

var (
	gateClosed = describe("gate_closed",
		"1 while uploads or polls are paused for a reason, else 0; it may be for several. quota, credits, unauthenticated and forbidden: "+
			"somebody has to see to the account; hand: to resume; spent: to raise AUTHENTA_MUTATION_QUOTA or AUTHENTA_QUERY_QUOTA, or "+
			"'resume --renewed'. throttled and outage end by themselves. polls: uploads wait for the gate of the polls.",
		"gate", "why")
	gateClosedSeconds = describe("gate_closed_seconds_total",
		"Seconds for which this process has seen a gate closed; uploads that wait for the gate of the polls do not count. Its rate is the "+
			"share of the time.", "gate")
)

// A gateCollector tells of the gates, as this process knows them.
type gateCollector struct{ uploads, polls *Gate }

func (gateCollector) Describe(to chan<- *prometheus.Desc) {
	to <- gateClosed
	to <- gateClosedSeconds
}

func (c gateCollector) Collect(to chan<- prometheus.Metric) {
	polls := c.polls.State()
	to <- gauge(gateClosed, truth(polls.NeedsSomebody()), c.uploads.name, string(byPolls))
	for _, g := range []*Gate{c.uploads, c.polls} {
		s, closed := g.seen()
		to <- gauge(gateClosed, truth(s.Hold != nil), g.name, string(byHand))
		for _, why := range answers {
			to <- gauge(gateClosed, truth(s.Why == why), g.name, string(why))
		}
		to <- prometheus.MustNewConstMetric(gateClosedSeconds, prometheus.CounterValue, closed.Seconds(), g.name)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
