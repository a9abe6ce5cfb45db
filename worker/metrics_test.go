package worker

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authenta/authenta-ingest/authenta"
)

func TestEveryKindOfErrorHasItsNameInMetrics(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	count := Calls(r)
	names := map[string]float64{}
	for k := authenta.Kind(1); !strings.HasPrefix(k.String(), "Kind("); k++ {
		count(authenta.Call{Op: authenta.OpGet, Err: &authenta.Error{Kind: k}, Took: time.Second})
		names["api_calls_total "+strings.ReplaceAll(strings.ToLower(k.String()), " ", "_")+" get"] = 1
	}
	if len(names) < 10 {
		t.Fatalf("%d kinds", len(names))
	}
	names["api_call_seconds get"] = float64(len(names))
	if got := counted(t, r); !maps.Equal(got, names) {
		t.Errorf("counted %v, want %v", got, names)
	}
}

func TestAnUploadThatStorageTookIsMeasured(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	count := Calls(r)
	count(authenta.Call{Op: authenta.OpUpload, Took: time.Second, Sent: 1000})
	count(authenta.Call{Op: authenta.OpUpload, Took: time.Second, Err: &authenta.Error{Kind: authenta.KindUnavailable}})
	count(authenta.Call{Op: authenta.OpDelete, Took: time.Second}) // no worker does this
	want := map[string]float64{
		"api_calls_total ok upload": 1, "api_calls_total unavailable upload": 1, "api_call_seconds upload": 2, "upload_seconds": 1, "uploaded_bytes_total": 1000,
	}
	if got := counted(t, r); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// counted are the counters that have counted something, and how often histograms have measured something.
func counted(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "authenta_ingest_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if n := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()); n > 0 {
				found[name] = n
			}
		}
	}
	return found
}

func TestThereWasNoResultWhenThatWasLastSaidOrElseWhenItCouldFirstBeMade(t *testing.T) {
	t.Parallel()
	since := time.Now()
	asked := since.Add(time.Minute)
	if got := (medium{life: life{since: since}, due: asked}).empty(); !got.Equal(since) {
		t.Errorf("%s, and nobody has asked since %s", got, since)
	}
	if got := (medium{life: life{since: since}}).empty(); !got.IsZero() {
		t.Errorf("%s, and this worker knows nothing of it", got)
	}
	if got := (medium{life: life{since: since}, told: asked}).empty(); !got.Equal(asked) {
		t.Errorf("%s, and it was said at %s", got, asked)
	}
}
