package main

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue/control"
)

// A meter notes when creates arrive at the platform.
type meter struct {
	mu sync.Mutex
	at []time.Time
}

func (m *meter) effect(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	m.mu.Lock()
	m.at = append(m.at, time.Now())
	m.mu.Unlock()
	next(w, r)
}

func (m *meter) creates() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at[:len(m.at):len(m.at)]
}

// most is by how many the creates of any time exceed what the rate allows for it.
func (m *meter) most(rate float64) (excess float64) {
	at := m.creates()
	// With s(i) = i - rate*t(i), from i to j there are s(j)-s(i)+1 too many; the least s so far makes the most of each j.
	least := 0.0
	for j, t := range at {
		s := float64(j) - rate*t.Sub(at[0]).Seconds()
		least = min(least, s)
		excess = max(excess, s-least+1)
	}
	return excess
}

// TestCreatesGrowWithTheWorkersUntilTheRateWhichIsNeverPassed has workers join, be killed and leave, at a platform whose calls take a
// while, so that one worker cannot make as many as are allowed. Figures are printed, and are for those who run it with -long on a
// machine that has nothing else to do.
func TestCreatesGrowWithTheWorkersUntilTheRateWhichIsNeverPassed(t *testing.T) {
	t.Parallel()
	const rate, uploads, latency = 30, 2, 75 * time.Millisecond
	phase := 40 // creates
	if *long {
		phase = 300
	}
	w := newWorld(t, sandbox.Options{})
	w.broker()
	w.env["AUTHENTA_MUTATION_RATE"], w.env["INGEST_UPLOADS"] = fmt.Sprint(rate), fmt.Sprint(uploads)
	var made meter
	w.platform.Faults(
		sandbox.Fault{Op: sandbox.OpCreate, Do: made.effect},
		sandbox.Fault{Op: sandbox.OpCreate, Do: sandbox.Delay(latency)}, sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.Delay(latency)},
	)
	w.drop(0, 6*phase+10*rate) // processes take a while to start
	w.start(watcherOnly(), "run", w.inbox)

	var all []*program
	join := func(n int) {
		for range n {
			all = append(all, w.start(workerOnly, "run"))
		}
	}
	there := func(n int) {
		eventually(t, time.Minute, fmt.Sprintf("%d workers are there", n), func() bool {
			working := 0
			for _, m := range w.status().Workers {
				if m.Role == control.RoleWorker {
					working++
				}
			}
			return working == n
		})
	}
	measure := func(what string) {
		from := len(made.creates())
		eventually(t, finishTime, "more creates", func() bool { return len(made.creates()) >= from+phase })
		at := made.creates()[from:]
		t.Logf("%s: %.1f creates a second", what, float64(len(at)-1)/at[len(at)-1].Sub(at[0]).Seconds())
	}
	join(1)
	there(1)
	measure("1 worker")
	join(1)
	there(2)
	measure("2 workers")
	join(2)
	there(4)
	measure("4 workers")
	all[0].kill()
	measure("4 workers, of which one was just killed")
	if err := all[1].cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	join(1)
	there(3)
	measure("3 workers, after one has left and one has joined")

	// A tenth of a second's worth may come at once in the whole cluster, but one of each process at least; whoever waits for its
	// turn waits at the rate that was its process's share then; and what has had its turn, one a slot, may be held up on its way.
	excess, most := made.most(rate), float64(rate/10+len(all)*(1+1+uploads))
	t.Logf("in no time were there more than %.1f creates beyond %d a second; up to %.0f may be", excess, rate, most)
	if excess > most {
		t.Errorf("%.1f creates more than the rate allows, and up to %.0f may be ahead of their time", excess, most)
	}
	if twice := w.platform.Ledger().PaidTwice(); len(twice) > 0 {
		t.Errorf("paid twice: %v", twice)
	}
}
