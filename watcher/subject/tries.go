package subject

import (
	"errors"
	"maps"
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
// also while the queue is full, or the broker restarts. Nor does when it was published: it may have been while nobody was there.
type tries struct {
	mu     sync.Mutex
	made   map[queue.DropID]*tried
	pruned time.Time
}

// A tried is what was tried of a message.
type tried struct {
	count       int
	first, last time.Time
}

const (
	// manyTried is how many messages are remembered before those are forgotten that do not come back: others have taken them in.
	manyTried = 10_000
	// comesBack is longer than any message is put off.
	comesBack = 2 * time.Hour
)

// met takes note of a message, and returns what is known of it.
func (t *tries) met(id queue.DropID) *tried {
	now := time.Now()
	if t.made == nil {
		t.made = map[queue.DropID]*tried{}
	}
	if len(t.made) >= manyTried && now.Sub(t.pruned) > time.Minute {
		t.pruned = now
		maps.DeleteFunc(t.made, func(_ queue.DropID, m *tried) bool { return now.Sub(m.last) > comesBack })
	}
	m := t.made[id]
	if m == nil {
		m = &tried{first: now}
		t.made[id] = m
	}
	m.last = now
	return m
}

// add counts one, and returns how many there were.
func (t *tries) add(id queue.DropID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.met(id)
	m.count++
	return m.count
}

// since returns for how long a message has been waited for.
func (t *tries) since(id queue.DropID) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.met(id).first)
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
