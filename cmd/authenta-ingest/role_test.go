package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue/control"
)

func TestARoleSaysWhatItLacksAndWhatItHasNoUseFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	nats := map[string]string{"NATS_URL": "nats://127.0.0.1:1"}
	for name, c := range map[string]struct {
		role string
		env  map[string]string
		args []string
		want string
	}{
		"no role":                    {"watch", nats, []string{"run", w.inbox}, "INGEST_ROLE=watch: want all, watcher or worker"},
		"a worker with a folder":     {"worker", nats, []string{"run", w.inbox}, "INGEST_ROLE=worker watches no folders: take " + w.inbox + " out of"},
		"a worker without a key":     {"worker", map[string]string{"NATS_URL": "nats://127.0.0.1:1", "AUTHENTA_CLIENT_ID": "", "AUTHENTA_CLIENT_SECRET": ""}, []string{"run"}, "no key: set"},
		"a watcher without a folder": {"watcher", nats, []string{"run"}, "nothing to watch"},
		"a broker of its own":        {"worker", nil, []string{"run"}, "INGEST_ROLE=worker without a NATS server that others reach"},
		"a sandbox of its own":       {"watcher", nats, []string{"run", "--sandbox", w.inbox}, "authenta-ingest sandbox"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"INGEST_ROLE": c.role}
			for name, value := range c.env {
				env[name] = value
			}
			p := startProgram(t, w.env, env, nil, c.args...)
			if code := p.wait(time.Minute); code != exitUsage {
				t.Errorf("ended with %d, want %d", code, exitUsage)
			}
			if said := p.stderr.String(); !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("said %q, want one line with %q", said, c.want)
			}
		})
	}
}

// broker starts an external NATS for the world's processes, which have no other.
func (w *world) broker() {
	w.t.Helper()
	address, port := freePort(w.t)
	s := natsServer(w.t, port, w.t.TempDir())
	w.t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	w.env["NATS_URL"] = "nats://" + address
}

// watcherOnly is the environment of a process that only takes files in: it has no keys.
func watcherOnly(more ...string) map[string]string {
	env := map[string]string{"INGEST_ROLE": "watcher", "AUTHENTA_CLIENT_ID": "", "AUTHENTA_CLIENT_SECRET": ""}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

var workerOnly = map[string]string{"INGEST_ROLE": "worker"}

// A folder's files are handed in, judged elsewhere, and moved by whoever handed them in, each by a process that ends.
func TestOnceAWatcherAWorkerAndTheWatcherAgain(t *testing.T) {
	t.Parallel()
	const files = 5
	w := newWorld(t, sandbox.Options{Latency: 50 * time.Millisecond})
	w.broker()
	w.drop(0, files)
	move := "move:" + filepath.Join(t.TempDir(), "done")
	run := func(what string, want int, env map[string]string, args ...string) string {
		t.Helper()
		p := w.start(env, append([]string{"run", "--once", "--json"}, args...)...)
		if code := p.wait(time.Minute); code != want {
			t.Fatalf("%s ended with %d, want %d: %s", what, code, want, p.stderr.String())
		}
		return p.stderr.String()
	}
	if said := run("a watcher", exitDone, watcherOnly(), w.inbox); !strings.Contains(said, "on the queue, for workers  5") {
		t.Errorf("it does not say what it has done: %s", said)
	}
	more := w.write("more.jpg", picture(files))
	if said := run("a watcher with something to do afterwards", exitPaused, watcherOnly("INGEST_AFTER", move), w.inbox); !strings.Contains(said, "no worker is there: 6 files") {
		t.Errorf("it does not say what is lacking: %s", said)
	}
	if l := w.platform.Ledger(); l.Mutation+l.Query > 0 {
		t.Errorf("watchers called the platform: %v", l.Calls)
	}
	run("a worker", exitDone, workerOnly)
	if n := len(w.platform.Ledger().Paid); n != files+1 {
		t.Errorf("%d files are judged", n)
	}
	run("the watcher again", exitDone, watcherOnly("INGEST_AFTER", move), w.inbox)
	if _, err := os.Stat(more); !os.IsNotExist(err) {
		t.Errorf("the file that was judged is still there: %v", err)
	}
	run("a worker with nothing to do", exitDone, workerOnly)
}

func TestAWatcherAndAWorkerAtWorkAreShownWithTheirRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.broker()
	watcher := w.start(watcherOnly("INGEST_HOST", "nas", "AUTHENTA_MUTATION_QUOTA", "1"), "run", w.inbox)
	w.drop(0, 3)
	eventually(t, time.Minute, "the files are on the queue", func() bool { return w.status().Queued == 3 })
	worker := w.start(workerOnly, "run", "--json")
	eventually(t, time.Minute, "they are judged", func() bool { return worker.judged() == 3 })
	roles := map[control.Role]control.Member{}
	s := w.status()
	for _, m := range s.Workers {
		roles[m.Role] = m
	}
	if m := roles[control.RoleWatcher]; m.Host != "nas" || len(m.Dirs) != 1 || m.Dirs[0] != w.inbox {
		t.Errorf("the watcher is %+v", m)
	}
	if m := roles[control.RoleWorker]; m.Host != control.Machine() || len(m.Dirs) > 0 || len(s.Workers) != 2 {
		t.Errorf("the worker is %+v of %d", m, len(s.Workers))
	}
	if s.Budget != nil {
		t.Errorf("a watcher's setting is counted by: %+v", s.Budget)
	}
	if said := w.command("status"); !strings.Contains(said, "  watcher  since") || !strings.Contains(said, "  worker  since") {
		t.Errorf("status says %s", said)
	}
	for _, p := range []*program{watcher, worker} {
		p.terminate()
	}
}
