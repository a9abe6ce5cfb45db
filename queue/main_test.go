package queue_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	long   = flag.Bool("long", false, "run random tests for minutes")
)

func TestMain(m *testing.M) {
	if os.Getenv(beTheBroker) != "" {
		os.Exit(brokerMain())
	}
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", "8") // they wait more than they work
	}
	goleak.VerifyTestMain(m)
}
