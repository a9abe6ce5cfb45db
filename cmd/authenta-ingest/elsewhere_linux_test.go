package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// With hidden set, the program sees nothing in that folder, as if it were on a machine that does not have it. It has to run in
// namespaces of its own.
const hidden = "TEST_HIDE_FOLDER"

func init() {
	hideFolder = func() {
		folder := os.Getenv(hidden)
		if folder == "" {
			return
		}
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "hide a folder:", err)
			os.Exit(exitFailure)
		}
	}
}

func ownNamespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

// elsewhere starts the program on a machine of that name, from which a folder cannot be seen; empty: it sees all.
func (w *world) elsewhere(host, cannotSee string, env map[string]string, args ...string) *program {
	w.t.Helper()
	all := map[string]string{"INGEST_HOST": host}
	maps.Copy(all, env)
	if cannotSee == "" {
		return startProgram(w.t, w.env, all, nil, args...)
	}
	probe := exec.Command(os.Args[0], "-test.run=^$")
	probe.SysProcAttr = ownNamespaces()
	if err := probe.Run(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EACCES) {
		w.t.Skipf("this system gives no namespaces to processes: %v", err)
	}
	all[hidden] = cannotSee
	return startProgram(w.t, w.env, all, ownNamespaces(), args...)
}

func (w *world) wantWaiting(want ...control.HostStatus) {
	w.t.Helper()
	eventually(w.t, time.Minute, fmt.Sprintf("%v wait", want), func() bool {
		return fmt.Sprint(w.status().Waiting) == fmt.Sprint(want)
	})
}

// queue opens the queue of the world's broker.
func (w *world) queue() *queue.Queue {
	w.t.Helper()
	conn, err := queue.Connect(w.env["NATS_URL"], discard)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	q, err := queue.Open(w.t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		w.t.Fatal(err)
	}
	return q
}

func (w *world) answered(q *queue.Queue, n int) {
	w.t.Helper()
	eventually(w.t, finishTime, fmt.Sprintf("%d files have their answers", n), func() bool {
		end, err := q.End(w.t.Context())
		return err == nil && int(end.Verdicts+end.Failures) >= n
	})
}

// event reads the first event of a kind.
func event[T any](t *testing.T, q *queue.Queue, kind string) (e T) {
	t.Helper()
	js, err := jetstream.New(q.NATS())
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.OrderedConsumer(t.Context(), "authenta-events", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"authenta.events." + kind}})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next(jetstream.FetchMaxWait(time.Minute))
	if err == nil {
		err = json.Unmarshal(msg.Data(), &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Nobody but a sees its files: they wait for it, and only it says which are gone.
func TestFilesWaitForAWorkerOnTheirMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.broker()
	const files = 5
	w.drop(0, files)
	watcher := w.elsewhere("a.example", "", watcherOnly(), "run", w.inbox)
	b := w.elsewhere("b", w.inbox, workerOnly, "run", "--json")
	w.wantWaiting(control.HostStatus{Host: "a.example", Files: files})
	if said := w.command("status"); !strings.Contains(said, "5 files for a worker on a.example, where none runs") {
		t.Errorf("status says %s", said)
	}
	if said := b.stderr.String(); strings.Count(said, `"machine":"a.example"`) != 1 || !strings.Contains(said, "INGEST_STAGE=store") {
		t.Errorf("the worker says %s", said)
	}
	if said := watcher.stderr.String(); !strings.Contains(said, "INGEST_STAGE=store") {
		t.Errorf("the watcher says %s", said)
	}
	q := w.queue()
	if e := event[control.HostEvent](t, q, "waiting_for_host"); e.Host != "a.example" || !strings.HasPrefix(e.File, "file://"+w.inbox) {
		t.Errorf("the event says %+v", e)
	}
	once := w.elsewhere("b", w.inbox, workerOnly, "run", "--once")
	if code := once.wait(time.Minute); code != exitPaused || !strings.Contains(once.stderr.String(), "5 files for a worker on a.example") {
		t.Errorf("--once ended with %d: %s", code, once.stderr.String())
	}
	if l := w.platform.Ledger(); l.Creates > 0 {
		t.Errorf("called: %v", l.Calls)
	}
	if end, err := q.End(t.Context()); err != nil || end != (queue.Position{}) {
		t.Errorf("answered by who cannot know: %+v, %v", end, err)
	}
	gone := filepath.Join(w.inbox, "003.jpg")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	a := w.elsewhere("a.example", "", workerOnly, "run")
	w.answered(q, files)
	for _, m := range readTerminals(t, q) {
		if want := m.Name == "003.jpg"; (m.Reason == queue.Unreadable) != want || m.Reason != "" && !want {
			t.Errorf("%s: %q", m.Name, m.Reason)
		}
	}
	if l := w.platform.Ledger(); len(l.Paid) != files-1 || len(l.PaidTwice()) > 0 {
		t.Errorf("paid %v", l.Paid)
	}
	eventually(t, time.Minute, "nothing waits any more, and it is said", func() bool {
		return len(w.status().Waiting) == 0 && strings.Contains(b.stderr.String(), "a worker runs on the machine for which files wait")
	})
	for _, p := range []*program{a, b, watcher} {
		p.terminate()
	}
}

// The file on a is gone before anybody has looked, and b has another with the same content.
func TestACopyOnAnotherMachineBringsAJobOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.broker()
	other := filepath.Join(filepath.Dir(w.inbox), "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	path := w.write("a.jpg", picture(1))
	w.elsewhere("a", "", watcherOnly(), "run", w.inbox)
	w.elsewhere("b", w.inbox, nil, "run", other)
	w.wantWaiting(control.HostStatus{Host: "a", Files: 1})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := deposit(filepath.Join(other, "copy.jpg"), picture(1)); err != nil {
		t.Fatal(err)
	}
	q := w.queue()
	w.answered(q, 2)
	w.check(readTerminals(t, q), 2, 1)
	w.wantWaiting()
}

// Nobody on a works; c, which came later, sees its files under the same path.
func TestAWorkerThatComesLaterAndSeesTheFilesGetsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.broker()
	const files = 5
	w.drop(0, files)
	w.elsewhere("a", "", watcherOnly(), "run", w.inbox)
	w.elsewhere("b", w.inbox, workerOnly, "run")
	w.wantWaiting(control.HostStatus{Host: "a", Files: files})
	w.elsewhere("c", "", workerOnly, "run")
	q := w.queue()
	w.answered(q, files)
	w.check(readTerminals(t, q), files, files)
	w.wantWaiting()
}

// Two machines, each with a folder of its own, work on whatever comes. Half of it comes to the wrong one first.
func TestTwoMachinesWithFoldersOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.broker()
	const each = 40
	other := filepath.Join(filepath.Dir(w.inbox), "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	a := w.elsewhere("a", other, nil, "run", w.inbox)
	b := w.elsewhere("b", w.inbox, nil, "run", other)
	eventually(t, time.Minute, "both work", func() bool { return len(w.status().Workers) == 2 })
	w.drop(0, each)
	for i := range each {
		if err := deposit(filepath.Join(other, fmt.Sprintf("%03d.jpg", i)), picture(each+i)); err != nil {
			t.Fatal(err)
		}
	}
	q := w.queue()
	w.answered(q, 2*each)
	w.check(readTerminals(t, q), 2*each, 2*each)
	for _, p := range []*program{a, b} {
		if said := p.stderr.String(); strings.Contains(said, "files wait for a worker") {
			t.Errorf("files waited, though both worked: %s", said)
		}
		p.terminate()
	}
}
