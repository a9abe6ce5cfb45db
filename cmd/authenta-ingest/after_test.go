package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// tree lists the files in the inbox.
func (w *world) tree() []string {
	w.t.Helper()
	var all []string
	err := filepath.WalkDir(w.inbox, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, w.inbox+"/"))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func TestOnceMovesWhatIsJudgedAndWritesTheVerdictBesideIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("clip \x1b[2J.jpg", picture(1))
	w.write("note.txt", []byte("text"))
	p := w.start(map[string]string{"INGEST_AFTER": "move:done", "INGEST_AFTER_FAIL": "move:failed", "INGEST_SIDECAR": "on"}, "run", "--once", w.inbox)
	if code := p.wait(time.Minute); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	want := []string{"done/clip \x1b[2J.jpg", "done/clip \x1b[2J.jpg.verdict.json", "failed/note.txt", "failed/note.txt.failure.json"}
	if got := w.tree(); !slices.Equal(got, want) {
		t.Errorf("the folder has %q, want %q", got, want)
	}
	if out := p.stdout.String(); strings.Contains(out, "\x1b") || !strings.Contains(out, `clip \x1b[2J.jpg"`) {
		t.Errorf("printed: %q", out)
	}
	again := w.start(map[string]string{"INGEST_AFTER": "move:done", "INGEST_AFTER_FAIL": "move:failed", "INGEST_SIDECAR": "on"}, "run", "--once", w.inbox)
	if code := again.wait(time.Minute); code != 0 {
		t.Errorf("exit code %d of the next run", code)
	}
}

// Killed again and again, at moments that nobody chose, while files are judged and moved.
func TestKilledWhileFilesAreMovedNoneIsLost(t *testing.T) {
	t.Parallel()
	files, kills := 60, 4
	if *long {
		files, kills = 1000, 40
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, sandbox.Options{Latency: 50 * time.Millisecond})
	settings := map[string]string{"INGEST_AFTER": "move:done", "INGEST_SIDECAR": "on"}
	for n := range files {
		w.write(fmt.Sprintf("%d.jpg", n), picture(n))
	}
	// there counts how often each file is there, under any name it may have.
	there := func() map[string]int {
		count := map[string]int{}
		for _, name := range w.tree() {
			base := filepath.Base(name)
			if id, set, ok := strings.Cut(strings.TrimPrefix(base, ".authenta-ingest."), "."); ok && strings.HasPrefix(base, ".authenta-ingest.") && id != "" {
				base = set
			}
			if strings.HasSuffix(base, ".jpg") && !strings.HasPrefix(base, ".") {
				count[base]++
			}
		}
		return count
	}
	for range kills {
		p := w.start(settings, "run", w.inbox)
		<-time.After(time.Duration(300+r.IntN(1200)) * time.Millisecond)
		p.kill()
		for name, n := range there() {
			if n != 1 {
				t.Errorf("%s is there %d times", name, n)
			}
		}
		if n := len(there()); n != files {
			t.Fatalf("%d files are there, want %d", n, files)
		}
	}
	p := w.start(settings, "run", "--once", w.inbox)
	if code := p.wait(2 * time.Minute); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, name := range w.tree() {
		if !strings.HasPrefix(name, "done/") {
			t.Errorf("left behind: %s", name)
		}
	}
	if n := len(w.tree()); n != 2*files {
		t.Errorf("%d files, want %d and as many verdicts: %q", n, files, w.tree())
	}
	w.promises(files, files)
}

func TestAFailedFileIsMovedAgainWhenARetryBringsItsVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: 6 * time.Second})
	w.listen()
	w.write("a.jpg", picture(1))
	p := w.start(map[string]string{
		"INGEST_AFTER": "move:done", "INGEST_AFTER_FAIL": "move:failed", "INGEST_SIDECAR": "on", "INGEST_POLL_TIMEOUT": "1s",
	}, "run", w.inbox)
	eventually(t, time.Minute, "the failure is dealt with", func() bool {
		return slices.Equal(w.tree(), []string{"failed/a.jpg", "failed/a.jpg.failure.json"})
	})
	eventually(t, time.Minute, "the verdict is dealt with", func() bool { // it may fail once more before its result is there
		w.command("retry", "--all")
		return slices.Equal(w.tree(), []string{"done/a.jpg", "done/a.jpg.verdict.json"})
	})
	p.terminate()
	if l := w.platform.Ledger(); l.Creates != 1 || len(l.PaidTwice()) > 0 {
		t.Errorf("%d creates, paid twice: %v", l.Creates, l.PaidTwice())
	}
	w.wantOneAnswerEach()
}

func TestTheSandboxsVerdictsDeleteNoFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("a.jpg", picture(1))
	p := w.start(map[string]string{"INGEST_AFTER": "delete"}, "run", "--sandbox", "--once", w.inbox)
	if code := p.wait(time.Minute); code != exitUsage || !strings.Contains(p.stderr.String(), "move:DIR") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}
