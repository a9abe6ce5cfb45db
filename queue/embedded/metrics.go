package embedded

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/authenta/authenta-ingest/queue"
)

var diskFree = prometheus.NewDesc(
	prometheus.BuildFQName(queue.MetricNamespace, "", "disk_free_bytes"),
	"Room that is left on the disk of the embedded store (INGEST_STATE_DIR). Below 512 MiB, or a tenth of a small disk, no files are "+
		"taken in: make room in time.",
	nil, nil,
)

// DiskFree measures the room on the disk of a state folder, also before a server runs there. If that cannot be asked, it tells
// nothing.
func DiskFree(dir string) prometheus.Collector { return diskCollector{dir} }

type diskCollector struct{ dir string }

func (diskCollector) Describe(to chan<- *prometheus.Desc) { to <- diskFree }

func (c diskCollector) Collect(to chan<- prometheus.Metric) {
	if free, _, err := space(c.dir); err == nil {
		to <- prometheus.MustNewConstMetric(diskFree, prometheus.GaugeValue, float64(free))
	}
}

// export has a server's state told.
func (s *Server) export(r prometheus.Registerer) {
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: queue.MetricNamespace, Name: "store_broken",
		Help: "1 while the embedded store takes no writes, after a full or a failing disk; work waits. It is mended by itself once it " +
			"can be: if there is room on the disk, the log says what is wrong with it.",
	}, func() float64 {
		if s.Broken() {
			return 1
		}
		return 0
	})
}

// Broken reports whether the store took no writes when Run last looked.
func (s *Server) Broken() bool { return s.broken.Load() }
