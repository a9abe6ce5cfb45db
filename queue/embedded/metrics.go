package embedded

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authenta/authenta-ingest/queue"
)

var diskFree = prometheus.NewDesc(
	prometheus.BuildFQName(queue.MetricNamespace, "", "disk_free_bytes"),
	"Room that is left on the disk of the embedded store (INGEST_STATE_DIR). Below 512 MiB, or a tenth of a small disk, no files are taken in: make room in time.",
	nil, nil,
)

// A diskCollector tells of the store's disk. If that cannot be asked, it tells nothing.
type diskCollector struct{ *disk }

func (diskCollector) Describe(to chan<- *prometheus.Desc) { to <- diskFree }

func (c diskCollector) Collect(to chan<- prometheus.Metric) {
	if free, _, err := c.space(); err == nil {
		to <- prometheus.MustNewConstMetric(diskFree, prometheus.GaugeValue, float64(free))
	}
}
