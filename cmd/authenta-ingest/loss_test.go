package main

import (
	"os"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestAStateFolderThatIsDeletedUnderARunningDaemonEndsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.drop(0, 3)
	p := w.start(nil, "run", w.inbox)
	eventually(t, time.Minute, "all are paid for", func() bool { return len(w.platform.Ledger().Paid) == 3 })
	eventually(t, time.Minute, "it is gone", func() bool { return os.RemoveAll(w.state) == nil })
	if code := p.wait(time.Minute); code != exitFailure {
		t.Errorf("ended with %d", code)
	}
	w.drop(3, 3)
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Errorf("the next run ended with %d", code)
	}
	w.promises(6, 6)
}
