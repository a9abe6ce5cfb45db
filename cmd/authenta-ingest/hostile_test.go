package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestTheBrokersAddressesAreThoseOfNATSURL(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]string{
		"":                                    nil,
		"127.0.0.1:4333":                      {"127.0.0.1:4333"},
		"[::]:4222":                           {"[::]:4222"},
		"nats://user:secret@a.test:1, b.test": {"a.test:1", "b.test:4222"},
		"tls://a.test,ws://b.test,wss://c.test:7": {"a.test:4222", "b.test:80", "c.test:7"},
	} {
		if got := natsAddresses(list); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", list, got, want)
		}
	}
}

// sendTo lets the platform create a record, and points its upload URL to another host.
func sendTo(host string) sandbox.Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		was := httptest.NewRecorder()
		next(was, r)
		_, _ = io.WriteString(w, strings.Replace(was.Body.String(), r.Host, host, 1))
	}
}

// flood answers 200 and never ends.
func flood(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
	page := []byte(strings.Repeat(`{"mid":"../../etc"},`, 1000))
	for err := error(nil); err == nil; {
		_, err = w.Write(page)
	}
}

func TestFilesWaitWhileThePlatformIsHostileAndAreJudgedWhenItIsSane(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault func(broker string) sandbox.Effect
		says  string
	}{
		"upload URLs lead to the broker": {sendTo, "nothing may be sent to 127.0.0.1:"},
		"upload URLs lead to the cloud's secrets": {
			func(string) sandbox.Effect { return sendTo("169.254.169.254") }, "169.254.169.254:80: that is a link-local address"},
		"answers never end": {func(string) sandbox.Effect { return flood }, "the answer is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const files = 3
			w := newWorld(t, sandbox.Options{Latency: time.Millisecond})
			w.listen()
			w.platform.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: tt.fault(w.env["INGEST_NATS_LISTEN"])})
			w.drop(0, files)
			p := w.start(nil, "run", "--json", w.inbox)
			eventually(t, time.Minute, "uploads are paused, and the log says why", func() bool {
				return slices.ContainsFunc(strings.Split(p.stderr.String(), "\n"), func(line string) bool {
					return strings.Contains(line, "uploads paused") && strings.Contains(line, tt.says)
				})
			})
			eventually(t, time.Minute, "a probe was refused as well", func() bool { return w.status().Uploads.Probes > 0 })
			s := w.status()
			w.wantNothingCounted(s)
			if l := w.platform.Ledger(); l.PutsBegun != 0 || s.Queued != files {
				t.Errorf("%d PUTs, %d files wait", l.PutsBegun, s.Queued)
			}
			w.platform.Faults()
			w.command("resume")
			eventually(t, time.Minute, "all are judged", func() bool { return p.judged() == files })
			if l := w.platform.Ledger(); l.PutsBegun != files {
				t.Errorf("%d PUTs for %d files", l.PutsBegun, files)
			}
			if said := p.stderr.String(); strings.Contains(said, "X-Amz-Signature=") {
				t.Error("a presigned URL's secret was logged")
			}
			p.terminate()
			w.promises(files, files)
		})
	}
}
