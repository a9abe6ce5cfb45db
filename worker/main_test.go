package worker

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "24") // these tests mostly wait; -parallel still overrides it
	goleak.VerifyTestMain(m)
}
