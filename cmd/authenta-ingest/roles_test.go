package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

// The test binary is also the broker of a fleet, so that it can be killed: with this variable set it is a nats-server on
// that port, with its store in that folder. With ports for routes, its own first, it is one of a cluster.
const (
	beTheBroker  = "TEST_BE_THE_BROKER"
	brokerStore  = "TEST_BROKER_STORE"
	brokerRoutes = "TEST_BROKER_ROUTES"
)

func brokerMain() int {
	err := serveNATS(os.Getenv(beTheBroker), os.Getenv(brokerStore), os.Getenv(brokerRoutes))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func serveNATS(port, dir, routes string) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	o := brokerOptions(number, dir)
	if routes != "" {
		if err := beOneOf(o, strings.Split(routes, ",")); err != nil {
			return err
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return errors.New("the server has ended")
}

// beOneOf makes a server one of a cluster, whose routes listen on these ports, its own on the first.
func beOneOf(o *server.Options, ports []string) error {
	own, err := strconv.Atoi(ports[0])
	o.ServerName = "broker-" + ports[0]
	o.Cluster = server.ClusterOpts{Name: "cluster", Host: "127.0.0.1", Port: own}
	o.Routes = server.RoutesFromStr("nats://127.0.0.1:" + strings.Join(ports, ",nats://127.0.0.1:"))
	return err
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
