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
	// A nats-server of a cluster that is shut down while it is told of a stream, or of its copies, may open a store for it and never
	// close that. Ours has no cluster, and is closed before its folder is removed.
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(server+".(*fileStore).flushStreamStateLoop"), goleak.IgnoreTopFunction(server+"/ats.Register.func1"))
}
