package worker

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// A wall is a machine's clock that is set while the test runs. The monotonic clock knows nothing of it.
type wall struct{ jumped atomic.Int64 }

func (w *wall) now() time.Time       { return time.Now().Round(0).Add(time.Duration(w.jumped.Load())) }
func (w *wall) jump(d time.Duration) { w.jumped.Add(int64(d)) }

// on has a worker read this clock.
func (w *wall) on() setting { return options(func(o *Options) { o.clock = w.now }) }

// jumps are what a clock may do: at a start without a network, after a wrong setting, with a summer time that is none.
var jumps = map[string]time.Duration{"a day forward": 24 * time.Hour, "an hour back": -time.Hour}

func TestAJumpOfTheClockDoesNotStopPollingNorFailWhatIsAwaited(t *testing.T) {
	t.Parallel()
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, w := newClock(), &wall{}
			r := newRig(t, slow(c), w.on())
			a := r.file("a.jpg")
			r.run()
			gets := func() int { return r.Ledger().Total(sandbox.OpGet) }
			r.await("it is asked about", func() bool { return gets() > 0 })
			w.jump(jump)
			before := gets()
			r.await("it is asked about again", func() bool { return gets() > before })
			if gets() > before+1 {
				t.Errorf("%d asks at once", gets()-before)
			}
			c.advance(2 * time.Hour)
			r.wantAnswer(a, "verdict")
			r.wantPaidOnce(a)
			if n := gets(); n > 20 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// A worker that has just started can know a medium's age by the clock alone.
func TestAWorkerThatStartsAfterAJumpAsksMoreThanOnce(t *testing.T) {
	t.Parallel()
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &wall{}
			r := newRig(t, slow(newClock()), w.on())
			a := r.file("a.jpg")
			stop := r.run()
			r.await("it is uploaded", func() bool { return r.job(a).State == queue.Uploaded })
			stop()
			w.jump(jump)
			r.worker = New(r.options)
			before := r.Ledger().Total(sandbox.OpGet)
			r.run()
			r.await("it was asked about and put off", func() bool {
				m := r.worker.memory.recall(r.job(a))
				return !m.told.IsZero() && m.due.After(m.told)
			})
			if n := r.Ledger().Total(sandbox.OpGet) - before; n == 0 || n > 10 {
				t.Errorf("asked %d times", n)
			}
			if got := r.answer(a); got != "" {
				t.Errorf("answered: %s", got)
			}
		})
	}
}

func TestOnlyATimeThatThisProcessHasSeenPassMakesAMediumOverdue(t *testing.T) {
	t.Parallel()
	w := &Worker{Options: Options{PollTimeout: time.Hour}}
	for _, c := range []struct {
		name       string
		age, known time.Duration
		want       bool
	}{
		{"young", 59 * time.Minute, 59 * time.Minute, false},
		{"old", 61 * time.Minute, 61 * time.Minute, true},
		{"old, and known for a while", 61 * time.Minute, 10 * time.Minute, true},
		{"a day old at the first ask", 24 * time.Hour, time.Second, false},
	} {
		now := time.Now()
		if got := w.overdue(medium{life: life{since: now.Add(-c.age), met: now.Add(-c.known)}}); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// The first worker has asked once and heard that nothing is there. The second must not believe the clock that this was
// long ago, nor that it was not yet.
func TestAJumpOfTheClockDoesNotHaveAPUTRepeatedThatThePlatformNoticesLate(t *testing.T) {
	t.Parallel()
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &wall{}
			r := newRig(t, w.on(), platform(func(o *sandbox.Options) { o.EventDelay = 4 * time.Second }))
			r.Faults(once(sandbox.OpPut, sandbox.CutAfter))
			a := r.file("a.jpg")
			stop := r.run()
			r.await("the platform has said that it has nothing", func() bool { return !r.job(a).Asked.IsZero() })
			stop()
			w.jump(jump)
			r.options.LateAfter = 5 * time.Second
			r.worker = New(r.options)
			r.run()
			r.wantAnswer(a, "verdict")
			r.wantPaidOnce(a)
			r.wantCalls(sandbox.OpPut, 1)
		})
	}
}

// A create whose answer was lost is looked for by times of two clocks. Its record is found or made again, and costs
// nothing twice.
func TestAJumpOfTheClockAfterALostCreatePaysNothingTwice(t *testing.T) {
	t.Parallel()
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &wall{}
			r := newRig(t, w.on())
			r.Faults(once(sandbox.OpCreate, before(func() { w.jump(jump) }, sandbox.CutAfter)))
			a := r.file("a.jpg")
			r.run()
			r.wantAnswer(a, "verdict")
			r.wantPaidOnce(a)
			r.wantCalls(sandbox.OpPut, 1)
		})
	}
}
