package deploy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With beTheMachine set, the test binary becomes a machine that systemd boots: a copy of this one, with files of the folder that
// the variable names put over it, in namespaces of its own. What is written on it goes with it.
const beTheMachine = "TEST_BE_THE_MACHINE"

const systemd = "/lib/systemd/systemd"

func init() { becomes[beTheMachine] = bootMachine }

// bootMachine turns this process into the systemd of a machine.
func bootMachine(over string) error {
	runtime.LockOSThread() // it is this thread's namespaces that count, and its that the next program has
	steps := []struct {
		what string
		do   func() error
	}{
		{"a cgroup of its own", func() error { return unix.Unshare(unix.CLONE_NEWCGROUP) }},
		{"a network of its own", linkUp},
		{"a disk", func() error { return mountDisk(over) }},
		{"its devices", makeDevices},
		{"its root", func() error {
			return errors.Join(os.Mkdir("old", 0o755), unix.PivotRoot(".", "old"), unix.Unmount("old", unix.MNT_DETACH), os.Chdir("/"))
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("give a machine %s: %w", s.what, err)
		}
	}
	os.Clearenv()
	return unix.Exec(systemd, []string{systemd, "--system", "--unit=machine.target", "--log-target=console", "--show-status=no"},
		[]string{"container=test", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
}

// mountDisk makes the machine's disk, and goes there. It is in memory; below it is this machine's, which is not written to.
func mountDisk(over string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	dir := filepath.Join(over, "disk")
	if err := errors.Join(os.Mkdir(dir, 0o755), unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755")); err != nil {
		return err
	}
	root, upper, work := filepath.Join(dir, "root"), filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	err := errors.Join(os.Mkdir(root, 0o755), os.Mkdir(work, 0o755), os.CopyFS(upper, os.DirFS(filepath.Join(over, "files"))),
		unix.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", upper, work)), os.Chdir(root))
	for _, m := range []struct{ what, at, with string }{
		{"proc", "proc", ""}, {"sysfs", "sys", ""}, {"cgroup2", "sys/fs/cgroup", ""}, {"tmpfs", "run", "mode=755"}, {"tmpfs", "tmp", "mode=1777"},
		{"tmpfs", "dev", "mode=755"}, {"tmpfs", "srv", "mode=755"},
	} {
		if err == nil {
			err = unix.Mount(m.what, m.at, m.what, 0, m.with)
		}
	}
	return err
}

// makeDevices makes those that systemd looks for.
func makeDevices() error {
	unix.Umask(0)
	var err error
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		err = errors.Join(err, unix.Mknod("dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))))
	}
	unix.Umask(0o022)
	for to, from := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "ptmx": "pts/ptmx"} {
		err = errors.Join(err, os.Symlink(from, "dev/"+to))
	}
	return errors.Join(err, unix.Mknod("dev/tty", unix.S_IFCHR|0o666, int(unix.Mkdev(5, 0))), os.WriteFile("dev/console", nil, 0o600),
		os.Mkdir("dev/shm", 0o777), os.Mkdir("dev/pts", 0o755), os.Mkdir("dev/mqueue", 0o755),
		unix.Mount("devpts", "dev/pts", "devpts", 0, "newinstance,ptmxmode=0666"), unix.Mount("mqueue", "dev/mqueue", "mqueue", 0, ""))
}

// linkUp brings the loopback interface up.
func linkUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// A machine runs systemd, and nothing but what a test has it start.
type machine struct {
	t   *testing.T
	pid string
}

// boot starts a machine that has some files over those of this one, by their paths without the slash before them. The test is
// skipped where none can be made.
func boot(t *testing.T, files map[string]string) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make a machine")
	}
	for _, needed := range []string{systemd, "nsenter", "systemctl"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("a machine needs systemd and nsenter: %v", err)
		}
	}
	over := t.TempDir()
	for path, text := range files {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "\x7fELF") {
			mode = 0o755
		}
		write(t, filepath.Join(over, "files", path), text, mode)
	}
	group, fd := newGroup(t)
	defer fd.Close()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), beTheMachine+"="+over)
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		UseCgroupFD: true, CgroupFD: int(fd.Fd()), Pdeathsig: syscall.SIGKILL,
	}
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	exited, err := start(c, nil)
	if err != nil {
		t.Skipf("this system lets nobody make a machine: %v", err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // and with it all that runs there
		<-exited
		removeGroup(t, group)
	})
	m := &machine{t: t, pid: strconv.Itoa(c.Process.Pid)}
	eventually(t, time.Minute, "the machine is up", func() bool {
		select {
		case <-exited:
			t.Skipf("this system lets nobody make a machine: %s", said.String())
		default:
		}
		out, _ := m.try("systemctl is-system-running")
		return out == "running" || out == "degraded"
	})
	return m
}

// newGroup makes a control group for a machine, and opens it.
func newGroup(t *testing.T) (string, *os.File) {
	t.Helper()
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	defer mounts.Close()
	for line := bufio.NewScanner(mounts); line.Scan(); {
		if f := strings.Fields(line.Text()); len(f) > 2 && f[2] == "cgroup2" {
			group, err := os.MkdirTemp(f[1], "authenta-ingest-test-")
			if err != nil {
				t.Skipf("this system lets nobody make a control group: %v", err)
			}
			fd, err := os.Open(group)
			if err != nil {
				t.Fatal(err)
			}
			return group, fd
		}
	}
	t.Skip("there are no control groups of version 2")
	return "", nil
}

// removeGroup removes the groups of a machine that is gone, the innermost first.
func removeGroup(t *testing.T, group string) {
	var all []string
	err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	for _, dir := range slices.Backward(all) {
		eventually(t, 10*time.Second, "the group "+dir+" is empty", func() bool { return !errors.Is(os.Remove(dir), syscall.EBUSY) })
	}
	if err != nil {
		t.Error(err)
	}
}

// try runs a command of the shell on the machine.
func (m *machine) try(command string) (string, error) {
	return run(m.t, "nsenter", "--target", m.pid, "--mount", "--pid", "--uts", "--ipc", "--net", "--root", "--wd", "sh", "-euc", command)
}

// must runs a command that has to succeed.
func (m *machine) must(command string) string {
	m.t.Helper()
	out, err := m.try(command)
	if err != nil {
		m.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return out
}

// await waits until a command says something.
func (m *machine) await(command, want string) {
	m.t.Helper()
	last := ""
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("%s said last: %s", command, last)
		}
	})
	eventually(m.t, time.Minute, command+" says "+want, func() bool {
		last, _ = m.try(command)
		return last == want
	})
}
