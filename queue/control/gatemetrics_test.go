package control

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// read are the values of all series of a collector, by their labels: "gate_closed uploads quota".
func read(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()[len("authenta_ingest_"):]
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			found[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return found
}

func TestMetricsTellWhatGatesAreClosedForAndForHowLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, one := gates(1)
		_, other := gates(1)
		uploads, polls := one[0], other[0]
		uploads.name, polls.name = "uploads", "polls"
		c := gateCollector{uploads: uploads, polls: polls}
		want := func(when string, closed map[string]float64) {
			t.Helper()
			got := read(t, c)
			if n := 2*8 + 1 + 2; len(got) != n { // reasons of both gates, polls, seconds
				t.Errorf("%s: %d series, want %d", when, len(got), n)
			}
			maps.DeleteFunc(got, func(_ string, v float64) bool { return v == 0 })
			if !maps.Equal(got, closed) {
				t.Errorf("%s: %v, want %v", when, got, closed)
			}
		}
		want("at first", map[string]float64{})
		refuse(t, uploads, admit(t, uploads, Create), Create, Quota)
		elapse(30 * time.Second)
		want("without quota", map[string]float64{"gate_closed uploads quota": 1, "gate_closed_seconds_total uploads": 30})
		must(t, uploads.Pause(t.Context(), "night", 0))
		elapse(10 * time.Second)
		want("held besides", map[string]float64{"gate_closed uploads quota": 1, "gate_closed uploads hand": 1, "gate_closed_seconds_total uploads": 40})
		must(t, uploads.Resume(t.Context()))
		elapse(time.Hour)
		want("open", map[string]float64{"gate_closed_seconds_total uploads": 40})
		refuse(t, polls, admit(t, polls, Query), Query, Quota)
		elapse(5 * time.Second)
		want("no results to be had", map[string]float64{
			"gate_closed polls quota": 1, "gate_closed uploads polls": 1, "gate_closed_seconds_total uploads": 40, "gate_closed_seconds_total polls": 5,
		})
	})
}
