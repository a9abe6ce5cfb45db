package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

func TestOnceJudgesRealMediaAndSaysWhyTheRestIsNotJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: 100 * time.Millisecond})
	media, err := os.ReadDir("testdata/media")
	if err != nil || len(media) < 5 {
		t.Fatalf("sample media: %d, %v", len(media), err)
	}
	for _, m := range media {
		data, err := os.ReadFile(filepath.Join("testdata/media", m.Name()))
		if err != nil {
			t.Fatal(err)
		}
		w.write(m.Name(), data)
		w.write("copy of "+m.Name(), data)
	}
	w.write("empty.mp4", nil)
	w.write("text.jpg", []byte("this is no picture\n"))
	secret := w.write("secret.png", picture(7))
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, w.env, nil, w.nobody(), "run", "--once", "--json", w.inbox)
	if code := p.wait(time.Minute); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}

	if got := p.verdictLines(); len(got) != 2*len(media) {
		t.Errorf("%d verdicts were printed, want %d", len(got), 2*len(media))
	}
	for _, v := range p.verdictLines() {
		if v.Digest == "" || v.MediaID == "" || v.ContentType == "" || v.JudgedAt.IsZero() || v.Platform != w.env["AUTHENTA_URL"] {
			t.Errorf("incomplete: %+v", v)
		}
	}
	ledger := w.platform.Ledger()
	if len(ledger.Paid) != len(media) || len(ledger.PaidTwice()) > 0 {
		t.Errorf("paid: %v", ledger.Paid)
	}
	reasons := map[string]queue.Reason{}
	verdicts := 0
	for _, m := range w.terminals() {
		if m.Reason != "" {
			reasons[m.Name] = m.Reason
		} else {
			verdicts++
		}
	}
	if verdicts != 2*len(media) {
		t.Errorf("%d verdicts are on the stream, want %d", verdicts, 2*len(media))
	}
	want := map[string]queue.Reason{"empty.mp4": queue.Unsupported, "text.jpg": queue.Unsupported, "secret.png": queue.Unreadable}
	for name, reason := range want {
		if reasons[name] != reason {
			t.Errorf("%s failed as %q, want %q", name, reasons[name], reason)
		}
	}
	if len(reasons) != len(want) {
		t.Errorf("failures: %v", reasons)
	}
}

// What is in a folder that cannot be read is not judged, and nobody should believe that it was.
func TestOnceSaysThatAFolderCouldNotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("a.jpg", picture(1))
	closed := filepath.Join(w.inbox, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, w.env, nil, w.nobody(), "run", "--once", w.inbox)
	if code := p.wait(time.Minute); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if said := p.stderr.String(); !strings.Contains(said, closed) || !strings.Contains(said, "cannot be read  1") {
		t.Errorf("said: %s", said)
	}
	w.promises(1, 1)
}

// nobody makes a child process one that file permissions mean something to, and gives it the world's folders.
func (w *world) nobody() *syscall.SysProcAttr {
	if os.Getuid() != 0 {
		return nil
	}
	const uid = 65534
	if err := os.MkdirAll(w.state, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(filepath.Dir(w.inbox)), filepath.Dir(w.inbox), w.inbox, w.state} {
		if err := os.Chmod(path, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := os.Chown(w.state, uid, uid); err != nil {
		w.t.Fatal(err)
	}
	w.reachable(os.Args[0])
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}

// reachable lets others walk to the test binary, which the go command builds in a private folder.
func (w *world) reachable(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		w.t.Fatal(err)
	}
	for dir := filepath.Dir(path); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := os.Chmod(dir, info.Mode()|0o011); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestOnceAgainHasNothingToDoAndMakesNoCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("a.jpg", picture(1))
	if code := w.start(nil, "run", "--once", w.inbox).wait(time.Minute); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	before := w.platform.Ledger()
	p := w.start(nil, "run", "--once", "--json", w.inbox)
	if code := p.wait(time.Minute); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	after := w.platform.Ledger()
	if p.stdout.String() != "" || after.Query != before.Query || after.Mutation != before.Mutation {
		t.Errorf("printed %q; calls before %+v, after %+v", p.stdout.String(), before, after)
	}

	w.write("b.jpg", picture(1))
	p = w.start(nil, "run", "--once", "--json", w.inbox)
	if code := p.wait(time.Minute); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	if v := p.verdictLines(); len(v) != 1 || !v[0].Cached || v[0].Name != "b.jpg" {
		t.Errorf("a copy of what was judged before got %+v, want one cached verdict", v)
	}
	if calls := w.platform.Ledger(); calls.Mutation != before.Mutation {
		t.Errorf("a copy of what was judged before cost a call")
	}
}

func TestOnceEndsPausedWhenTheAccountCannotPay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{MutationQuota: 2})
	for n := range 5 {
		w.write(string(rune('a'+n))+".jpg", picture(n))
	}
	p := w.start(map[string]string{"INGEST_UPLOADS": "1"}, "run", "--once", "--json", w.inbox)
	if code := p.wait(time.Minute); code != exitPaused {
		t.Fatalf("ended with %d, want %d", code, exitPaused)
	}
	if got := len(p.verdictLines()); got != 2 {
		t.Errorf("%d verdicts, want those of the 2 that the quota allowed", got)
	}
	if n := w.platform.Ledger().Creates; n != 2 {
		t.Errorf("%d records were created", n)
	}
	w.platform.Grant(sandbox.Grant{MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited, Credits: sandbox.Unlimited})
	if code := w.start(nil, "run", "--once", w.inbox).wait(time.Minute); code != exitPaused || w.platform.Ledger().Mutation != 2 {
		t.Errorf("before the next try is due: ended with %d, and %v", code, w.platform.Ledger().Calls)
	}
	if code := w.start(nil, "run", "--once", "--resume", w.inbox).wait(time.Minute); code != exitDone {
		t.Fatalf("after the grant: ended with %d", code)
	}
	w.promises(5, 5)
}

func TestTwoModelsAreTwoVerdicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("a.jpg", picture(1))
	p := w.start(map[string]string{"INGEST_MODEL_IMAGE": "AC-1,FD-1"}, "run", "--once", "--json", w.inbox)
	if code := p.wait(time.Minute); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	var judgedBy []string
	for _, v := range p.verdictLines() {
		judgedBy = append(judgedBy, string(v.Model))
	}
	if slices.Sort(judgedBy); !slices.Equal(judgedBy, []string{"AC-1", "FD-1"}) {
		t.Errorf("judged by %v", judgedBy)
	}
}
