package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestEveryMistakeIsToldAtOnceAndNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	p := w.start(map[string]string{
		"INGEST_SETTLE": "5", "INGEST_UPLOADS": "many", "AUTHENTA_URL": "platform", "INGEST_SYNC": "sometimes",
		"INGEST_NATS_LISTEN": "0.0.0.0:4222", "INGEST_NAMESPACE": "a.b", "INGEST_MODEL_VIDEO": "DF 1",
		"AUTHENTA_API_KEY": "api_very-secret", "AUTHENTA_QUERY_RATE": "-1", "INGEST_LOG_LEVEL": "loud",
		"INGEST_AFTER": "move:" + w.inbox, "INGEST_AFTER_FAIL": "burn", "INGEST_SIDECAR": "..",
	}, "run", w.inbox, filepath.Join(w.inbox, "missing"))
	if code := p.wait(time.Minute); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	said := p.stderr.String()
	for _, want := range []string{
		"INGEST_SETTLE=", "INGEST_UPLOADS=", "AUTHENTA_URL=", "INGEST_SYNC=", "INGEST_NATS_LISTEN=", "INGEST_NATS_TOKEN",
		"INGEST_NAMESPACE=", "INGEST_MODEL_VIDEO=", "AUTHENTA_API_KEY and a key pair", "AUTHENTA_QUERY_RATE=",
		"INGEST_LOG_LEVEL=", "does not exist", "INGEST_AFTER=", "INGEST_AFTER_FAIL=", "INGEST_SIDECAR=",
	} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is told %d times", want, strings.Count(said, want))
		}
	}
	if strings.Contains(said, "very-secret") || strings.Contains(said, w.env["AUTHENTA_CLIENT_SECRET"]) {
		t.Error("a secret was printed")
	}
	if p.stdout.String() != "" {
		t.Errorf("printed on stdout: %s", p.stdout.String())
	}
}

func TestWithoutAKeyTheErrorNamesTheWaysOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	p := startProgram(t, nil, nil, nil, "run", w.inbox)
	if code := p.wait(time.Minute); code != exitUsage || !strings.Contains(p.stderr.String(), "run --sandbox") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

func TestUnknownCommandsAndFlagsAreBadUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"dance"}, {"run", "--fast"}, {"version", "now"}, {"sandbox", "--credits", "some"}} {
		if code := startProgram(t, nil, nil, nil, args...).wait(time.Minute); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, code, exitUsage)
		}
	}
}

func TestConfigShowsEverySettingAndMasksSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	p := w.start(map[string]string{"NATS_URL": "nats://user:pass-word@127.0.0.1:1", "INGEST_DIRS": w.inbox}, "config")
	if code := p.wait(time.Minute); code != exitDone {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	said := p.stdout.String()
	if strings.Contains(said, "pass-word") || strings.Contains(said, w.env["AUTHENTA_CLIENT_SECRET"]) {
		t.Errorf("a secret was printed:\n%s", said)
	}
	for line := range strings.Lines(said) {
		if len(strings.Fields(line)) < 4 {
			t.Errorf("no value, source or meaning: %q", line)
		}
	}
	if !strings.Contains(said, "INGEST_RESULT_TTL") || !strings.Contains(said, "********") {
		t.Errorf("incomplete:\n%s", said)
	}
}

func TestAKeyFileIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: time.Millisecond})
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(w.env["AUTHENTA_CLIENT_SECRET"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	delete(w.env, "AUTHENTA_CLIENT_SECRET")
	w.env["AUTHENTA_CLIENT_SECRET_FILE"] = file
	p := w.start(nil, "run", "--json", w.inbox)
	w.write("a.jpg", picture(1))
	eventually(t, time.Minute, "the first file is paid", func() bool { return len(w.platform.Ledger().Paid) == 1 })
	w.platform.SetKeys("test-id", "another", "")
	if err := os.WriteFile(file, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(file, later, later); err != nil { // a clock tick may be coarser than this test
		t.Fatal(err)
	}
	w.write("b.jpg", picture(2))
	eventually(t, time.Minute, "the second file is paid", func() bool { return len(w.platform.Ledger().Paid) == 2 })
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(time.Minute); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

func TestASecondDaemonOnTheSameStateIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.start(nil, "run", w.inbox)
	eventually(t, time.Minute, "the first is up", func() bool {
		_, err := os.Stat(filepath.Join(w.state, "jetstream"))
		return err == nil
	})
	second := w.start(nil, "run", w.inbox)
	if code := second.wait(time.Minute); code != exitFailure || !strings.Contains(second.stderr.String(), "in use by another authenta-ingest") {
		t.Errorf("exit code %d: %s", code, second.stderr.String())
	}
}
