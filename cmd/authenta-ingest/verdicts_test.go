package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// byFirstByte finds every outcome there is, about as often.
func byFirstByte(sum [32]byte) sandbox.Outcome {
	found := []sandbox.Verdict{sandbox.Real, sandbox.Fake, sandbox.NoFaces, sandbox.Failed}
	return sandbox.Outcome{Verdict: found[sum[0]%4], Confidence: 0.9, Faces: 1}
}

// answerLines decodes what 'verdicts --json' has printed.
func answerLines(t *testing.T, printed string) (all []terminal) {
	t.Helper()
	for line := range strings.Lines(printed) {
		var one terminal
		if err := json.Unmarshal([]byte(line), &one); err != nil || one.ID == "" {
			t.Fatalf("no answer: %q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// interrupt ends a command that goes on, as Ctrl-C does.
func (p *program) interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(time.Minute); code != exitDone {
		p.t.Errorf("after Ctrl-C %v has ended with %d", p.cmd.Args[1:], code)
	}
}

func TestVerdictsShowsWhatIsAskedForOnceWhateverEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Outcome: byFirstByte})
	w.listen()
	w.env["INGEST_MODEL_IMAGE"] = "AC-1,FD-1"
	daemon := w.start(nil, "run", w.inbox)
	w.status()
	table := w.start(nil, "verdicts", "--follow", "--failures")
	eventually(t, time.Minute, "it begins to follow", func() bool { return table.judged() == 1 })
	const files = 14 // and a note, for which there is no model
	w.drop(0, files)
	w.write("note.txt", []byte("a note"))
	const answers = 2*files + 1
	eventually(t, finishTime, "all are answered", func() bool { return table.judged() == 1+answers })

	all := answerLines(t, w.command("verdicts", "--json", "--failures"))
	if len(all) != answers {
		t.Fatalf("%d answers, want %d", len(all), answers)
	}
	w.wantSelections(all)

	// One is killed in the middle of it, and the next is told to begin before that.
	again := w.start(nil, "verdicts", "--follow", "--failures", "--json", "--since", "1h")
	eventually(t, time.Minute, "it shows some", func() bool { return again.judged() > 0 })
	again.kill()
	again = w.start(nil, "verdicts", "--follow", "--failures", "--json", "--since", "1h")
	eventually(t, time.Minute, "it shows all", func() bool { return again.judged() == answers })

	// The daemon, and the NATS server with it, goes and comes back.
	daemon.terminate()
	w.drop(files, 1)
	w.start(nil, "run", w.inbox)
	eventually(t, finishTime, "both go on", func() bool { return table.judged() == 1+answers+2 && again.judged() == answers+2 })
	table.interrupt()
	again.interrupt()
	wantSameLines(t, table.stdout.String(), w.command("verdicts", "--failures"))
	wantSameLines(t, again.stdout.String(), w.command("verdicts", "--failures", "--json"))
	for _, p := range []*program{table, again} {
		if said := p.stderr.String(); !strings.Contains(said, "lost the connection") || !strings.Contains(said, "connected to NATS again") {
			t.Errorf("it says of the outage: %q", said)
		}
	}
}

// wantSameLines compares what was shown while it came with what is there. Verdicts and failures that come together may come in
// either order.
func wantSameLines(t *testing.T, shown, there string) {
	t.Helper()
	a, b := strings.Split(shown, "\n"), strings.Split(there, "\n")
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Errorf("following has shown\n%s, and there is\n%s", shown, there)
	}
}

// wantSelections compares what filters leave of the answers with what they should.
func (w *world) wantSelections(all []terminal) {
	w.t.Helper()
	for _, c := range []struct {
		flags string
		wants func(terminal) bool // of the verdicts
		fails func(terminal) bool // of the failures; nil: none
	}{
		{"--outcome fake", func(a terminal) bool { return a.Outcome == queue.Fake }, nil},
		{"--since 1d --outcome Real,inconclusive --outcome real", func(a terminal) bool { return a.Outcome != queue.Fake }, nil},
		{"--model FD-1 --outcome real", func(a terminal) bool { return a.Model == "FD-1" && a.Outcome == queue.Real }, nil},
		{"--model DF-1", func(terminal) bool { return false }, nil},
		{"--failures --outcome fake", func(a terminal) bool { return a.Outcome == queue.Fake }, func(terminal) bool { return true }},
		{"--failures --model AC-1", func(a terminal) bool { return a.Model == "AC-1" }, func(a terminal) bool { return a.Model == "AC-1" }},
	} {
		var want, got []queue.DropID
		for _, a := range all {
			if a.Outcome != "" && c.wants(a) || a.Reason != "" && c.fails != nil && c.fails(a) {
				want = append(want, a.ID)
			}
		}
		for _, a := range answerLines(w.t, w.command(append([]string{"verdicts", "--json"}, strings.Fields(c.flags)...)...)) {
			got = append(got, a.ID)
		}
		if !slices.Equal(got, want) {
			w.t.Errorf("verdicts %s shows %q, want %q", c.flags, got, want)
		}
		if len(want) == 0 && c.flags != "--model DF-1" {
			w.t.Errorf("there is nothing for %s to show: choose other files", c.flags)
		}
	}
}

// stranger publishes what no daemon would.
func (w *world) stranger(subject, message string) {
	w.t.Helper()
	nc, err := nats.Connect("nats://" + w.env["INGEST_NATS_LISTEN"])
	if err != nil {
		w.t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Request(subject, []byte(message), time.Minute); err != nil {
		w.t.Fatal(err)
	}
}

func TestVerdictsIsSafeToReadWhoeverPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.start(nil, "run", w.inbox)
	w.status()
	p := w.start(nil, "verdicts")
	if code, said := p.wait(time.Minute), p.stderr.String(); code != exitDone || said != "authenta-ingest: no verdicts yet\n" {
		t.Errorf("without any it ends with %d and says %q", code, said)
	}
	w.stranger("authenta.verdicts.DF-1.fake", "{\n \"id\": \"1\",\r\n \"uri\": \"file:///srv/\\u001b[2Jlist\\u009b31m.mp4\",\n \"model\": \"\\u0007\", \"outcome\": \"\\u001b]0;x\\u0007\"}")
	w.stranger("authenta.verdicts.x", "no JSON")
	w.stranger("authenta.failures.none.invalid", `{"id": "2", "name": "a\nb\u202egnp.exe", "reason": "\u001bc", "message": "one\ntwo\u001b[1m"}`)
	w.stranger("authenta.verdicts.DF-1.real", `{"id": "3", "uri": "file:///srv/fine%20name.mp4", "model": "DF-1", "outcome": "real", "confidence": 1}`)
	shown := w.command("verdicts", "--failures")
	if strings.ContainsFunc(strings.ReplaceAll(shown, "\n", ""), unreadable) || strings.Count(shown, "\n") != 4 {
		t.Errorf("it shows %q", shown)
	}
	if want := "  real             100 %  DF-1   /srv/fine name.mp4\n"; !strings.HasSuffix(shown, want) {
		t.Errorf("it shows %q, want %q at the end", shown, want)
	}
	if got := answerLines(t, w.command("verdicts", "--failures", "--json")); len(got) != 3 {
		t.Errorf("%d lines of JSON, want 3", len(got))
	}
}

// Programs as head close the pipe when they have enough.
func TestVerdictsEndsQuietlyWhenNobodyReadsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.start(nil, "run", w.inbox)
	w.status()
	const many = 3000 // more than a pipe holds
	nc, err := nats.Connect("nats://" + w.env["INGEST_NATS_LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for n := range many {
		if err := nc.Publish("authenta.verdicts.DF-1.fake", fmt.Appendf(nil, `{"id": "%d", "name": "%s"}`, n, strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
	w.stranger("authenta.verdicts.DF-1.fake", `{"id": "last"}`)
	cmd := exec.Command(os.Args[0], "verdicts", "--json", "--follow", "--since", "1h")
	cmd.Env = []string{beTheProgram + "=1", "INGEST_NATS_LISTEN=" + w.env["INGEST_NATS_LISTEN"]}
	var said output
	cmd.Stderr = &said
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.Read(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	pipe.Close()
	if err := cmd.Wait(); err != nil && err.Error() != "signal: broken pipe" {
		t.Error(err)
	}
	if said.String() != "" {
		t.Errorf("it says %q", said.String())
	}
}
