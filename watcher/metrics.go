package watcher

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/media"
)

// metrics are what a watcher tells of itself in numbers.
type metrics struct {
	settle  prometheus.Histogram
	hashing *media.Hashing
}

func newMetrics(r prometheus.Registerer) metrics {
	return metrics{
		settle: promauto.With(r).NewHistogram(prometheus.HistogramOpts{
			Namespace: queue.MetricNamespace, Name: "settle_seconds",
			Help: "How long a new file was waited for until nothing about it changed: no less than INGEST_SETTLE, unless it was there " +
				"before. Many minutes: something writes on and on.",
			Buckets: []float64{.1, 1, 2.5, 5.5, 7.5, 10, 20, 30, 60, 120, 300, 600, 1800},
		}),
		hashing: media.NewHashing(r),
	}
}

// settled notes how long a file was waited for.
func (m metrics) settled(after time.Duration) { m.settle.Observe(after.Seconds()) }

// The metrics of the watched folders, which are made of what [Watcher.Roots] tells.
var (
	rootModes = prometheus.NewDesc(
		prometheus.BuildFQName(queue.MetricNamespace, "", "watcher_root"),
		"1 for the way in which a watched folder is followed now, else 0: by events, by polling, or missing and waited for. Missing: "+
			"mount it, or make it again. Polling is right for network shares; elsewhere the log says what to raise.",
		[]string{"root", "mode"}, nil,
	)
	rootUnread = prometheus.NewDesc(
		prometheus.BuildFQName(queue.MetricNamespace, "", "watcher_root_unread"),
		"Files and folders in a watched folder that could not be looked at. Above 0: the log names them; mostly it is their permissions.",
		[]string{"root"}, nil,
	)
)

// A rootCollector tells of a watcher's folders.
type rootCollector struct{ *Watcher }

func (c rootCollector) Describe(to chan<- *prometheus.Desc) {
	to <- rootModes
	to <- rootUnread
}

func (c rootCollector) Collect(to chan<- prometheus.Metric) {
	for _, r := range c.Roots() {
		root := rootLabel(r.Path)
		for _, mode := range []Mode{ModeEvents, ModePolling, ModeMissing} {
			value := 0.0
			if r.Mode == mode {
				value = 1
			}
			to <- prometheus.MustNewConstMetric(rootModes, prometheus.GaugeValue, value, root, string(mode))
		}
		to <- prometheus.MustNewConstMetric(rootUnread, prometheus.GaugeValue, float64(r.Unread), root)
	}
}

// rootLabel is a folder's path as a label, which has to be UTF-8: what is none in it is escaped.
func rootLabel(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	return strings.Trim(strconv.Quote(path), `"`)
}
