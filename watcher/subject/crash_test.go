package subject

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// A crash stops everything that is durable at its step, counted from when it is armed, and tells.
type crash struct {
	mu    sync.Mutex
	armed bool
	left  int
	at    string
}

func (c *crash) step(point string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed {
		return
	}
	if c.left--; c.left > 0 {
		return
	}
	if c.at == "" {
		c.at = point
	}
	if strings.HasSuffix(point, "ack") { // nothing more is said to the broker: it hands the message out again when it has waited
		runtime.Goexit()
	}
	panic("crash " + point) // the message is given back
}

// has reports whether it has crashed.
func (c *crash) has() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at != ""
}

// TestACrashAnywhereIsNotDecidedOnAgain has everything end before and after each durable step of a message's way. What the message
// refers to is gone by the time it is handed out again, and its drop has one answer nevertheless.
func TestACrashAnywhereIsNotDecidedOnAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name  string
		steps []int // of those that it has
		few   []int
	}{
		{"https", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, []int{4, 6, 7, 10}},
		{"file", []int{1, 2, 3, 4, 5, 6, 7, 8}, []int{2, 4, 7}},
		{"media", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, []int{6}},
	} {
		steps := kind.few
		if *long {
			steps = kind.steps
		}
		for _, n := range steps {
			t.Run(fmt.Sprintf("%s, step %d", kind.name, n), func(t *testing.T) {
				t.Parallel()
				crashOnce(t, kind.name, n)
			})
		}
	}
}

func crashOnce(t *testing.T, kind string, step int) {
	w := newWorld(t)
	c := &crash{left: step}
	stop := w.takeFrom(w.open(c.step))
	c.mu.Lock()
	c.armed = true
	c.mu.Unlock()
	id, vanish := w.something(kind)
	w.await("it crashes, or the message is taken in", func() bool {
		n, err := w.Untaken(w.deadline())
		return c.has() || err == nil && n == 0
	})
	vanish()
	c.mu.Lock()
	c.left = 1 // whatever it still does is not done
	at := c.at
	c.mu.Unlock()
	stop()
	t.Logf("crashed %s", at)
	w.take()
	w.judge()
	w.settled()
	if undecided := strings.Contains(at, "before $KV.authenta-files") || strings.Contains(at, "$O."); kind == "media" || !undecided {
		w.verdict(id)
	}
	w.await("an answer", func() bool { return w.answers(id) > 0 })
	if !strings.Contains(at, "$O.") { // half an object is left to the sweep
		w.wantNothingStaged()
	}
	if n := w.answers(id); n != 1 {
		t.Errorf("%d different answers after a crash %s", n, at)
	}
}

// something publishes a message, and returns what makes vanish what it refers to.
func (w *world) something(kind string) (id queue.DropID, vanish func()) {
	switch kind {
	case "https":
		var gone atomic.Bool
		address := w.serve("/a.jpg", func(rw http.ResponseWriter, _ *http.Request) {
			if gone.Load() {
				rw.WriteHeader(http.StatusGone)
				return
			}
			_, _ = rw.Write(picture(1))
		})
		return w.refer(map[string]any{"uri": address}), func() { gone.Store(true) }
	case "file":
		path := w.write("a.jpg", picture(1))
		return w.refer(map[string]any{"uri": queue.FileURI(path)}), func() { _ = os.Remove(path) }
	}
	return w.publish(picture(1)), func() {}
}

// answers counts the different terminal messages of a drop.
func (w *world) answers(id queue.DropID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	kinds := map[string]bool{}
	for _, v := range w.verdicts {
		if v.ID == id {
			kinds["verdict "+string(v.Outcome)] = true
		}
	}
	for _, f := range w.failures {
		if f.ID == id {
			kinds["failure "+string(f.Reason)] = true
		}
	}
	return len(kinds)
}
