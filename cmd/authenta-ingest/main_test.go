package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The test binary is also the program under test: with this variable set it runs the real command line.
const beTheProgram = "TEST_BE_THE_PROGRAM"

// Where the program kills itself: a durable step, and which time that it is passed ("after jobs.await#1").
const (
	crashAt   = "TEST_CRASH_AT"
	stepTrace = "TEST_STEP_TRACE" // file to which every step is appended
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(beTheBroker) != "":
		os.Exit(brokerMain())
	case readerMain != nil && os.Getenv("TEST_BE_THE_READER") != "":
		os.Exit(readerMain())
	case os.Getenv(beTheProgram) != "":
		onStep = stepFromEnvironment()
		hideFolder()
		os.Exit(observedMain())
	}
	flag.Parse()
	// The tests wait for other processes more than they compute; fuzzing computes.
	if flag.Lookup("test.fuzz").Value.String() == "" {
		if err := flag.Set("test.parallel", "16"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// readerMain follows a section of a document, where a test can have a machine of its own for that.
var readerMain func() int

// hideFolder hides what another machine has from the program, where a test can do so.
var hideFolder = func() {}

func stepFromEnvironment() func(string) {
	crash, trace := os.Getenv(crashAt), os.Getenv(stepTrace)
	var mu sync.Mutex
	passed := map[string]int{}
	return func(point string) {
		mu.Lock()
		defer mu.Unlock()
		kind := stepKind(point)
		passed[kind]++
		step := fmt.Sprintf("%s#%d", kind, passed[kind])
		if trace != "" {
			if f, err := os.OpenFile(trace, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
				fmt.Fprintln(f, step)
				f.Close()
			}
		}
		if step == crash {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing after the step may happen
		}
	}
}

// stepKind names a step without what differs from file to file: "before jobs.upload", "after $KV.authenta-ledger".
func stepKind(point string) string {
	when, subject, _ := strings.Cut(point, " ")
	tokens := strings.Split(subject, ".")
	return when + " " + strings.Join(tokens[:min(2, len(tokens))], ".")
}
