package media

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authenta/authenta-ingest/queue"
)

// Hashing measures how long it takes to read and hash media. It is safe for concurrent use.
type Hashing struct {
	seconds prometheus.Histogram
	bytes   prometheus.Counter
}

// NewHashing returns the measure of a registerer, which all who take media in for it share; nil: one that is exported nowhere.
func NewHashing(r prometheus.Registerer) *Hashing {
	return &Hashing{
		seconds: shared(r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: queue.MetricNamespace, Name: "hash_seconds",
			Help: "How long it took to read and hash a file, or what a message brought. Far more than its size and the disk explain: the " +
				"disk or the network share is overloaded.",
			Buckets: []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300},
		})),
		bytes: shared(r, prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: queue.MetricNamespace, Name: "hashed_bytes_total",
			Help: "Bytes that were read and hashed to tell files from one another. Over hash_seconds_sum it is the speed of reading.",
		})),
	}
}

// Done notes that so many bytes were read and hashed.
func (h *Hashing) Done(size int64, took time.Duration) {
	h.seconds.Observe(took.Seconds())
	h.bytes.Add(float64(size))
}

// shared registers a collector, or returns the one of its name that is registered.
func shared[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return there.ExistingCollector.(C)
	}
	if err != nil { // two metrics of one name and different kinds
		panic(err)
	}
	return c
}
