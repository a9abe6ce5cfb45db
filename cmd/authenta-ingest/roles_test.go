package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

// The test binary is also the broker of a fleet, so that it can be killed: with this variable set it is a nats-server on
// that port, with its store in that folder.
const (
	beTheBroker = "TEST_BE_THE_BROKER"
	brokerStore = "TEST_BROKER_STORE"
)

func brokerMain() int {
	port, err := strconv.Atoi(os.Getenv(beTheBroker))
	if err == nil {
		var s *server.Server
		if s, err = server.NewServer(brokerOptions(port, os.Getenv(brokerStore))); err == nil {
			s.Start()
			s.WaitForShutdown()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// With findLeaks set, the program looks for goroutines that it has left when it is done, and ends with exitLeak if there
// are any.
const (
	findLeaks = "TEST_FIND_LEAKS"
	exitLeak  = 90
)

// observedMain is the program as tests watch it.
func observedMain() int {
	tellWhenAsked()
	code := realMain()
	if os.Getenv(findLeaks) == "" {
		return code
	}
	err := goleak.Find()
	for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); {
		err = goleak.Find() // connections to the platform are closed when they have been idle for a while
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitLeak
	}
	return code
}

// With tellSelf set, the program writes at every SIGUSR1 what only it can tell of itself to that file: the heap that was
// live at the last collection, and its goroutines.
const tellSelf = "TEST_TELL_SELF"

func tellWhenAsked() {
	path := os.Getenv(tellSelf)
	if path == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
			metrics.Read(live)
			var b bytes.Buffer
			fmt.Fprintln(&b, live[0].Value.Uint64(), runtime.NumGoroutine())
			_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
			if err := deposit(path, b.Bytes()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}()
}
