package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// submit runs the command to its end.
func (w *world) submit(want int, args ...string) *program {
	w.t.Helper()
	p := w.start(nil, append([]string{"submit"}, args...)...)
	if code := p.wait(finishTime); code != want {
		w.t.Errorf("submit %v ended with %d, want %d: %s", args, code, want, p.stderr.String())
	}
	return p
}

// lines are what a program has printed.
func (p *program) lines() []string {
	return strings.Split(strings.TrimSuffix(p.stdout.String(), "\n"), "\n")
}

// outside puts a file where no daemon looks.
func (w *world) outside(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func TestSubmitHandsFilesInAndBringsTheirAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.env["INGEST_NATS_TOKEN"], w.env["INGEST_MODEL_IMAGE"] = "token-8812", "AC-1,FD-1"
	daemon := w.start(map[string]string{"INGEST_LOG_LEVEL": "debug"}, "run", "--json", w.inbox)
	eventually(t, time.Minute, "the daemon listens", func() bool { return strings.Contains(daemon.stderr.String(), `"watching"`) })

	// Files that are altered and gone once they are handed in; one is larger than a message may be.
	large := append(picture(1), bytes.Repeat([]byte("x"), 5<<20)...)
	a, b := w.outside("a.jpg", picture(0)), w.outside("large.jpg", large)
	handed := w.submit(exitDone, a, b)
	if err := os.WriteFile(a, picture(9), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{a: fmt.Sprintf("%x", sha256.Sum256(picture(0))), b: fmt.Sprintf("%x", sha256.Sum256(large))}
	want := map[string]string{} // what each drop is
	for i, line := range handed.lines() {
		id, path, ok := strings.Cut(line, "  ")
		if want[id] = digests[path]; !ok || path != []string{a, b}[i] {
			t.Fatalf("it printed %q", handed.lines())
		}
		want[id+"-FD-1"] = digests[path]
	}
	eventually(t, finishTime, "both are judged by both models", func() bool { return daemon.judged() == 4 })
	for _, v := range daemon.verdictLines() {
		if want[string(v.ID)] != string(v.Digest) || v.Name != filepath.Base(v.Name) || v.Name == "" {
			t.Errorf("%s is %s, want %v", v.ID, v.Digest, want)
		}
	}

	// One that is waited for, under both models.
	waited := w.submit(exitDone, "--wait", "--json", "--name", "evening.jpg", "--meta", "case=17", "--meta", "desk=night, or day", w.outside("c.jpg", picture(2)))
	var models []string
	for _, v := range waited.verdictLines() {
		models = append(models, string(v.Model))
		if v.Name != "evening.jpg" || string(v.Meta["case"]) != `"17"` || string(v.Meta["desk"]) != `"night, or day"` {
			t.Errorf("%+v", v)
		}
	}
	if slices.Sort(models); fmt.Sprint(models) != "[AC-1 FD-1]" {
		t.Errorf("the answers are those of %v", models)
	}

	// By one model, for a person; with one that is no media, one that may not be fetched, and one that is in a folder.
	watched := w.write("in.jpg", picture(3))
	mixed := w.submit(exitFailed, "--wait", "--model", "AC-1", a, w.outside("note.txt", []byte("a note")), "https://media.example/d.jpg?"+signature, queue.FileURI(watched))
	for _, want := range []string{"AC-1   a.jpg", "unsupported                    note.txt: a file of type text/plain", "invalid                        https://media.example/d.jpg: ", "AC-1   " + watched} {
		if !slices.ContainsFunc(mixed.lines(), func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("it says nothing of %q: %q", want, mixed.lines())
		}
	}
	if len(mixed.lines()) != 4 {
		t.Errorf("it printed %q", mixed.lines())
	}
	printed := w.submit(exitDone, "https://media.example/e.jpg?"+signature)
	eventually(t, time.Minute, "nothing is staged or waits", func() bool {
		s := w.tokenStatus()
		return s == "" && strings.Count(daemon.stderr.String(), "not judged") == 3
	})
	said := daemon.stdout.String() + daemon.stderr.String() + w.command("status", "--json")
	for _, p := range []*program{handed, waited, mixed, printed} {
		said += p.stdout.String() + p.stderr.String()
	}
	if strings.Contains(said, "not-to-be-told") || strings.Contains(said, "token-8812") || strings.Contains(said, w.env["AUTHENTA_CLIENT_SECRET"]) {
		t.Error("a secret was printed")
	}

	w.env["INGEST_NATS_TOKEN"] = "another"
	if said := w.submit(exitFailure, a).stderr.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "INGEST_NATS_TOKEN") {
		t.Errorf("with another token it says %q", said)
	}
}

// tokenStatus tells what is left on the intake stream or in the staging bucket of a daemon that wants a token; empty: nothing.
func (w *world) tokenStatus() string {
	conn, err := nats.Connect("nats://"+w.env["INGEST_NATS_LISTEN"], nats.Token(w.env["INGEST_NATS_TOKEN"]))
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err.Error()
	}
	for _, name := range []string{"authenta-intake", "OBJ_authenta-media"} {
		s, err := js.Stream(w.t.Context(), name)
		if err != nil {
			return err.Error()
		}
		if n := s.CachedInfo().State.Msgs; n > 0 {
			return fmt.Sprintf("%s has %d messages", name, n)
		}
	}
	return ""
}

func TestSubmitTellsEveryMistakeAtOnceAndHandsNothingIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.broker()
	closed := w.write("closed.jpg", picture(1))
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	fine := w.write("fine.jpg", picture(2))
	as := w.nobody()
	p := startProgram(t, w.env, nil, as, "submit", "--json", "--name", "x", "--model", "a b", "--meta", "case", fine, w.inbox,
		filepath.Join(w.inbox, "missing.jpg"), closed, "ftp://user:pass-word@media.example/a.jpg", "https://media.example/a.jpg", "https://media.example/%zz?"+signature, "nats-object:bucket", "file:a.jpg")
	if code := p.wait(time.Minute); code != exitUsage {
		t.Errorf("ended with %d, want %d", code, exitUsage)
	}
	said := p.stderr.String()
	for _, want := range []string{
		"--name is for one file, and there are 9", "--json is for answers: say --wait, too", `--model "a b": want a model such as DF-1`,
		`--meta "case": want KEY=VALUE`, w.inbox + " is a folder: ", "missing.jpg does not exist", closed + ": permission denied", "ftp://media.example/a.jpg: cannot be followed: want file:///…", `"nats-object:bucket" is not`, `"file:a.jpg" is not`,
	} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is told %d times", want, strings.Count(said, want))
		}
	}
	if n := strings.Count(said, "\n"); n != 11 || strings.Contains(said, "pass-word") || strings.Contains(said, "not-to-be-told") {
		t.Errorf("%d lines:\n%s", n, said)
	}
	for _, args := range [][]string{{"submit"}, {"submit", "--fast", fine}} {
		if p := w.start(nil, args...); p.wait(time.Minute) != exitUsage || strings.Count(p.stderr.String(), "\n") != 1 {
			t.Errorf("%v: %s", args, p.stderr.String())
		}
	}
}

func TestSubmitSaysThatNobodyTakesFilesIn(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sandbox.Options{})
		file := w.outside("a.jpg", picture(1))
		if said := w.submit(exitUsage, file).stderr.String(); !strings.Contains(said, "INGEST_NATS_LISTEN=off") {
			t.Errorf("it says %q", said)
		}
		w.listen()
		if said := w.submit(exitFailure, file).stderr.String(); strings.Count(said, "\n") != 2 ||
			!strings.Contains(said, "INGEST_NATS_LISTEN="+w.env["INGEST_NATS_LISTEN"]+": is one running?") {
			t.Errorf("it says %q", said)
		}
	})
	t.Run("external", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, sandbox.Options{})
		p := w.publisher()
		file := w.outside("a.jpg", picture(1))
		nobody := func(namespace string, args ...string) {
			t.Helper()
			w.env["INGEST_NAMESPACE"] = namespace
			said := w.submit(exitFailure, args...).stderr.String()
			if strings.Count(said, "\n") != 1 || !strings.Contains(said, "no daemon has") || !strings.Contains(said, "in the namespace "+namespace) {
				t.Errorf("submit %v says %q", args, said)
			}
		}
		nobody("authenta", file)
		nobody("authenta", queue.FileURI(file))
		nobody("authenta", "--wait", file)
		w.env["INGEST_NAMESPACE"] = "authenta"
		if code := w.start(nil, "run", "--once").wait(finishTime); code != exitDone {
			t.Fatalf("ended with %d", code)
		}
		nobody("other", file) // a daemon has run, in another namespace
		for name := range p.js.StreamNames(t.Context()).Name() {
			if strings.Contains(name, "other") {
				t.Errorf("it has made %s", name)
			}
		}

		// None runs at the moment, and what is handed in waits for it. Whoever waits for it, too, may give up.
		w.env["INGEST_NAMESPACE"] = "authenta"
		w.submit(exitDone, file)
		waiting := w.start(nil, "submit", "--wait", w.outside("b.jpg", picture(2)))
		eventually(t, time.Minute, "it is handed in", func() bool { return p.untaken() == 2 })
		if err := waiting.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code, said := waiting.wait(time.Minute), waiting.stderr.String(); code != exitFailure || strings.Count(said, "\n") != 1 ||
			!strings.Contains(said, "may have been handed in") && // the signal was faster than the acknowledgement
				(!strings.Contains(said, "still to come") || !strings.Contains(said, "authenta-intake-")) {
			t.Errorf("it ended with %d and says %q", code, said)
		}
		d := w.start(nil, "run", "--once", "--json")
		if code := d.wait(finishTime); code != exitDone || d.judged() != 2 {
			t.Errorf("the next daemon ended with %d and has judged %d", code, d.judged())
		}
		if _, all := p.stagedSince(time.Time{}); all != 0 {
			t.Errorf("%d messages are staged", all)
		}
	})
}

// TestSubmitWaitsThroughARestartOfTheDaemon has the daemon that works on what is waited for be killed.
func TestSubmitWaitsThroughARestartOfTheDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: 200 * time.Millisecond})
	p := w.publisher()
	if code := w.start(nil, "run", "--once").wait(finishTime); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	waiting := w.start(nil, "submit", "--wait", "--json", w.outside("a.jpg", picture(1)), w.outside("b.jpg", picture(2)))
	eventually(t, time.Minute, "it is handed in", func() bool { return p.untaken() == 2 })
	first := w.start(nil, "run")
	eventually(t, time.Minute, "something is paid for", func() bool { return len(w.platform.Ledger().Paid) > 0 })
	first.kill()
	w.start(nil, "run")
	if code := waiting.wait(finishTime); code != exitDone {
		t.Errorf("it ended with %d", code)
	}
	ids := map[queue.DropID]bool{}
	for _, v := range waiting.verdictLines() {
		ids[v.ID] = true
	}
	if len(ids) != 2 || len(waiting.lines()) != 2 || len(w.platform.Ledger().PaidTwice()) > 0 {
		t.Errorf("it printed %q", waiting.lines())
	}
}
