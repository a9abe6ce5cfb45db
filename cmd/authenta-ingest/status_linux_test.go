package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue/control"
)

// A terminal of so many columns and rows that nobody sits at. What is drawn on it can be read from the first file.
func pseudoTerminal(t *testing.T, columns, rows uint16) (*output, *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	theirs, _, errno := syscall.Syscall(syscall.SYS_IOCTL, ours.Fd(), unix.TIOCGPTPEER, uintptr(os.O_RDWR|syscall.O_NOCTTY))
	if errno != 0 {
		t.Fatal(errno)
	}
	if err := unix.IoctlSetWinsize(int(theirs), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	drawn, read := &output{}, make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 1<<12)
		for {
			n, err := ours.Read(b)
			if _, _ = drawn.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	terminal := os.NewFile(theirs, "terminal")
	t.Cleanup(func() {
		terminal.Close()
		<-read // its last user has closed it
		ours.Close()
	})
	return drawn, terminal
}

// startOn runs the binary on a terminal.
func (w *world) startOn(terminal *os.File, args ...string) *program {
	w.t.Helper()
	p := &program{t: w.t, cmd: exec.Command(os.Args[0], args...), exited: make(chan struct{})}
	p.cmd.Env = []string{beTheProgram + "=1", raceEnds, "INGEST_NATS_LISTEN=" + w.env["INGEST_NATS_LISTEN"]}
	p.cmd.Stdout, p.cmd.Stderr = terminal, &p.stderr
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		close(p.exited)
	}()
	w.t.Cleanup(p.kill)
	return p
}

func TestStatusWatchShowsADaemonThatGoesAndComesBack(t *testing.T) {
	t.Parallel()
	const columns, rows = 60, 9
	drawn, terminal := pseudoTerminal(t, columns, rows)
	w := newWorld(t, sandbox.Options{})
	w.listen()
	daemon := w.start(nil, "run", w.inbox)
	w.write("会議\x1b[2J.txt", []byte("a note"))
	eventually(t, time.Minute, "a file has failed", func() bool { return len(w.status().Failures) == 1 })

	screen := w.startOn(terminal, "status", "--watch", "--every", "100ms")
	text := w.start(nil, "status", "-w", "--every", "200ms")
	lines := w.start(nil, "status", "--watch", "--every", "200ms", "--json")
	running := func(of int) func() bool {
		return func() bool {
			return strings.Count(drawn.String(), ", every 100ms") > of && strings.Count(text.stdout.String(), "\nplatform ") > of && lines.judged() > of
		}
	}
	eventually(t, time.Minute, "all show it again and again", running(2))
	daemon.terminate()
	eventually(t, time.Minute, "they say that nobody answers", func() bool {
		return strings.Contains(drawn.String(), "NO ANSWER") && strings.Contains(text.stderr.String(), "waiting") && strings.Contains(lines.stderr.String(), "waiting")
	})
	so := max(strings.Count(drawn.String(), ", every 100ms"), strings.Count(text.stdout.String(), "\nplatform "), lines.judged())
	w.start(nil, "run", w.inbox)
	eventually(t, time.Minute, "they go on when it is back", running(so))
	for _, p := range []*program{screen, text, lines} {
		p.interrupt()
	}
	for line := range strings.Lines(lines.stdout.String()) {
		var s control.Status
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.At.IsZero() {
			t.Fatalf("%q is no status: %v", line, err)
		}
	}
	wantDrawn(t, drawn.String(), columns, rows)
}

// wantDrawn checks that all of it stays on the screen, and that nothing but what draws it commands the terminal.
func wantDrawn(t *testing.T, all string, columns, rows int) {
	t.Helper()
	frames := strings.Split(all, home)
	if frames[0] != hideCursor+clearScreen || !strings.HasSuffix(all, clearBelow+showCursor) {
		t.Errorf("it begins with %q and ends with %q", frames[0], frames[len(frames)-1])
	}
	cutOff := false
	for _, f := range frames[1:] {
		f = strings.NewReplacer(clearLine, "", clearBelow, "", showCursor, "").Replace(f)
		lines := strings.Split(strings.TrimSuffix(f, "\r\n"), "\r\n")
		if len(lines) > rows-1 {
			t.Fatalf("%d lines on a screen of %d:\n%s", len(lines), rows, f)
		}
		for _, l := range lines {
			if cutOff = cutOff || strings.HasSuffix(l, "more lines"); width(l) > columns || strings.ContainsFunc(l, unreadable) {
				t.Fatalf("%q on a screen of %d columns", l, columns)
			}
		}
	}
	if !cutOff {
		t.Error("it is not said that lines are left out")
	}
}

func TestALineIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line    string
		columns int
		want    string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"会議録画", 8, "会議録画"}, {"会議録画", 7, "会議録…"}, {"会議録画", 6, "会議…"},
		{"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"}, {"", 0, ""}, {"abc", 1, "…"},
	} {
		if got := cut(c.line, c.columns); got != c.want || width(got) > c.columns {
			t.Errorf("of %q %d columns are %q, want %q", c.line, c.columns, got, c.want)
		}
	}
}
