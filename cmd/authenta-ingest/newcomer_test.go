package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The README's first command, with everything but the compiler, in a folder that knows nothing of the program.
func TestTheREADMEsFirstCommandJudgesTheSampleMedia(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^go run \./cmd/authenta-ingest (.*)$`).FindSubmatch(readme)
	if found == nil {
		t.Fatal("the README has no such command")
	}
	args := strings.Fields(string(found[1]))
	media, err := filepath.Abs(filepath.Join("../..", args[len(args)-1]))
	if err != nil {
		t.Fatal(err)
	}
	args[len(args)-1] = media
	// A state folder of its own, and a port that is free; a newcomer's machine has 4222.
	address, _ := freePort(t)
	p := startProgram(t, map[string]string{"INGEST_STATE_DIR": t.TempDir(), "INGEST_NATS_LISTEN": address}, nil, nil, args...)
	if code := p.wait(time.Minute); code != exitDone {
		t.Fatalf("exit code %d", code)
	}
	files, err := os.ReadDir(media)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^(fake|real|inconclusive) +(\d+ %)? +(AC-1|DF-1) +/.*/media/\w+\.\w+$`)
	lines := strings.Split(strings.TrimSpace(p.stdout.String()), "\n")
	if len(lines) != len(files) {
		t.Errorf("%d lines for %d files", len(lines), len(files))
	}
	for _, l := range lines {
		if !line.MatchString(l) {
			t.Errorf("not what a person is told of a file: %q", l)
		}
	}
	if summary := p.stderr.String(); !strings.Contains(summary, "OUTCOME") || !regexp.MustCompile(`(?m)^(fake|real) +\d+$`).MatchString(summary) {
		t.Errorf("no summary: %q", summary)
	}
}
