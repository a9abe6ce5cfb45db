package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// notRun are commands of the documents that are not run here, and why.
var notRun = map[string]string{
	"go test -race ./...": "it is what runs this test",
}

// Each section of the documents is followed literally, by a reader who has a machine of his own: the network, the folders below
// /srv and the names of other machines are nobody else's, and so the ports and paths can be those that the document says. The
// platform is the simulated one, and takes "..." for a key, as the documents write it.
func TestWhatTheDocumentsSayToTypeWorks(t *testing.T) {
	t.Parallel()
	probe := exec.Command(os.Args[0], "-test.run=^$")
	probe.SysProcAttr = machineOfItsOwn()
	if err := probe.Run(); err != nil {
		t.Skipf("this system gives no namespaces to processes: %v", err)
	}
	for _, document := range documents {
		for _, s := range sections(t, document) {
			t.Run(document+"/"+s.Title, func(t *testing.T) {
				t.Parallel()
				follow(t, s)
			})
		}
	}
}

func machineOfItsOwn() *syscall.SysProcAttr {
	as := ownNamespaces()
	as.Cloneflags |= syscall.CLONE_NEWNET
	if os.Getuid() == 0 { // then there may be other users and groups, too
		all := []syscall.SysProcIDMap{{Size: 1 << 16}}
		as.UidMappings, as.GidMappings = all, all
	}
	return as
}

// follow has a reader follow a section.
func follow(t *testing.T, s section) {
	t.Helper()
	kept := s.Commands[:0:0]
	for _, c := range s.Commands {
		if why, known := notRun[c]; known {
			t.Logf("not run: %s (%s)", c, why)
			continue
		}
		if name, _, _ := strings.Cut(c, " "); slices.Contains([]string{"nats", "curl", "promtool"}, name) && !has(t, name) {
			t.Logf("not run, as there is no such command here: %s", c)
			continue
		}
		kept = append(kept, c)
	}
	if s.Commands = kept; len(kept) == 0 {
		return
	}
	order, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	reader := exec.Command(os.Args[0])
	reader.SysProcAttr = machineOfItsOwn()
	reader.Dir = clone(t, home)
	reader.Stdin = bytes.NewReader(order)
	reader.Env = append(goEnvironment(t), beTheReader+"=1", "HOME="+home, "LANG=C.UTF-8",
		"PATH="+strings.Join([]string{filepath.Join(home, "bin"), filepath.Join(home, "go", "bin"), os.Getenv("PATH")}, ":"))
	out, err := reader.CombinedOutput()
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s", out)
}

// clone copies the repository, as far as it is committed, and returns where it is.
func clone(t *testing.T, home string) string {
	t.Helper()
	to := filepath.Join(home, "authenta-ingest")
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		from := filepath.Join("../..", e.Name())
		switch {
		case e.Name() == ".git" || e.Name() == ".authenta-ingest":
		case e.IsDir():
			err = errors.Join(err, os.CopyFS(filepath.Join(to, e.Name()), os.DirFS(from)))
		default:
			data, bad := os.ReadFile(from)
			err = errors.Join(err, bad, os.MkdirAll(to, 0o755), os.WriteFile(filepath.Join(to, e.Name()), data, 0o644))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// goEnvironment is how the go command finds what is compiled and downloaded already. The documents' commands build without a C
// compiler, as the releases are built.
func goEnvironment(t *testing.T) []string {
	t.Helper()
	env := []string{"CGO_ENABLED=0", "GOPROXY=off", "GOTOOLCHAIN=local"}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(out)))
	}
	return env
}

// has reports whether a command is there. Where all of them have to be, its lack is a failure.
func has(t *testing.T, command string) bool {
	t.Helper()
	_, err := exec.LookPath(command)
	if err != nil && os.Getenv("CI") != "" {
		t.Errorf("no %s on this machine: %v", command, errors.Unwrap(err))
	}
	return err == nil
}
