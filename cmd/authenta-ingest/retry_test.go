package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

func TestFilesWhoseResultCameTooLateAreRetriedWithoutPayingAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: 8 * time.Second})
	w.listen()
	w.drop(0, 3)
	p := w.start(map[string]string{"INGEST_POLL_TIMEOUT": "1s"}, "run", "--json", w.inbox)
	eventually(t, time.Minute, "all have failed", func() bool { return len(w.status().Failures) == 3 })
	said := w.command("status")
	for _, f := range w.status().Failures {
		if f.Reason != queue.Timeout || !f.Retryable || !strings.Contains(said, f.Job().Short()) {
			t.Errorf("%+v: status says\n%s", f, said)
		}
	}
	if said := w.command("retry", "--all"); strings.Count(said, "retried ") != 3 {
		t.Errorf("retry says %q", said)
	}
	// Some may fail once more before their results are there.
	eventually(t, time.Minute, "all are judged", func() bool {
		w.command("retry", "--all")
		return p.judged() == 3
	})
	if said := w.command("retry", "--all"); !strings.Contains(said, "nothing to retry") {
		t.Errorf("retry says %q", said)
	}
	for _, v := range p.verdictLines() {
		if v.RetryOf == "" || v.RetryOf == v.ID {
			t.Errorf("%s is the retry of %q", v.ID, v.RetryOf)
		}
	}
	p.terminate()
	if l := w.platform.Ledger(); l.Creates != 3 || l.PutsBegun != 3 || len(l.PaidTwice()) > 0 {
		t.Errorf("%d creates, %d PUTs, paid twice: %v", l.Creates, l.PutsBegun, l.PaidTwice())
	}
	w.wantOneAnswerEach()
}

// wantOneAnswerEach demands that no drop has had two different answers.
func (w *world) wantOneAnswerEach() {
	w.t.Helper()
	said := map[queue.DropID]string{}
	for _, m := range w.terminals() {
		answer := fmt.Sprint(m.Outcome, m.Reason)
		if before, ok := said[m.ID]; ok && before != answer {
			w.t.Errorf("drop %s was answered %s and %s", m.ID, before, answer)
		}
		said[m.ID] = answer
	}
}

func TestOnlyReverifyPaysAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Times: 1, Do: sandbox.FailResult})
	w.drop(0, 1)
	p := w.start(nil, "run", "--json", w.inbox)
	failures := func(n int) []queue.Failure {
		eventually(t, time.Minute, fmt.Sprintf("%d failures", n), func() bool { return len(w.status().Failures) == n })
		return w.status().Failures
	}
	first := failures(1)[0]
	if first.Reason != queue.AnalysisFailed {
		t.Fatalf("%+v", first)
	}
	if offered := w.command("__complete", "retry", ""); !strings.HasPrefix(offered, first.Job().Short()+"\t000.jpg: analysis_failed\n") {
		t.Errorf("the shell offers %q to retry", offered)
	}
	w.command("retry", first.Job().Short())
	second := failures(2)[0] // the platform has nothing else to say of that record
	if second.RetryOf != first.ID || second.MediaID != first.MediaID {
		t.Errorf("%+v is no retry of %+v", second, first)
	}
	if l := w.platform.Ledger(); l.PutsBegun != 1 {
		t.Errorf("%d PUTs", l.PutsBegun)
	}
	w.command("retry", "--reverify", string(second.ID)) // the id of its failure will do, too
	eventually(t, time.Minute, "it is judged", func() bool { return p.judged() == 1 })
	v := p.verdictLines()[0]
	if v.RetryOf != second.ID || v.MediaID == first.MediaID {
		t.Errorf("%+v is no new judgement", v)
	}
	if l := w.platform.Ledger(); l.PutsBegun != 2 || len(l.PaidTwice()) != 1 {
		t.Errorf("%d PUTs, paid twice: %v", l.PutsBegun, l.PaidTwice())
	}
	p.terminate()
	w.wantOneAnswerEach()
}

func TestWhatCannotBeRetriedIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.write("note.txt", []byte("no media"))
	w.drop(0, 1)
	p := w.start(nil, "run", "--json", w.inbox)
	eventually(t, time.Minute, "one is judged, one has failed", func() bool { return p.judged() == 1 && len(w.status().Failures) == 1 })
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"retry"}, exitUsage, "say --all"},
		{[]string{"retry", "--all", "abcdef"}, exitUsage, "say --all"},
		{[]string{"retry", "abcdef"}, exitFailure, "no failure has this key"},
		{[]string{"retry", string(w.status().Failures[0].ID)}, exitFailure, "before a job was made of it"},
		{[]string{"retry", "--all"}, exitDone, "nothing to retry"},
	} {
		run := w.start(nil, c.args...)
		if code := run.wait(time.Minute); code != c.code || !strings.Contains(run.stdout.String()+run.stderr.String(), c.want) {
			t.Errorf("%v ended with %d: %s%s, want %d and %q", c.args, code, run.stdout.String(), run.stderr.String(), c.code, c.want)
		}
	}
}

// Each try takes as long as a delivery that was cut off, and the look whether the bytes have arrived.
func TestAFileThatBringsTheProgramDownAgainAndAgainFails(t *testing.T) {
	if !*long {
		t.Skip("takes minutes: -long")
	}
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.drop(0, 1)
	var p *program
	started := make(chan *program, 1)
	deadly := killBefore(func() { (<-started).kill() })
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: func(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) { deadly(rw, r, next) }})
	codes := []int{}
	for range 10 {
		p = w.start(nil, "run", "--once", w.inbox)
		started <- p
		codes = append(codes, p.wait(finishTime))
		select {
		case <-started:
		default:
		}
		if codes[len(codes)-1] != -1 {
			break
		}
	}
	if want := []int{-1, -1, -1, -1, -1, exitFailed}; !slices.Equal(codes, want) {
		t.Errorf("the runs ended with %v, want %v", codes, want)
	}
	all := w.terminals()
	if len(all) != 1 || all[0].Reason != queue.Crash {
		t.Errorf("%+v", all)
	}
}
