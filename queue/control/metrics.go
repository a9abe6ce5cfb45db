package control

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authenta/authenta-ingest/queue"
)

// byHand is the reason, in metrics, of a gate that a person has closed.
const byHand Why = "hand"

// reasons are all that a gate may be closed for.
var reasons = []Why{byHand, Quota, Credits, Unauthenticated, Forbidden, Throttled, Outage, Spent}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(queue.MetricNamespace, "", name), help, labels, nil)
}

var (
	gateClosed = describe("gate_closed",
		"1 while uploads or polls are paused for a reason, else 0; a gate may be closed for two. quota, credits, unauthenticated and forbidden wait for somebody "+
			"to see to the account, hand for 'resume', spent for a higher AUTHENTA_…_QUOTA or 'resume --renewed'; throttled and outage end by themselves.",
		"gate", "why")
	gateClosedSeconds = describe("gate_closed_seconds_total",
		"Seconds for which this process has seen a gate closed. Its rate is the share of the time in which no uploads, or polls, were made.", "gate")
)

// A gateCollector tells of a gate.
type gateCollector struct{ gates []*Gate }

func (gateCollector) Describe(to chan<- *prometheus.Desc) {
	to <- gateClosed
	to <- gateClosedSeconds
}

func (c gateCollector) Collect(to chan<- prometheus.Metric) {
	for _, g := range c.gates {
		s, closed := g.seen()
		for _, why := range reasons {
			to <- prometheus.MustNewConstMetric(gateClosed, prometheus.GaugeValue, truth(s.closedFor(why)), g.name, string(why))
		}
		to <- prometheus.MustNewConstMetric(gateClosedSeconds, prometheus.CounterValue, closed.Seconds(), g.name)
	}
}

// closedFor reports whether the gate is closed for a reason.
func (s State) closedFor(why Why) bool { return s.Why == why || why == byHand && s.Hold != nil }

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
