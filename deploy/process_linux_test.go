package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process is one that a test has started, and that ends with it.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    output
	exited chan struct{}
}

// ends wants the process to end with a code.
func (p *process) ends(code int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		p.t.Fatal("it does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("it ended with %d, want %d", got, code)
	}
}

// terminate stops the process as whoever runs it does, and wants it to end with a code.
func (p *process) terminate(code int) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	p.ends(code)
}

// An output may be read while a process writes to it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// onAThreadOfItsOwn keeps the goroutine on a thread, with namespaces that are that thread's alone. The thread ends with the
// goroutine.
func onAThreadOfItsOwn(flags int) error {
	runtime.LockOSThread()
	return unix.Unshare(flags | unix.CLONE_FS)
}

// start starts a command, in a network if it is given one, and returns what is closed when it has ended. Its code is then in the
// command's ProcessState. All is done by one thread, which stays as long as the command runs: a command that is to die with
// whoever has started it (Pdeathsig) would die with the thread.
func start(cmd *exec.Cmd, net *os.File) (exited chan struct{}, err error) {
	exited = make(chan struct{})
	started := make(chan error)
	go func() {
		defer close(exited)
		err := onAThreadOfItsOwn(0)
		if err == nil && net != nil {
			err = unix.Setns(int(net.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	return exited, <-started
}
