package queue_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authenta/authenta-ingest/queue"
)

// measured has a queue count what it does.
func measured(r prometheus.Registerer, models ...queue.Model) func(*queue.Options) {
	return func(o *queue.Options) { o.Metrics, o.Models = r, models }
}

// counts are the counters that have counted something, and how often histograms have measured something: "jobs_total DF-1 queued".
func counts(t testing.TB, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), queue.MetricNamespace+"_")
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

// wantCounts waits until exactly that was counted.
func wantCounts(t testing.TB, from prometheus.Gatherer, want map[string]float64) {
	t.Helper()
	if !becomes(patience/4, func() bool { return maps.Equal(counts(t, from), want) }) {
		t.Errorf("counted %v,\nwant    %v", counts(t, from), want)
	}
}

func TestWhatComesAgainIsCountedOnce(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	s := newStore(t, measured(r, "DF-1"))
	a, b, c := submission("a", "/in/a.mp4"), submission("a", "/in/b.mp4"), submission("a", "/in/c.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	for range 2 {
		submit(t, s.Queue, a, queue.AcceptedJoined)
		submit(t, s.Queue, b, queue.AcceptedJoined)
	}
	judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs([]queue.Submission{a, b}), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	for range 2 {
		submit(t, s.Queue, a, queue.AcceptedAnswered)
		submit(t, s.Queue, c, queue.AcceptedAnswered)
		if _, err := s.Refuse(deadline(t), drop("d"), "text/plain", queue.Fault{Reason: queue.Unsupported}); err != nil {
			t.Fatal(err)
		}
		if err := queue.Enqueue(s.Queue, deadline(t), queue.Await, keyOf(a)); err != nil { // it is handed out again
			t.Fatal(err)
		}
		wantDepths(t, s.Queue, queue.Depths{})
	}
	wantCounts(t, r, map[string]float64{
		"drops_total DF-1 queued": 1, "drops_total DF-1 joined": 1, "drops_total DF-1 answered": 1, "drops_total none refused": 1,
		"jobs_total DF-1 queued": 1, "jobs_total DF-1 reserved": 1, "jobs_total DF-1 uploaded": 1, "jobs_total DF-1 judged": 1,
		"verdicts_total DF-1 fake": 3, "failures_total none unsupported": 1,
		"answer_seconds DF-1": 2, "processing_seconds DF-1": 1,
	})
}

// The broker knows ids for two minutes. Long after that, the failure of a job that is retried is published once more.
func TestAFailureThatIsPublishedAgainForARetryIsCountedOnce(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	s := newStore(t, measured(r, "DF-1"))
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	up := working(t, s.Queue, queue.Upload, uploaded)
	stop := rejectAll(t, s.Queue, queue.Await, queue.Timeout)
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure timeout")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	up()
	forgetIDs(t, s.Queue, "authenta-failures")
	if _, err := s.Retry(deadline(t), keyOf(a), false); err != nil {
		t.Fatal(err)
	}
	twice := 0
	for _, m := range terminals(t, s.Queue) {
		if m.id == a.Drop.ID {
			twice++
		}
	}
	if twice != 2 {
		t.Fatalf("the failure is on the stream %d times: the test shows nothing", twice)
	}
	judgeAll(t, s.Queue)
	wantCounts(t, r, map[string]float64{
		"drops_total DF-1 queued": 1, "jobs_total DF-1 queued": 1, "jobs_total DF-1 reserved": 1, "jobs_total DF-1 failed": 1, "jobs_total DF-1 judged": 1,
		"jobs_total DF-1 uploaded": 2, "failures_total DF-1 timeout": 1, "verdicts_total DF-1 fake": 1,
		"answer_seconds DF-1": 2, "processing_seconds DF-1": 1,
	})
}

// forgetIDs has a stream know ids for a moment only, and returns when it has forgotten those that it knew.
func forgetIDs(t *testing.T, q *queue.Queue, stream string) {
	t.Helper()
	s, err := queue.JetStreamOf(q).Stream(deadline(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.Duplicates = 100 * time.Millisecond
	if _, err := queue.JetStreamOf(q).UpdateStream(deadline(t), config); err != nil {
		t.Fatal(err)
	}
	probe := &nats.Msg{Subject: strings.ReplaceAll(config.Subjects[0], ">", "none.probe"), Header: nats.Header{jetstream.MsgIDHeader: {"probe"}}}
	sent := 0
	await(t, "ids are forgotten", func() bool {
		ack, err := queue.JetStreamOf(q).PublishMsg(deadline(t), probe)
		if err != nil {
			t.Fatal(err)
		}
		sent++
		return sent > 1 && !ack.Duplicate
	})
}

func TestAVerdictWhosePublicationWasNotAnsweredIsCountedOnce(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	line := newLine(t, e)
	direct := openQueue(t, dial(t, e.url("")))
	r := prometheus.NewRegistry()
	var tries atomic.Int32
	q := openQueue(t, dial(t, "nats://"+line.address), measured(r, "DF-1"), step(func(point string) {
		if strings.HasPrefix(point, "before verdicts.") && tries.Add(1) == 1 {
			line.mute.Store(true)
		}
	}))
	a := submission("a", "/in/a.mp4")
	submit(t, q, a, queue.AcceptedNew)
	judgeAll(t, q)
	await(t, "the broker has the verdict", func() bool { return verdicts(t, direct) == 1 })
	line.mute.Store(false)
	wantCounts(t, r, map[string]float64{
		"drops_total DF-1 queued": 1, "jobs_total DF-1 queued": 1, "jobs_total DF-1 reserved": 1, "jobs_total DF-1 uploaded": 1, "jobs_total DF-1 judged": 1,
		"verdicts_total DF-1 fake": 1, "answer_seconds DF-1": 1, "processing_seconds DF-1": 1,
	})
	if n := tries.Load(); n < 2 {
		t.Errorf("the verdict was published %d times: its answer was not lost", n)
	}
}

// A line leads to a server, and may lose all that this one says.
type line struct {
	address string
	mute    atomic.Bool
}

func newLine(t *testing.T, e *external) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	line := &line{address: l.Addr().String()}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", e.options.Port))
			if err != nil {
				near.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(far, near)
				far.Close()
			}()
			go func() {
				_, _ = io.Copy(deafened{line, near}, far)
				near.Close()
			}()
		}
	}()
	return line
}

// deafened writes what is not lost.
type deafened struct {
	line *line
	to   io.Writer
}

func (d deafened) Write(b []byte) (int, error) {
	if d.line.mute.Load() {
		return len(b), nil
	}
	return d.to.Write(b)
}

// Models come with messages and from earlier settings; those of the settings have their own series however many there were before.
func TestTheModelsOfMetricsAreBounded(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	s := newStore(t, measured(r, "DF-1", "AC-1"))
	want := map[string]float64{}
	submitAs := func(m queue.Model, series string) {
		sub := submission("a", "/in/"+string(m))
		sub.Model = m
		submit(t, s.Queue, sub, queue.AcceptedNew)
		want["drops_total "+series+" queued"]++
		want["jobs_total "+series+" queued"]++
	}
	for n := range 20 {
		m := fmt.Sprintf("XX-%d", n)
		if n < 16 {
			submitAs(queue.Model(m), m)
		} else {
			submitAs(queue.Model(m), "other")
		}
	}
	submitAs("AC-1", "AC-1")
	wantCounts(t, r, want)
}

func TestEverySeriesOfASettingsModelIsThereFromTheStart(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	newStore(t, measured(r, "DF-1"))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		series[strings.TrimPrefix(f.GetName(), "authenta_ingest_")] = len(f.GetMetric())
	}
	want := map[string]int{
		"drops_total": 4 + 1, "jobs_total": 5, "verdicts_total": 3, "failures_total": 7 + 6, // of files that no model takes, too
		"answer_seconds": 1, "processing_seconds": 1, "verdict_lag_seconds": 1,
	}
	if !maps.Equal(series, want) {
		t.Errorf("series %v, want %v", series, want)
	}
}

func TestTheLagOfAVerdictIsCountedFromWhenThereWasNone(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]struct {
		settlement  func(uploaded time.Time) queue.Settlement
		measured    float64
		least, most float64
	}{
		"it was said": {func(up time.Time) queue.Settlement {
			return queue.Conclude(judgement()).After(up.Add(-30 * time.Second))
		}, 1, 30, 60},
		"nobody knows":  {func(time.Time) queue.Settlement { return queue.Conclude(judgement()) }, 0, 0, 0},
		"clocks differ": {func(up time.Time) queue.Settlement { return queue.Conclude(judgement()).After(up.Add(time.Hour)) }, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := prometheus.NewRegistry()
			s := newStore(t, measured(r, "DF-1"))
			a := submission("a", "/in/a.mp4")
			submit(t, s.Queue, a, queue.AcceptedNew)
			working(t, s.Queue, queue.Upload, uploaded)
			working(t, s.Queue, queue.Await, func(_ context.Context, task *queue.Task) queue.Settlement { return at.settlement(task.UploadedAt) })
			await(t, "the verdict is counted", func() bool { return counts(t, r)["answer_seconds DF-1"] == 1 })
			await(t, "the lag is measured, if it is known", func() bool { return counts(t, r)["verdict_lag_seconds DF-1"] == at.measured })
			families, err := r.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() != "authenta_ingest_verdict_lag_seconds" {
					continue
				}
				if lag := f.GetMetric()[0].GetHistogram().GetSampleSum(); lag < at.least || lag > at.most {
					t.Errorf("%v seconds, want %v to %v", lag, at.least, at.most)
				}
			}
		})
	}
}
