// Package deploy_test checks what is here for those who install and watch the program: that tools take it as it is, and that it
// fits the program as it is built.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// becomes are what the test binary can turn into instead of running tests, by the variable with which a test has it do so. They
// are given what it holds, and return only if they fail.
var becomes = map[string]func(string) error{}

func TestMain(m *testing.M) {
	for name, become := range becomes {
		if value := os.Getenv(name); value != "" {
			fmt.Fprintln(os.Stderr, become(value))
			os.Exit(1)
		}
	}
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// built is the program as it is delivered; it is built once.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// program returns the path of the program, built with the flags of the Dockerfile. Others may run it.
func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "authenta-ingest-deploy-*"); built.err != nil {
			return
		}
		args := buildCommand(t)
		c := exec.Command("go", append(args, "-o", filepath.Join(built.dir, "authenta-ingest"), "./cmd/authenta-ingest")...)
		c.Dir = ".."
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := c.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%v: %w: %s", c.Args, err, out)
		}
		built.err = errors.Join(err, os.Chmod(built.dir, 0o755))
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "authenta-ingest")
}

// tool looks a command up. Where there is none, the test is skipped; in CI, where all are installed, that is a failure.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatalf("CI is set, and there is no %s: .ci/run installs it", name)
	}
	t.Skipf("there is no %s on this machine", name)
	return ""
}

// read returns a file of this folder.
func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// write makes a file, and the folders that it is in.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// run runs a command and returns what it says.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return strings.TrimSpace(out.String()), err
}

// eventually waits for a condition.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("after %s still not: %s", limit, what)
		case <-tick.C:
		}
	}
}

// blocks returns the text of the fenced blocks of a language under one heading of README.md.
func blocks(t *testing.T, heading, language string) []string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, "README.md"), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", heading)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var found []string
	for {
		_, after, ok := strings.Cut(section, "\n```"+language+"\n")
		if !ok {
			break
		}
		var text string
		if text, section, ok = strings.Cut(after, "\n```"); !ok {
			t.Fatalf("a block of %q has no end", heading)
		}
		found = append(found, text+"\n")
	}
	if len(found) == 0 {
		t.Fatalf("section %q of README.md has no blocks of %s", heading, language)
	}
	return found
}

// settings are the names of those that the program has.
var settings = sync.OnceValues(func() (map[string]bool, error) {
	out, err := exec.Command(filepath.Join(built.dir, "authenta-ingest"), "config", "--json").Output()
	if err != nil {
		return nil, err
	}
	var list []struct{ Name string }
	err = json.Unmarshal(out, &list)
	names := map[string]bool{}
	for _, s := range list {
		names[s.Name] = true
	}
	return names, err
})

// isSetting reports whether a variable is a setting of the program.
func isSetting(t *testing.T, name string) bool {
	t.Helper()
	program(t)
	names, err := settings()
	if err != nil {
		t.Fatal(err)
	}
	return names[name]
}
