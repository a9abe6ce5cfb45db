package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// finishTime is enough for what a crash holds up: a delivery's time for acknowledgement, and twice the time in which
// the platform may notice bytes late.
const finishTime = 3 * time.Minute

func TestKilledAtRandomMomentsNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	files, rounds := 60, 6
	if *long {
		files, rounds = 200, 20
	}
	contents := files - 10
	w := newWorld(t, sandbox.Options{Latency: 300 * time.Millisecond})
	calls := func() int {
		l := w.platform.Ledger()
		return l.Total(sandbox.OpCreate) + l.Total(sandbox.OpPut) + l.Total(sandbox.OpGet) + l.Total(sandbox.OpList)
	}
	next, amidst := 0, 0
	for range rounds {
		for range files / rounds {
			w.write(fmt.Sprintf("%03d.jpg", next), picture(next%contents))
			next++
		}
		// The random moment: some calls after the start, or a while after the last of them.
		enough := calls() + random.IntN(2*files/rounds)
		p := w.start(nil, "run", w.inbox)
		patience := time.After(10 * time.Second)
		for tick := time.NewTicker(time.Millisecond); calls() < enough; {
			select {
			case <-p.exited:
				t.Fatalf("ended by itself")
			case <-tick.C:
				continue
			case <-patience: // there were not so many to make
			}
			break
		}
		p.kill()
		if l := w.platform.Ledger(); l.PutsCompleted < next-(files-contents) {
			amidst++
		}
	}
	t.Logf("%d of %d kills came when not all was uploaded", amidst, rounds)
	if amidst < rounds/4 {
		t.Error("the kills have hit nothing")
	}
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Errorf("the last run ended with %d", code)
	}
	w.promises(files, contents)
}

func TestKilledBeforeAndAfterEachDurableStepNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("a.jpg", picture(1))
	trace := filepath.Join(t.TempDir(), "steps")
	if code := w.start(map[string]string{stepTrace: trace}, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Fatalf("ended with %d", code)
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	steps := strings.Split(strings.TrimSpace(string(data)), "\n")
	every, first := 5, rand.IntN(5) // told by the names
	if *long {
		every, first = 1, 0
	}
	for i := first; i < len(steps); i += every {
		step := steps[i]
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Options{})
			w.write("a.jpg", picture(1))
			if code := w.start(map[string]string{crashAt: step}, "run", "--once", w.inbox).wait(finishTime); code != -1 {
				t.Fatalf("was not killed there, but ended with %d", code)
			}
			w.write("b.jpg", picture(1)) // a copy that comes while it is down
			if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
				t.Errorf("the second run ended with %d", code)
			}
			w.promises(2, 1)
		})
	}
}

func TestKilledBeforeAndAfterEachCallToThePlatformNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	for _, op := range []sandbox.Op{sandbox.OpCreate, sandbox.OpPut, sandbox.OpGet} {
		for when, effect := range map[string]func(kill func()) sandbox.Effect{"before": killBefore, "after": killAfter} {
			t.Run(fmt.Sprintf("%s %s", when, op), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, sandbox.Options{EventDelay: 3 * time.Second})
				w.write("a.jpg", picture(1))
				started := make(chan *program, 1)
				w.platform.Faults(sandbox.Fault{Op: op, Times: 1, Do: effect(func() { (<-started).kill() })})
				p := w.start(nil, "run", "--once", w.inbox)
				started <- p
				if code := p.wait(finishTime); code != -1 {
					t.Fatalf("was not killed there, but ended with %d", code)
				}
				if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
					t.Errorf("the second run ended with %d", code)
				}
				w.promises(1, 1)
			})
		}
	}
}

// killBefore kills the caller when the platform has its call and has done nothing yet.
func killBefore(kill func()) sandbox.Effect {
	return func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
		kill()
		panic(http.ErrAbortHandler)
	}
}

// killAfter kills the caller when the platform has done what it was asked for, and before it answers.
func killAfter(kill func()) sandbox.Effect {
	return func(_ http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		next(httptest.NewRecorder(), r)
		kill()
		panic(http.ErrAbortHandler)
	}
}
