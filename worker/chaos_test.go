package worker

import (
	"fmt"
	"testing"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

func TestTwoWorkersOnOneQueuePayForEachContentOnceWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	const files = 200
	r := newRig(t)
	t.Logf("seed %d", r.Seed())
	r.Faults(
		sandbox.Fault{Op: sandbox.OpAny, Do: sandbox.ServerError, Rate: 0.05},
		sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.CutAfter, Rate: 0.05},
		sandbox.Fault{Op: sandbox.OpCreate, Do: sandbox.CutAfter, Rate: 0.05},
		sandbox.Fault{Op: sandbox.OpAny, Do: sandbox.Garbage, Rate: 0.05},
	)
	other, err := queue.Open(deadline(t), r.conn, queue.Options{Log: quiet})
	must(t, err)
	second := r.options
	second.Queue = other
	var all []file
	for i := range files {
		all = append(all, r.file(fmt.Sprintf("%d.jpg", i)))
	}
	r.run()
	background(t, "the other worker", New(second).Run)
	r.patience = 2 * patience // some files meet four faults in a row, each a wait of seconds
	r.await("all are answered", func() bool { return r.answered() >= files })
	r.wantIdle()
	r.wantNoFailure()
	r.wantPaidOnce(all...)
	if twice := r.Ledger().PaidTwice(); len(twice) > 0 {
		t.Errorf("paid twice: %v", twice)
	}
	for _, f := range all {
		if r.answer(f) != "verdict" {
			t.Errorf("%s: %q", f.Drop.Name, r.answer(f))
		}
	}
	l := r.Ledger()
	t.Logf("%d files: %d creates, %d PUTs, %d queries; calls %v", files, l.Creates, l.PutsBegun, l.Query, l.Calls)
}
