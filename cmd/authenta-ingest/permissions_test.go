package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// permittedOptions are those of a server whose configuration is the one that deploy/README.md shows, and a user admin:admin who may
// do anything.
func permittedOptions(t *testing.T, port int) *server.Options {
	t.Helper()
	data, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(data), "<!-- permissions -->\n```\n")
	conf, _, ok2 := strings.Cut(rest, "```\n<!-- end of permissions -->")
	if !ok1 || !ok2 {
		t.Fatal("deploy/README.md has no permissions")
	}
	path := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatalf("%v in\n%s", err, conf)
	}
	if len(o.Users) != 1 || o.Users[0].Permissions == nil {
		t.Fatalf("want one user with permissions, have %+v", o.Users)
	}
	base := brokerOptions(port, t.TempDir())
	base.Users = append(o.Users, &server.User{Username: "admin", Password: "admin"})
	return base
}

// TestAUserWithThePermissionsThatAreDocumentedCanDoEverything has a watcher, a worker and every command use a NATS user who has
// those permissions and no others. To the program a missing one looks like a server that does not answer; the server's word on it
// is logged.
func TestAUserWithThePermissionsThatAreDocumentedCanDoEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Outcome: func(sum [32]byte) sandbox.Outcome { return sandbox.Outcome{Verdict: sandbox.Real} }})
	address, port := freePort(t)
	broker, err := server.NewServer(permittedOptions(t, port))
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	t.Cleanup(func() {
		broker.Shutdown()
		broker.WaitForShutdown()
	})
	if !broker.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server did not start")
	}
	admin, err := nats.Connect("nats://admin:admin@" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	js, err := jetstream.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MEDIA", Subjects: []string{"media.theirs"}}); err != nil {
		t.Fatal(err)
	}
	pictures, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "pictures"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pictures.PutBytes(t.Context(), "object.jpg", picture(1)); err != nil {
		t.Fatal(err)
	}

	w.env["NATS_URL"] = "nats://ingest:change-me@" + address
	running := []*program{
		w.start(map[string]string{
			"INGEST_ROLE": "watcher", "INGEST_STAGE": "store", "INGEST_SUBJECTS": "media.in,media.theirs",
			"AUTHENTA_CLIENT_ID": "", "AUTHENTA_CLIENT_SECRET": "", "INGEST_HOST": "a", "INGEST_SIDECAR": "on",
		}, "run", w.inbox),
		w.start(map[string]string{"INGEST_ROLE": "worker", "INGEST_HOST": "b"}, "run"),
	}
	said := &output{}
	conn, err := queue.Dial(t.Context(), queue.Server{URL: w.env["NATS_URL"]}, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	command := func(args ...string) {
		t.Helper()
		p := w.start(nil, args...)
		if code := p.wait(time.Minute); code != exitDone {
			t.Errorf("%v has ended with %d", args, code)
		}
		running = append(running, p)
	}
	eventually(t, time.Minute, "both are there", func() bool { return len(w.status().Workers) == 2 })
	w.write("folder.jpg", picture(2))
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "media.in", Data: picture(3), Header: nats.Header{"Content-Type": {"image/jpeg"}}}); err != nil {
		t.Fatal(err)
	}
	reference := w.write("reference.jpg", picture(4))
	data, err := json.Marshal(map[string]string{"uri": "file://" + reference})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "media.theirs", data); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(t.TempDir(), "large.jpg")
	if err := os.WriteFile(large, append(picture(5), bytes.Repeat([]byte("x"), 3<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	command("submit", "--wait", large)
	command("submit", "nats-object://pictures/object.jpg")
	if answer, err := conn.Request("authenta.ctl.submit", data, time.Minute); err != nil || !strings.Contains(string(answer.Data), "authenta-intake-") {
		t.Errorf("a request to submit was answered with %v, %v", answer, err)
	}
	command("pause", "--for", "1h")
	command("resume")
	command("retry", "--all")
	command("status")
	command("verdicts", "--failures")

	q, err := queue.Open(t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	const answers = 7 // one file has come three times
	eventually(t, finishTime, "all are answered", func() bool {
		end, err := q.End(t.Context())
		return err == nil && end.Verdicts+end.Failures >= answers
	})
	for what, do := range map[string]func(context.Context) error{
		"reconcile": func(ctx context.Context) error { _, err := q.Reconcile(ctx); return err },
		"recover":   func(ctx context.Context) error { _, err := q.Recover(ctx); return err },
		"unstick":   func(ctx context.Context) error { _, err := q.Unstick(ctx); return err },
		"redeliver": q.Redeliver,
		"re-offer": func(ctx context.Context) error {
			_, _, err := q.Reoffer(ctx, "nobody")
			return err
		},
	} {
		if err := do(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := conn.LastError(); err != nil {
		t.Error(err)
	}
	for i, text := range append([]string{said.String()}, outputs(running)...) {
		if strings.Contains(text, "refused a permission") || strings.Contains(text, "ermissions violation") {
			t.Errorf("process %d was refused something:\n%s", i, text)
		}
	}
}

func outputs(all []*program) (text []string) {
	for _, p := range all {
		text = append(text, p.stderr.String())
	}
	return text
}
