package deploy_test

import (
	"bytes"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
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
