package worker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// ended keeps the spans of the traces of one test, of all that the process ends. Nothing else does in this package.
type ended struct {
	sdk.SpanProcessor
	mark string // their trace ids begin with it

	mu    sync.Mutex
	spans []sdk.ReadOnlySpan
}

func (e *ended) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (e *ended) Shutdown(context.Context) error             { return nil }
func (e *ended) ForceFlush(context.Context) error           { return nil }

func (e *ended) OnEnd(s sdk.ReadOnlySpan) {
	if strings.HasPrefix(s.SpanContext().TraceID().String(), e.mark) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.spans = append(e.spans, s)
	}
}

func (e *ended) named(name string) (found []sdk.ReadOnlySpan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.spans {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

// said is all that spans tell others.
func (e *ended) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, s := range e.spans {
		fmt.Fprintln(&b, s.Name(), s.Status(), s.Attributes(), s.Events())
	}
	return b.String()
}

func TestThereIsASpanForEachCallAndNoneHasAnAddress(t *testing.T) {
	t.Parallel()
	e := &ended{mark: "abababababababab"} // others are random
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(e))
	otel.SetTracerProvider(provider)
	const files = 60
	r := newRig(t, crowded, options(func(o *Options) { o.Uploads, o.FirstPoll = 32, time.Second }))
	r.Faults(once(sandbox.OpPut, sandbox.SlowDown), once(sandbox.OpCreate, sandbox.CutAfter))
	for i := range files {
		path := write(t, filepath.Join(r.dir, fmt.Sprintf("%d.jpg", i)), fmt.Sprint("content ", i))
		f := queue.Submission{Drop: dropOf(t, path), Digest: digestOf(fmt.Sprint("content ", i)), ContentType: "image/jpeg", Model: "AC-1"}
		f.Size = f.Drop.File.Size
		f.Drop.ID = queue.DropIDOf(f.Drop.URI, f.Drop.File, f.Digest, f.Model)
		f.Drop.Trace = queue.Trace{Parent: fmt.Sprintf("00-%s%016x-%016x-01", e.mark, i+1, i+1)}
		_, err := r.queue.Submit(deadline(t), f)
		must(t, err)
	}
	r.run()
	r.await("all are judged", func() bool { return r.answered() == files })
	r.wantIdle()
	l := r.Ledger()
	for name, calls := range map[string]int{"create": l.Total(sandbox.OpCreate), "put": l.Total(sandbox.OpPut), "list": l.Total(sandbox.OpList)} {
		if got := len(e.named(name)); got != calls {
			t.Errorf("%d spans for %d calls of %s", got, calls, name)
		}
	}
	if got := len(e.named("poll")) + len(e.named("look")); got != l.Total(sandbox.OpGet) || len(e.named("poll")) < files {
		t.Errorf("%d spans for %d calls for a record", got, l.Total(sandbox.OpGet))
	}
	if n := len(e.named("verdict")); n != files {
		t.Errorf("%d spans of verdicts", n)
	}
	links, failed := 0, map[string]int{}
	for _, s := range e.named("list") {
		links = max(links, len(s.Links()))
	}
	for _, name := range []string{"create", "put"} {
		for _, s := range e.named(name) {
			if s.Status().Code == codes.Error {
				failed[name]++
			}
		}
	}
	if links < 2 || failed["create"] != 1 || failed["put"] != 1 {
		t.Errorf("a page of the list is linked to %d traces, and these calls failed: %v", links, failed)
	}
	if said := e.said(); strings.Contains(said, "http") && strings.Contains(said, "://") || strings.Contains(said, "X-Amz") || strings.Contains(said, "sandbox-secret") {
		t.Errorf("a span has an address:\n%s", said)
	}

	// A cause as net/http makes it would have one.
	cause := &url.Error{Op: "Put", URL: "https://storage.example/a?X-Amz-Signature=71c3", Err: errors.New("broken pipe")}
	for _, err := range []error{&authenta.Error{Op: authenta.OpUpload, Kind: authenta.KindUnavailable, Err: cause}, cause} {
		within := queue.Trace{Parent: "00-" + e.mark + "00000000000000ff-0000000000000001-01"}.Continue(t.Context())
		_, span := calling(within, "put")
		called(span, err)
	}
	if said := e.said(); strings.Contains(said, "71c3") || !strings.Contains(said, "upload media") {
		t.Errorf("a span tells of a cause:\n%s", said)
	}
}
