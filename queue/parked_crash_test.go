package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// The ways of jobs whose files not every machine sees. Each is stopped before and after each durable write, acknowledgement and
// call to the platform (without -long, at a third of these points, another one each time); in the end there is one verdict a drop, the platform has got the bytes once, and no message is left.
var ways = map[string]func(*leg){
	// b cannot read the file, and a, where it is, works.
	"passed to a machine that works": func(l *leg) {
		l.submit(atA)
		l.pool(queue.Pool{Stage: queue.Upload, Handle: passTo("b", "a")})
		l.pool(queue.Pool{Host: "a", Handle: l.upload})
		l.await("it is judged", l.idle)
	},
	// a does not work, and the same file comes to b.
	"parked, and another copy comes": func(l *leg) {
		l.submit(atA)
		l.pool(queue.Pool{Stage: queue.Upload, Handle: func(ctx context.Context, task *queue.Task) queue.Settlement {
			if !slices.ContainsFunc(task.Drops, func(d queue.Drop) bool { return d.Host == "b" }) {
				return queue.Pass("b", "a")
			}
			return l.upload(ctx, task)
		}})
		if !l.again {
			l.await("it is parked", func() bool { return l.waiting("a") == 1 })
		}
		l.submit(atB)
		if l.again { // with what is left there
			l.pool(queue.Pool{Host: "a", Handle: l.upload})
		}
		l.await("it is judged", l.idle)
	},
	// a does not work, and c comes, who sees the file.
	"parked, and offered to all": func(l *leg) {
		l.submit(atA)
		var comes atomic.Bool
		comes.Store(l.again)
		l.pool(queue.Pool{Stage: queue.Upload, Handle: func(ctx context.Context, task *queue.Task) queue.Settlement {
			if !comes.Load() {
				return queue.Pass("b", "a")
			}
			return l.upload(ctx, task)
		}})
		if !l.again {
			l.await("it is parked", func() bool { return l.waiting("a") == 1 })
			comes.Store(true)
		}
		l.await("it is judged", func() bool {
			l.do(func(ctx context.Context) { _, _, _ = l.s.Reoffer(ctx, "a") })
			return l.idle()
		})
	},
	// a looks for the file, finds it gone, and passes on; b has another one.
	"passed on and on": func(l *leg) {
		l.submit(atA)
		l.submit(atB)
		l.pool(queue.Pool{Stage: queue.Upload, Handle: passTo("c", "a")})
		l.pool(queue.Pool{Host: "a", Handle: passTo("a", "b")})
		l.pool(queue.Pool{Host: "b", Handle: l.upload})
		l.await("it is judged", l.idle)
	},
}

var atA, atB = submissionAt("a", "content", "/in/clip.mp4"), submissionAt("b", "content", "/other/copy.mp4")

// submissionAt is one of a file that is on a machine.
func submissionAt(host, content, path string) queue.Submission {
	s := submission(content, path)
	s.Drop.Host = host
	return s
}

// passTo passes what has come so far.
func passTo(by, to string) queue.Handler { return always(queue.Pass(by, to)) }

func TestACrashOnTheWayToAnotherMachineLosesNothingAndPaysOnce(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := (&journey{t: t, dir: t.TempDir(), way: way}).live(-1)
			t.Logf("%d steps", len(steps))
			if len(steps) < 25 {
				t.Fatalf("too few to be all: %v", steps)
			}
			every, first := 5, rand.IntN(5) // told by the names
			if *long {
				every, first = 1, 0
			}
			for i := first; i < len(steps); i += every {
				step := steps[i]
				t.Run(fmt.Sprintf("%02d %s", i, step), func(t *testing.T) {
					t.Parallel()
					j := &journey{t: t, dir: t.TempDir(), way: way}
					j.live(i)
					j.live(-1)
				})
			}
		})
	}
}

// A journey is that of some files, through one crash at most.
type journey struct {
	t        *testing.T
	dir      string
	way      func(*leg)
	platform platform
	accepted map[queue.DropID]bool
}

// A leg is what happens until a crash, or to the end.
type leg struct {
	*journey
	s       *store
	again   bool // there was a crash before
	at      func(step string)
	ctx     context.Context
	dead    chan struct{}
	running sync.WaitGroup
}

// live goes the way, crashes at the step of that number, and returns the names of the steps taken.
func (j *journey) live(crashAt int) []string {
	var (
		mu    sync.Mutex
		steps []string
		armed atomic.Bool
	)
	l := &leg{journey: j, again: j.accepted != nil, dead: make(chan struct{})}
	if !l.again {
		j.accepted = map[queue.DropID]bool{}
	}
	l.at = func(point string) {
		if !armed.Load() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if l.over() {
			return
		}
		if len(steps) == crashAt {
			close(l.dead)
			l.s.conn.Close() // nothing that is said from now on is heard
			runtime.Goexit()
		}
		steps = append(steps, strings.ReplaceAll(point, string(keyOf(atA)), "KEY"))
	}
	l.s = openStore(j.t, j.dir, step(l.at))
	setAckWait(j.t, l.s.Queue, 300*time.Millisecond, "a", "b")
	armed.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	l.ctx = ctx
	l.pool(queue.Pool{Stage: queue.Await, Handle: always(queue.Conclude(judgement()))})
	j.way(l)
	if crashAt < 0 {
		j.check(l.s)
	}
	cancel()
	l.running.Wait()
	l.s.close()
	return steps
}

func (l *leg) over() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

// do does something that a crash may end, and waits.
func (l *leg) do(what func(context.Context)) {
	var done sync.WaitGroup
	done.Go(func() { what(l.ctx) }) // a Goexit ends this goroutine only
	done.Wait()
}

func (l *leg) submit(s queue.Submission) {
	if l.accepted[s.Drop.ID] {
		return
	}
	l.do(func(ctx context.Context) {
		_, err := l.s.Submit(ctx, s)
		l.accepted[s.Drop.ID] = err == nil
	})
}

func (l *leg) pool(p queue.Pool) {
	p.Slots, p.Ready = 1, context.Context.Err
	l.running.Go(func() { _ = l.s.Work(l.ctx, p) }) // fails when the connection is closed, as it should
}

func (l *leg) await(what string, holds func() bool) {
	await(l.t, what, func() bool { return l.over() || holds() })
}

func (l *leg) upload(ctx context.Context, task *queue.Task) queue.Settlement {
	return l.platform.upload(ctx, task, l.at)
}

func (l *leg) waiting(host string) int {
	w, err := l.s.Waiting(deadline(l.t))
	if err != nil {
		return 0
	}
	return w[host]
}

// idle reports whether all that was accepted is judged, and the queues are empty.
func (l *leg) idle() bool {
	if l.over() {
		return true
	}
	d, err := l.s.Depths(deadline(l.t))
	if err != nil || d != (queue.Depths{}) {
		return false
	}
	accepted := 0
	for _, yes := range l.accepted {
		if yes {
			accepted++
		}
	}
	end, err := l.s.End(deadline(l.t))
	return err == nil && accepted > 0 && int(end.Verdicts) >= accepted
}

// check wants all of it judged once.
func (j *journey) check(s *store) {
	// Who drops a message puts it where the record has just said that it is: by then that may be one too many, and is dropped.
	await(j.t, "nothing is left on the queues", func() bool { return len(messages(j.t, s.Queue, "jobs")) == 0 })
	for id, yes := range j.accepted {
		if !yes {
			j.t.Errorf("drop %s was not accepted", id)
		}
		if got := answersTo(j.t, s.Queue, id); !slices.Equal(got, []string{"verdict fake"}) {
			j.t.Errorf("drop %s: answers %q", id, got)
		}
	}
	if puts := j.platform.puts.Load(); puts != 1 {
		j.t.Errorf("the platform got the bytes %d times", puts)
	}
	if job := jobOf(j.t, s.Queue, atA); job.State != queue.Judged || job.At != "" || len(job.Passed) > 0 || len(job.Drops) != len(j.accepted) {
		j.t.Errorf("record %s", pretty(j.t, job.Job))
	}
}
