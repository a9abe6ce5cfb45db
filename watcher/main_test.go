package watcher

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// asNobody names the variable that has a run of this binary give up root's rights, and be that user.
const asNobody = "WATCHER_TEST_AS_NOBODY"

var long = flag.Bool("long", false, "run the long forms of tests, which take minutes")

// users are those that children run as: one each, because some limits are a user's.
var users atomic.Int32

func TestMain(m *testing.M) {
	if uid, err := strconv.Atoi(os.Getenv(asNobody)); err == nil && os.Geteuid() == 0 {
		for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)} {
			if err != nil {
				fmt.Fprintln(os.Stderr, "give up root's rights:", err)
				os.Exit(2)
			}
		}
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // most of what is done here is waiting
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// inChild runs the calling test again in a process of its own, without root's rights, and reports whether this is
// that process.
func inChild(t *testing.T) bool {
	t.Helper()
	return runAgain(t, asNobody, fmt.Sprint(65534-users.Add(1)), nil)
}

// runAgain runs the calling test again in a process of its own, with a variable set, and reports whether this is that
// process.
func runAgain(t *testing.T, variable, value string, attr *syscall.SysProcAttr) bool {
	t.Helper()
	if os.Getenv(variable) != "" {
		return true
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(binary, "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), variable+"="+value)
	child.SysProcAttr = attr
	out, err := child.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC): // namespaces are not for us
		t.Skipf("start a process of its own: %v", err)
	case err != nil:
		t.Errorf("in a process of its own (%s=%s): %v\n%s", variable, value, err, out)
	case strings.Contains(string(out), "--- SKIP: "+t.Name()):
		t.Skipf("in a process of its own: %s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("the process of its own (%s=%s) did not run the test:\n%s", variable, value, out)
	}
	return false
}
