package deploy_test

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

	"golang.org/x/sys/unix"
)

// With beTheContainer set, the test binary becomes a container: it goes to a root of its own that cannot be written to, gives all
// rights away, and runs a command. The variable holds a container, as JSON.
const beTheContainer = "TEST_BE_THE_CONTAINER"

// A container is what a container runtime makes of the image, as far as the program can tell.
type container struct {
	Root     string            // what is in the image
	Writable map[string]string // folders by where they are in the container
	ReadOnly map[string]string
	Command  []string
	Env      map[string]string
}

// The user of the image.
const nobody = 65532

func init() {
	becomes[beTheContainer] = func(text string) error {
		var c container
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return err
		}
		return fmt.Errorf("become a container: %w", c.become())
	}
}

// become returns only if it fails.
func (c container) become() error {
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount(c.Root, c.Root, "", unix.MS_BIND, "")); err != nil {
		return err
	}
	bind := func(from, to string, flags uintptr) error {
		to = filepath.Join(c.Root, to)
		return errors.Join(unix.Mount(from, to, "", unix.MS_BIND, ""), unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NOSUID|flags, ""))
	}
	for to, from := range c.Writable {
		if err := bind(from, to, 0); err != nil {
			return fmt.Errorf("%s: %w", to, err)
		}
	}
	for to, from := range c.ReadOnly {
		if err := bind(from, to, unix.MS_RDONLY); err != nil {
			return fmt.Errorf("%s: %w", to, err)
		}
	}
	err := errors.Join(
		unix.Mount("proc", filepath.Join(c.Root, "proc"), "proc", 0, ""),
		unix.Mount("", c.Root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID, ""),
		os.Chdir(c.Root), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/"),
		syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody), unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
	)
	if err != nil {
		return err
	}
	var env []string
	for name, value := range c.Env {
		env = append(env, name+"="+value)
	}
	return unix.Exec(filepath.Join(c.Env["PATH"], c.Command[0]), c.Command, env)
}

// A host runs containers of the image. What it runs shares a network in which nothing else is.
type host struct {
	t    *testing.T
	net  *os.File
	root string
	env  map[string]string
}

// newHost unpacks the image. The test is skipped where nobody can make containers.
func newHost(t *testing.T) *host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make containers")
	}
	h := &host{t: t, root: t.TempDir(), env: imageEnv(t)}
	// t.TempDir is in a folder of root's alone
	if err := errors.Join(os.Chmod(h.root, 0o755), os.Chmod(filepath.Dir(h.root), 0o755)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(h.root, "usr/local/bin/authenta-ingest"), read(t, program(t)), 0o755)
	for _, dir := range []string{h.env["INGEST_STATE_DIR"], "tmp", "inbox", "keys", "proc"} {
		if err := os.MkdirAll(filepath.Join(h.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if h.net, err = newNetwork(); err != nil {
		t.Skipf("this system lets nobody make a network: %v", err)
	}
	t.Cleanup(func() { h.net.Close() })
	return h
}

// newNetwork makes a network with nothing but a loopback interface.
func newNetwork() (*os.File, error) {
	type made struct {
		net *os.File
		err error
	}
	done := make(chan made)
	go func() { // its thread goes with it
		if err := onAThreadOfItsOwn(unix.CLONE_NEWNET); err != nil {
			done <- made{nil, err}
			return
		}
		net, err := os.Open("/proc/thread-self/ns/net")
		done <- made{net, errors.Join(err, linkUp())}
	}()
	m := <-done
	return m.net, m.err
}

// folder makes one that has an owner.
func (h *host) folder(owner int, mode os.FileMode) string {
	h.t.Helper()
	dir := h.t.TempDir()
	if err := errors.Join(os.Chmod(dir, mode), os.Chown(dir, owner, owner)); err != nil {
		h.t.Fatal(err)
	}
	return dir
}

// start runs a container with the variables of the image and more.
func (h *host) start(c container, env map[string]string, args ...string) *process {
	h.t.Helper()
	c.Root, c.Command, c.Env = h.root, imageCommand(h.t, args...), maps.Clone(h.env)
	maps.Copy(c.Env, env)
	text, err := json.Marshal(c)
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), beTheContainer+"="+string(text))
	return h.run(cmd, unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWIPC)
}

// run starts a command in the host's network.
func (h *host) run(cmd *exec.Cmd, flags uintptr) *process {
	h.t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	p := &process{t: h.t, cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	var err error
	if p.exited, err = start(cmd, h.net); err != nil {
		h.t.Skipf("this system lets nobody make containers: %v", err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.exited
		if h.t.Failed() {
			h.t.Logf("%v:\n%s", cmd.Args, p.out.String())
		}
	})
	return p
}

// Whoever runs the image as deploy/README.md says needs no right, and no place to write but the volume; a worker needs none but
// the folder for copies. Keys are in files.
func TestTheImageWorksWithoutRightsOnAFileSystemThatCannotBeWrittenTo(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	platform := exec.Command(program(t), "sandbox", "--client-id", "test-id", "--client-secret", "test-secret", "--latency", "100ms")
	h.run(platform, 0)
	inbox, keys, state := h.folder(0, 0o755), h.folder(0, 0o755), h.folder(nobody, 0o700)
	write(t, filepath.Join(keys, "client-id"), "test-id\n", 0o444)
	write(t, filepath.Join(keys, "client-secret"), "test-secret\n", 0o444)
	h.env["AUTHENTA_URL"] = "http://127.0.0.1:9090"
	withKeys := func(more map[string]string) map[string]string {
		all := map[string]string{"AUTHENTA_CLIENT_ID_FILE": "/keys/client-id", "AUTHENTA_CLIENT_SECRET_FILE": "/keys/client-secret"}
		maps.Copy(all, more)
		return all
	}
	for i := range 2 { // one is judged from the folder, the other from a copy
		media := read(t, "../cmd/authenta-ingest/testdata/media/portrait.jpg") + fmt.Sprint(i)
		write(t, filepath.Join(inbox, fmt.Sprintf(".%d.jpg", i)), media, 0o644)
	}
	come := func(i int) {
		if err := os.Rename(filepath.Join(inbox, fmt.Sprintf(".%d.jpg", i)), filepath.Join(inbox, fmt.Sprintf("%d.jpg", i))); err != nil {
			t.Fatal(err)
		}
	}
	// All in one: the store is in the volume, which a runtime makes as it is in the image, and the folder is mounted.
	volumes := container{Writable: map[string]string{h.env["INGEST_STATE_DIR"]: state}, ReadOnly: map[string]string{"/inbox": inbox, "/keys": keys}}
	settings := map[string]string{"INGEST_DIRS": "/inbox", "INGEST_SETTLE": "100ms"}
	forOthers := map[string]string{"INGEST_NATS_LISTEN": "0.0.0.0:4222", "INGEST_NATS_TOKEN_FILE": "/keys/token"}
	write(t, filepath.Join(keys, "token"), "a token\n", 0o444)
	maps.Copy(forOthers, settings)
	first := h.start(volumes, withKeys(forOthers))
	come(0)
	eventually(t, time.Minute, "the file in the folder is judged", func() bool { return strings.Contains(first.out.String(), "/inbox/0.jpg\n") })
	h.start(container{}, nil, "health").ends(0)                                 // as the runtime asks it
	h.start(container{ReadOnly: volumes.ReadOnly}, forOthers, "status").ends(0) // as a person asks it, in its container
	first.terminate(0)
	h.start(container{}, nil, "health").ends(1)
	if _, err := os.Stat(filepath.Join(state, "clean")); err != nil {
		t.Errorf("the store was not closed: %v", err)
	}
	// Apart: one that has the folder and no keys, and a worker that has neither volume nor folder, but a place for copies.
	settings["INGEST_ROLE"], settings["INGEST_STAGE"] = "watcher", "store"
	delete(volumes.ReadOnly, "/keys")
	watcher := h.start(volumes, settings)
	worker := h.start(container{Writable: map[string]string{"/tmp": h.folder(nobody, 0o700)}, ReadOnly: map[string]string{"/keys": keys}},
		withKeys(map[string]string{"INGEST_ROLE": "worker", "NATS_URL": "nats://127.0.0.1:4222", "TMPDIR": "/tmp/copies", "INGEST_HTTP": ":8081", "INGEST_HOST": "elsewhere"}))
	come(1)
	eventually(t, time.Minute, "the file is judged from its copy", func() bool { return strings.Contains(worker.out.String(), "/inbox/1.jpg\n") })
	if strings.Contains(worker.out.String(), "/inbox/0.jpg") {
		t.Error("a file is judged twice")
	}
	worker.terminate(0)
	watcher.terminate(0)
}

// Nothing is written but to the volume, also if it is not there: then the program says so, and ends.
func TestTheImageSaysThatItHasNoVolume(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start(container{}, map[string]string{"INGEST_DIRS": "/inbox", "AUTHENTA_API_KEY": "test"})
	p.ends(1)
	if said := p.out.String(); !strings.Contains(said, h.env["INGEST_STATE_DIR"]) || !strings.Contains(said, "read-only file system") {
		t.Errorf("it says %s", said)
	}
}
