package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// A collector takes the spans of programs, as OpenTelemetry's does.
type collector struct {
	t *testing.T
	collectorpb.UnimplementedTraceServiceServer

	mu        sync.Mutex
	spans     []*tracepb.Span
	resources map[string]string // the attributes of whoever has sent spans
	keys      map[string]bool   // the authorizations that came
	raw       bytes.Buffer      // all that came
}

// collector has the programs of the world send their spans to it at once.
func (w *world) collector() *collector {
	w.t.Helper()
	c := &collector{t: w.t, resources: map[string]string{}, keys: map[string]bool{}}
	server := httptest.NewServer(c)
	w.t.Cleanup(server.Close)
	w.traceTo(server.URL)
	return c
}

const collectorKey = "not-for-the-log-8e27"

func (w *world) traceTo(address string) {
	w.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
	w.env["OTEL_EXPORTER_OTLP_HEADERS"] = "authorization=Bearer%20" + collectorKey
	w.env["OTEL_BSP_SCHEDULE_DELAY"] = "50"
}

func (c *collector) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	var request collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(rw, fmt.Sprint(r.URL.Path, err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.keys[r.Header.Get("Authorization")] = true
	c.raw.Write(body)
	c.mu.Unlock()
	_, _ = c.Export(r.Context(), &request)
	rw.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) Export(_ context.Context, r *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, from := range r.ResourceSpans {
		for _, a := range from.Resource.Attributes {
			c.resources[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range from.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// of are the spans of a trace, by their names, in the order of their beginnings.
func (c *collector) of(traceID string) map[string][]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string][]*tracepb.Span{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == traceID {
			found[s.Name] = append(found[s.Name], s)
		}
	}
	for _, same := range found {
		slices.SortFunc(same, func(a, b *tracepb.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	}
	return found
}

// named are the spans of a name.
func (c *collector) named(name string) (found []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func attributes(s *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[a.Key] = strings.Trim(fmt.Sprint(a.Value.Value), "&{}")
		if v := a.Value.GetStringValue(); v != "" {
			all[a.Key] = v
		}
	}
	return all
}

// wantParent says which of the spans of a name have another parent.
func wantParent(t *testing.T, spans map[string][]*tracepb.Span, parent string, names ...string) {
	t.Helper()
	for _, name := range names {
		if len(spans[name]) == 0 {
			t.Errorf("no span %q among %v", name, slices.Sorted(maps.Keys(spans)))
		}
		for _, s := range spans[name] {
			if hex.EncodeToString(s.ParentSpanId) != parent {
				t.Errorf("the parent of %q is %x, want %s", name, s.ParentSpanId, parent)
			}
		}
	}
}

// TestATraceGoesFromThePublisherToTheVerdict has a program that traces itself hand media in.
func TestATraceGoesFromThePublisherToTheVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: 1500 * time.Millisecond})
	p := w.publisher()
	c := w.collector()
	w.env["OTEL_RESOURCE_ATTRIBUTES"] = "deployment.environment=test"
	d := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "the daemon takes in what comes", func() bool { return p.untaken() >= 0 })

	first := p.publish(picture(0), nats.Header{"traceparent": {aParent}, "tracestate": {aState}, "Name": {"a.jpg"}})
	eventually(t, time.Minute, "it is uploaded", func() bool { return w.platform.Ledger().PutsCompleted == 1 })
	const joinedTrace, unsampled = "11111111111111111111111111111111", "22222222222222222222222222222222"
	joined := p.publish(picture(0), nats.Header{"Traceparent": {"00-" + joinedTrace + "-1111111111111111-01"}})
	unseen := p.publish(picture(1), nats.Header{"traceparent": {"00-" + unsampled + "-2222222222222222-00"}})
	w.write("caf\xe9.jpg", picture(2)) // no UTF-8
	refused := p.publish([]byte("no media"), nats.Header{"traceparent": {"00-33333333333333333333333333333333-3333333333333333-01"}})
	eventually(t, finishTime, "all are judged", func() bool { return d.judged() == 4 })
	d.terminate()

	_, rest, _ := strings.Cut(aParent, "-")
	trace, published, _ := strings.Cut(rest, "-")
	published = strings.TrimSuffix(published, "-01")
	answered := p.answeredIn()
	spans := c.of(trace)
	wantParent(t, spans, published, "receive")
	received := hex.EncodeToString(spans["receive"][0].SpanId)
	wantParent(t, spans, received, "upload", "poll", "verdict")
	wantParent(t, spans, hex.EncodeToString(spans["upload"][0].SpanId), "create", "put")
	verdict := spans["verdict"][0]
	if want := (queue.Trace{Parent: fmt.Sprintf("00-%s-%x-01", trace, verdict.SpanId), State: aState}); answered[first] != want {
		t.Errorf("the verdict has the trace %+v, want %+v", answered[first], want)
	}
	for name, n := range map[string]int{"receive": 1, "upload": 1, "create": 1, "put": 1, "verdict": 1} {
		if len(spans[name]) != n {
			t.Errorf("%d spans %q", len(spans[name]), name)
		}
	}
	a := attributes(verdict)
	for key, want := range map[string]string{
		"authenta.drop.id": string(first), "authenta.model": "AC-1", "file.name": "a.jpg", "authenta.content_type": "image/jpeg",
		"messaging.system": "nats", "messaging.message.id": string(first), "messaging.destination.name": "authenta.verdicts.AC-1." + a["authenta.outcome"],
	} {
		if a[key] != want {
			t.Errorf("the verdict's span has %s=%s, want %s", key, a[key], want)
		}
	}
	if verdict.Kind != tracepb.Span_SPAN_KIND_PRODUCER || spans["receive"][0].Kind != tracepb.Span_SPAN_KIND_CONSUMER || a["authenta.media.id"] == "" {
		t.Errorf("the verdict's span is %v", verdict)
	}
	if got := attributes(spans["upload"][0]); got["authenta.settlement"] != "hand over" || got["authenta.media.id"] != a["authenta.media.id"] {
		t.Errorf("the upload has %v", got)
	}
	last := spans["poll"][len(spans["poll"])-1]
	if attributes(last)["authenta.media.status"] != "PROCESSED" {
		t.Errorf("the last poll has %v", attributes(last))
	}

	// The copy has its own trace, to which the work that is for both is linked.
	copied := c.of(joinedTrace)
	wantParent(t, copied, "1111111111111111", "receive")
	wantParent(t, copied, hex.EncodeToString(copied["receive"][0].SpanId), "verdict")
	if !strings.HasPrefix(answered[joined].Parent, "00-"+joinedTrace) || len(copied["upload"])+len(copied["put"]) != 0 {
		t.Errorf("it was answered in %+v, and has the spans %v", answered[joined], copied)
	}
	if !slices.ContainsFunc(last.Links, func(l *tracepb.Span_Link) bool { return hex.EncodeToString(l.TraceId) == joinedTrace }) {
		t.Errorf("the poll for both is linked to %v", last.Links)
	}

	if n := len(c.of(unsampled)); n != 0 || !strings.HasPrefix(answered[unseen].Parent, "00-"+unsampled) || !strings.HasSuffix(answered[unseen].Parent, "-00") {
		t.Errorf("of what its publisher does not sample there are %d spans, and the answer %+v", n, answered[unseen])
	}
	if failures := c.of("33333333333333333333333333333333"); len(failures["failure"]) != 1 || attributes(failures["failure"][0])["authenta.reason"] != "invalid" ||
		!strings.HasPrefix(answered[refused].Parent, "00-3333") {
		t.Errorf("of what is refused there are %v, and the answer %+v", failures, answered[refused])
	}
	taken := c.named("take in")
	if len(taken) != 1 || len(c.of(hex.EncodeToString(taken[0].TraceId))["verdict"]) != 1 || len(taken[0].ParentSpanId) != 0 || attributes(taken[0])["file.name"] != "caf\uFFFD.jpg" {
		t.Fatalf("a file in a folder has the spans %v", taken)
	}
	if took := time.Duration(taken[0].EndTimeUnixNano - taken[0].StartTimeUnixNano); took < 50*time.Millisecond {
		t.Errorf("its settling is no part of its trace, which began %s before it was taken in", took)
	}
	c.wantNoSecrets(d, w)
	if c.resources["service.name"] != "authenta-ingest" || c.resources["deployment.environment"] != "test" || !c.keys["Bearer "+collectorKey] {
		t.Errorf("the spans came from %v with the keys %v", c.resources, c.keys)
	}
}

// wantNoSecrets looks for what belongs neither into spans nor into the log.
func (c *collector) wantNoSecrets(p *program, w *world) {
	c.t.Helper()
	sent := c.raw.String()
	if sent == "" {
		c.t.Error("nothing was sent")
	}
	for _, secret := range []string{w.env["AUTHENTA_CLIENT_SECRET"], collectorKey, "X-Amz", "Signature", "signature"} {
		if strings.Contains(sent, secret) {
			c.t.Errorf("the spans have %q", secret)
		}
	}
	if strings.Contains(p.stderr.String(), collectorKey) {
		c.t.Error("the collector's key was logged")
	}
}

// TestADaemonThatIsKilledAfterTheUploadIsFollowedInTheSameTrace relies on the ledger: the first daemon may take its spans along.
func TestADaemonThatIsKilledAfterTheUploadIsFollowedInTheSameTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	p := w.publisher()
	c := w.collector()
	if code := w.start(nil, "run", "--once").wait(finishTime); code != exitDone {
		t.Fatalf("the subject is not captured: it ended with %d", code)
	}
	id := p.publish(picture(0), nats.Header{"traceparent": {aParent}})
	if code := w.start(map[string]string{crashAt: "after jobs.await#1"}, "run").wait(finishTime); code != -1 {
		t.Fatalf("was not killed there, but ended with %d", code)
	}
	trace := aParent[3 : 3+32]
	if n := len(c.of(trace)["verdict"]); n != 0 || w.platform.Ledger().PutsCompleted != 1 {
		t.Fatalf("it was not killed between upload and verdict: %d verdicts", n)
	}
	if code := w.start(nil, "run", "--once").wait(finishTime); code != exitDone {
		t.Errorf("the second run ended with %d", code)
	}
	spans := c.of(trace)
	if len(spans["poll"]) == 0 || len(spans["verdict"]) != 1 {
		t.Fatalf("the second daemon has the spans %v", slices.Sorted(maps.Keys(spans)))
	}
	parent := hex.EncodeToString(spans["verdict"][0].ParentSpanId) // that of the first daemon's, in the ledger
	wantParent(t, spans, parent, "poll")
	for _, s := range spans["receive"] {
		if hex.EncodeToString(s.SpanId) != parent {
			t.Errorf("the message was received in %x, and its verdict goes on with %s", s.SpanId, parent)
		}
	}
	if parent == strings.Split(aParent, "-")[2] {
		t.Error("the ledger has the publisher's span, and not the one in which the message was received")
	}
	if got := p.answeredIn()[id].Parent; got != fmt.Sprintf("00-%s-%x-01", trace, spans["verdict"][0].SpanId) {
		t.Errorf("the verdict has the trace %s", got)
	}
}

func TestTracesAreSentByGRPC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	c := &collector{t: t, resources: map[string]string{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	w.traceTo("http://" + listener.Addr().String())
	w.env["OTEL_EXPORTER_OTLP_PROTOCOL"], w.env["OTEL_SERVICE_NAME"] = "grpc", "newsroom"
	w.write("a.jpg", picture(0))
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Errorf("it ended with %d", code)
	}
	if len(c.named("verdict")) != 1 || c.resources["service.name"] != "newsroom" {
		t.Errorf("%d verdicts, from %v", len(c.named("verdict")), c.resources)
	}
}

// TestNothingWaitsForACollector runs the daemon with none that takes spans, and with settings that make no sense.
func TestNothingWaitsForACollector(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct {
		answer http.HandlerFunc // nil: there is none
		env    map[string]string
		says   string
	}{
		"it is down": {says: "traces do not reach the collector"},
		"it hangs":   {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, says: "has not taken the last traces"},
		"it refuses": {answer: func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, r.Header.Get("Authorization"), http.StatusUnauthorized)
		}, says: "401"},
		"bad setting": {env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": collectorKey}, says: "OTEL_EXPORTER_OTLP_HEADERS=…: want"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Options{})
			w.traceTo(gone.URL)
			if c.answer != nil {
				server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // or its end is not noticed
					c.answer(rw, r)
				}))
				t.Cleanup(func() {
					server.CloseClientConnections()
					server.Close()
				})
				w.traceTo(server.URL)
			}
			maps.Copy(w.env, c.env)
			w.env["INGEST_DRAIN"] = "12s"
			p := w.start(nil, "run", "--json", w.inbox)
			for n := range 3 {
				w.write(fmt.Sprintf("%d.jpg", n), picture(n))
			}
			eventually(t, finishTime, "all are judged", func() bool { return p.judged() == 3 })
			began := time.Now()
			p.terminate()
			if took := time.Since(began); took > 12*time.Second {
				t.Errorf("it took %s to stop", took)
			}
			said := p.stderr.String()
			if n := strings.Count(said, "traces do not reach"); n > 1 || strings.Contains(said, collectorKey) || !strings.Contains(said, c.says) {
				t.Errorf("it complained %d times, and says\n%s", n, said)
			}
		})
	}
}
