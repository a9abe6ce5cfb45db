package subject

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// A notYet is an error that the next try may not meet.
type notYet struct {
	after time.Duration
	error
}

func (e *notYet) Unwrap() error { return e.error }

// errBusy says that as many servers are being asked as may be at a time.
var errBusy = errors.New("other references are being followed")

// tries counts how often this process has tried in vain to follow a reference. How often a message was handed out says less: it is
// also while the queue is full, or the broker restarts.
type tries struct {
	mu   sync.Mutex
	made map[queue.DropID]int
}

// add counts one, and returns how many there were.
func (t *tries) add(id queue.DropID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made == nil {
		t.made = map[queue.DropID]int{}
	}
	t.made[id]++
	return t.made[id]
}

func (t *tries) forget(id queue.DropID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.made, id)
}

// soon are the waits before something is looked for again that may be complete, or be seen, in a moment: a file that is being written, an
// object on a replica that lags behind.
var soon = []time.Duration{time.Second, 5 * time.Second}

// missing are the waits before a file is looked for again that is not there: it may just not be seen yet, or be on another disk
// that another machine has under the same path. That gets the message as likely as this one.
var missing = slices.Repeat([]time.Duration{time.Second}, 10)

// outage are the waits before a server is asked again that did not answer as it should: some forty minutes in all.
var outage = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// again has a message handed out again later, or refused if that was done often enough.
func (t *Taker) again(m queue.Message, waits []time.Duration, atLeast time.Duration, reason queue.Reason, err error) error {
	n := t.tries.add(m.ID)
	if n > len(waits) {
		return refuse(reason, "%v (tried %d times)", err, n)
	}
	return &notYet{max(waits[n-1], atLeast), err}
}
