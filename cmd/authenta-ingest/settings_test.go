package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
		"INGEST_INCLUDE": "*.mp4,/srv/x.mp4,{a", "INGEST_EXCLUDE": "../x", "INGEST_MIN_SIZE": "2 GB", "INGEST_MAX_SIZE": "1MB",
		"INGEST_MAX_DEPTH": "-1", "INGEST_DONE_SUFFIX": "*.done", "INGEST_FOLLOW_SYMLINKS": "some", "INGEST_POLL_DIRS": "10ms",
		"INGEST_HOST": "a b", "INGEST_STAGE": "stage", "INGEST_STAGE_BYTES": "1MB",
		"INGEST_AFTER": "move:" + w.inbox, "INGEST_AFTER_FAIL": "burn", "INGEST_SIDECAR": "..",
		"INGEST_HTTP": "8080", "INGEST_PPROF": "10.0.0.1:6060",
	}, "run", w.inbox, filepath.Join(w.inbox, "missing"))
	if code := p.wait(time.Minute); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	said := p.stderr.String()
	for _, want := range []string{
		"INGEST_SETTLE=", "INGEST_UPLOADS=", "AUTHENTA_URL=", "INGEST_SYNC=", "INGEST_NATS_LISTEN=", "INGEST_NATS_TOKEN",
		"INGEST_NAMESPACE=", "INGEST_MODEL_VIDEO=", "AUTHENTA_API_KEY and a key pair", "AUTHENTA_QUERY_RATE=",
		"INGEST_LOG_LEVEL=", "does not exist",
		`INGEST_INCLUDE: pattern "/srv/x.mp4": it is an absolute path`, `INGEST_INCLUDE: pattern "{a": `, `INGEST_EXCLUDE: pattern "../x": `,
		"INGEST_MIN_SIZE=2 GB: want no more than INGEST_MAX_SIZE, which is 1MB", "INGEST_MAX_DEPTH: ", `INGEST_DONE_SUFFIX: suffix "*.done"`,
		`INGEST_FOLLOW_SYMLINKS="some": want true or false`, `INGEST_POLL_DIRS="10ms": want auto, never, or an interval`, "INGEST_HOST=a b: ",
		"INGEST_AFTER=", "INGEST_AFTER_FAIL=", "INGEST_SIDECAR=",
		"INGEST_STAGE=stage: want off or store", "INGEST_STAGE_BYTES=1MB: want 10MB or more",
		"INGEST_HTTP=8080: want host:port", "INGEST_PPROF=10.0.0.1:6060: want host:port of this machine only",
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

func TestEveryMistakeOfWhereMediaComeFromIsToldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	missing, file := filepath.Join(w.inbox, "missing"), w.write("a.jpg", picture(1))
	p := w.start(map[string]string{
		"INGEST_SUBJECTS": ">, media..in,$SYS.x,authenta.verdicts.>,media.in", "INGEST_ROOTS": missing + "," + file,
		"INGEST_URL_HOSTS": "https://media.example/a,*,a b,media.example", "INGEST_URL_PRIVATE": "maybe",
		"INGEST_STAGE": "disk", "INGEST_STAGE_BYTES": "1", "INGEST_ROLE": "boss",
	}, "run")
	if code := p.wait(time.Minute); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	want := []string{
		`INGEST_SUBJECTS: ">" would take in everything`, `INGEST_SUBJECTS: "media..in" is no subject`, `INGEST_SUBJECTS: "$SYS.x" belongs to NATS itself`,
		`INGEST_SUBJECTS: "authenta.verdicts.>" is where this program publishes`,
		"INGEST_ROOTS: folder " + missing + " does not exist", "INGEST_ROOTS: " + file + " is not a folder",
		`INGEST_URL_HOSTS: host "https://media.example/a": `, `INGEST_URL_HOSTS: host "*": `, `INGEST_URL_HOSTS: host "a b": `,
		`INGEST_URL_PRIVATE="maybe": want true or false`, "INGEST_STAGE=disk: want off or store", "INGEST_STAGE_BYTES=1", "INGEST_ROLE=boss: want all, watcher or worker",
	}
	said := p.stderr.String()
	for _, line := range want {
		if strings.Count(said, line) != 1 {
			t.Errorf("%q is told %d times", line, strings.Count(said, line))
		}
	}
	if n := strings.Count(said, "\n"); n != len(want) {
		t.Errorf("%d lines, want %d:\n%s", n, len(want), said)
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
	env := map[string]string{"NATS_URL": "nats://user:pass-word@127.0.0.1:1", "INGEST_DIRS": w.inbox, "INGEST_DONE_SUFFIX": "", "INGEST_API": "x"}
	shown, listed := w.start(env, "config"), w.start(env, "config", "--json")
	for _, p := range []*program{shown, listed} {
		if code := p.wait(time.Minute); code != exitDone {
			t.Fatalf("exit code %d: %s", code, p.stderr.String())
		}
		if said := p.stdout.String(); strings.Contains(said, "pass-word") || strings.Contains(said, w.env["AUTHENTA_CLIENT_SECRET"]) {
			t.Errorf("a secret was printed:\n%s", said)
		}
	}
	var all []setting
	if err := json.Unmarshal([]byte(listed.stdout.String()), &all); err != nil {
		t.Fatal(err)
	}
	if n := reflect.TypeFor[settings]().NumField(); len(all) != n {
		t.Errorf("%d settings, want %d", len(all), n)
	}
	said := shown.stdout.String()
	groups := map[string]bool{}
	for _, s := range all {
		groups[s.Group] = true
		if s.Meaning == "" || s.Group == "" || s.From != fromDefault && s.From != fromEnvironment || s.From == fromDefault && s.Value != s.Default {
			t.Errorf("%+v", s)
		}
		from := s.From
		if s.From == fromDefault && s.Value == "" {
			from = "not set"
		}
		if line := "  " + s.Name + "=" + s.Value + "  (" + from + ")\n      " + strings.Fields(s.Meaning)[0]; strings.Count(said, line) != 1 {
			t.Errorf("config does not show %q", line)
		}
	}
	if len(groups) != len(settingGroups) {
		t.Errorf("%d groups, want %d: each begins with a setting that there is", len(groups), len(settingGroups))
	}
	for _, want := range []string{"AUTHENTA_CLIENT_SECRET=********  (environment)", "NATS_URL=nats://xxxxx@127.0.0.1:1  (environment)", "INGEST_DONE_SUFFIX=  (not set)", "INGEST_RESULT_TTL=720h  (default)"} {
		if !strings.Contains(said, want) {
			t.Errorf("config does not show %q", want)
		}
	}
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "      ") && width(strings.TrimSuffix(line, "\n")) > helpWidth {
			t.Errorf("wider than a terminal: %q", line)
		}
	}
}

func TestConfigShowsTheFilterAsItWouldBeSet(t *testing.T) {
	t.Parallel()
	set := map[string]string{
		"INGEST_INCLUDE": "*.mp4,IMG_*.{jpg,png}", "INGEST_EXCLUDE": "raw/**", "INGEST_MIN_SIZE": "1.5kB", "INGEST_MAX_SIZE": "2GiB",
		"INGEST_MAX_DEPTH": "3", "INGEST_DONE_SUFFIX": ".done", "INGEST_FOLLOW_SYMLINKS": "true", "INGEST_POLL_DIRS": "1m0s", "INGEST_HOST": "nas-1.local",
	}
	p := startProgram(t, set, nil, nil, "config")
	if code := p.wait(time.Minute); code != exitDone {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	for name, value := range set {
		if want := name + "=" + value + "  (environment)\n"; !strings.Contains(p.stdout.String(), want) {
			t.Errorf("it does not show %q", want)
		}
	}
}

func TestTheFilterChoosesTheFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	if err := os.MkdirAll(filepath.Join(w.inbox, "raw", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := []string{w.write("a.JPG", picture(1)), w.write("raw/b.png", picture(2))}
	w.write("c.gif", picture(3))
	w.write("raw/old.jpg", picture(4))
	w.write("raw/deep/d.jpg", picture(5))
	p := w.start(map[string]string{
		"INGEST_INCLUDE": "*.{jpg,png}", "INGEST_EXCLUDE": "raw/old*", "INGEST_MAX_DEPTH": "2",
	}, "run", "--once", "--json", w.inbox)
	if code := p.wait(time.Minute); code != exitDone {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	var got []string
	for _, v := range p.verdictLines() {
		got = append(got, strings.TrimPrefix(v.URI, "file://"))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("judged %q, want %q", got, want)
	}
}

func TestTheTokenMayStandInAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("token-in-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, _ := freePort(t)
	env := map[string]string{"INGEST_NATS_LISTEN": address, "INGEST_NATS_TOKEN_FILE": file}
	p := w.start(env, "run", w.inbox)
	eventually(t, finishTime, "the status is told for the token", func() bool { return w.start(env, "status").wait(finishTime) == exitDone })
	delete(env, "INGEST_NATS_TOKEN_FILE")
	if w.start(env, "status").wait(finishTime) == exitDone {
		t.Error("the status is told without the token")
	}
	p.kill()
	env["INGEST_NATS_TOKEN_FILE"] = filepath.Join(t.TempDir(), "gone")
	if p := w.start(env, "run", w.inbox); p.wait(finishTime) != exitUsage || !strings.Contains(p.stderr.String(), "INGEST_NATS_TOKEN_FILE: ") {
		t.Errorf("a file that is not there: exit code %d, %s", p.cmd.ProcessState.ExitCode(), p.stderr.String())
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
