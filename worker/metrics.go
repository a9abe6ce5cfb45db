package worker

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
)

// answeredOK is the answer, in metrics, of a call that was answered as it should be. Others have the names of errors' kinds.
const answeredOK = "ok"

// kinds are all that an error may be of.
var kinds = []authenta.Kind{
	authenta.KindQuota, authenta.KindThrottled, authenta.KindCredits, authenta.KindUnauthenticated, authenta.KindForbidden, authenta.KindNotFound,
	authenta.KindRejected, authenta.KindUnavailable, authenta.KindURLExpired, authenta.KindStorageRefused, authenta.KindFileChanged,
}

// ops are what a worker's client does, with their names in metrics.
var ops = map[authenta.Op]string{
	authenta.OpCreate: "create", authenta.OpGet: "get", authenta.OpList: "list", authenta.OpUpload: "upload",
}

// callMetrics count the calls of a client.
type callMetrics struct {
	uploaded prometheus.Counter
	upload   prometheus.Histogram
	ops      map[authenta.Op]opMetrics
}

// opMetrics are those of one kind of call, each looked up once.
type opMetrics struct {
	took    prometheus.Observer
	ok      prometheus.Counter
	answers map[authenta.Kind]prometheus.Counter
}

// Calls returns what counts the calls of a client, for [authenta.Options]; nil: they are exported nowhere.
func Calls(r prometheus.Registerer) func(authenta.Call) {
	factory := promauto.With(r)
	m := callMetrics{
		uploaded: factory.NewCounter(prometheus.CounterOpts{
			Namespace: queue.MetricNamespace, Name: "uploaded_bytes_total", Help: "Bytes of files that storage has taken.",
		}),
		upload: factory.NewHistogram(prometheus.HistogramOpts{
			Namespace: queue.MetricNamespace, Name: "upload_seconds",
			Help: "How long it took to send a file to storage, of those that it took. Growing with files of the same size: the line is " +
				"full, or INGEST_UPLOADS too high for it.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600},
		}),
		ops: map[authenta.Op]opMetrics{},
	}
	answers := factory.NewCounterVec(prometheus.CounterOpts{
		Namespace: queue.MetricNamespace, Name: "api_calls_total",
		Help: "Calls to the platform (create, get, list) and to storage (upload), by their answer: ok, or what went wrong. unavailable " +
			"counts outages, time-outs, server errors and calls that were broken off; if it goes on, look at the network and the " +
			"platform. quota, credits, unauthenticated and forbidden pause work: look at gate_closed.",
	}, []string{"call", "answer"})
	took := factory.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: queue.MetricNamespace, Name: "api_call_seconds",
		Help: "How long calls took, whatever their answer. The platform's are broken off after 30 s, those to storage when nothing moves " +
			"for that long.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	}, []string{"call"})
	for op, call := range ops {
		o := opMetrics{took: took.WithLabelValues(call), ok: answers.WithLabelValues(call, answeredOK), answers: map[authenta.Kind]prometheus.Counter{}}
		for _, k := range kinds {
			o.answers[k] = answers.WithLabelValues(call, strings.ReplaceAll(strings.ToLower(k.String()), " ", "_"))
		}
		m.ops[op] = o
	}
	return m.count
}

func (m callMetrics) count(c authenta.Call) {
	o, known := m.ops[c.Op]
	if !known { // a worker makes no others
		return
	}
	o.took.Observe(c.Took.Seconds())
	if c.Err != nil {
		if n, known := o.answers[c.Err.Kind]; known {
			n.Inc()
		}
		return
	}
	o.ok.Inc()
	if c.Op == authenta.OpUpload {
		m.uploaded.Add(float64(c.Sent))
		m.upload.Observe(c.Took.Seconds())
	}
}
