package deploy_test

import (
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

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
