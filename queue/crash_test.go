package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// TestACrashAtAnyStepLosesNothingAndPaysOnce stops everything before and after each durable write and each call to the
// platform on the way of one file. What was under way is then gone, and only the folder of the store and the platform
// remain. In the end there is one verdict, and the platform has got the bytes once.
func TestACrashAtAnyStepLosesNothingAndPaysOnce(t *testing.T) {
	crashEverywhere(t, submission("content", "/in/clip.mp4"), 20)
}

// TestACrashAtAnyStepLosesNoStagedBytesAndLeavesNone does the same to a file that is staged. Whoever uploads it has it from the
// bucket alone. In the end that is empty, once it was swept.
func TestACrashAtAnyStepLosesNoStagedBytesAndLeavesNone(t *testing.T) {
	crashEverywhere(t, stagedSubmission(bytesOf(1<<20+1, 1), "file:///in/clip.mp4", nil), 30)
}

func crashEverywhere(t *testing.T, file queue.Submission, least int) {
	steps := (&life{t: t, dir: t.TempDir(), file: file, platform: &platform{}}).run(-1)
	t.Logf("%d steps", len(steps))
	if len(steps) < least {
		t.Fatalf("too few to be all: %v", steps)
	}
	every, first := 5, rand.IntN(5) // told by the names
	if *long {
		every, first = 1, 0
	}
	for i := first; i < len(steps); i += every {
		name := steps[i]
		for _, forgetful := range []bool{false, true} {
			if forgetful && i < slices.Index(steps, "before $KV.authenta-ledger.KEY")+4 {
				continue // nothing was accepted that could be forgotten
			}
			t.Run(fmt.Sprintf("%02d %s, forgetful watcher %t", i, name, forgetful), func(t *testing.T) {
				t.Parallel()
				l := &life{t: t, dir: t.TempDir(), file: file, platform: &platform{}, forgetful: forgetful}
				l.run(i)
				l.afterwards()
			})
		}
	}
}

// A life is that of one daemon, from its start until its file has a verdict or it crashes.
type life struct {
	t         *testing.T
	dir       string
	file      queue.Submission
	platform  *platform
	forgetful bool // the watcher crashes before it knows that its file was taken in
	taken     bool // the watcher knows it, and will not submit the file again
}

// A chunk's subject has an id in it that is another one each time.
var chunkID = regexp.MustCompile(`\.C\.[A-Z0-9]+$`)

// run lives once, crashes at the step of that number, and returns the names of the steps taken.
func (l *life) run(crashAt int) []string {
	var (
		mu    sync.Mutex
		steps []string
		dead  = make(chan struct{})
		s     *store
		armed atomic.Bool
	)
	at := func(point string) {
		if !armed.Load() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		select {
		case <-dead:
			return
		default:
		}
		if len(steps) == crashAt {
			close(dead)
			s.conn.Close() // nothing that is said from now on is heard
			runtime.Goexit()
		}
		steps = append(steps, chunkID.ReplaceAllString(strings.ReplaceAll(point, string(keyOf(l.file)), "KEY"), ".C.ID"))
	}
	s = openStore(l.t, l.dir, step(at))
	setAckWait(l.t, s.Queue, 300*time.Millisecond)
	armed.Store(true)

	var accepted atomic.Bool
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() { // a Goexit ends this goroutine only
		_, err := s.Submit(ctx, l.file)
		accepted.Store(err == nil)
	})
	running.Wait()
	for _, p := range l.pools(at) {
		running.Go(func() { _ = s.Work(ctx, p) }) // fails when the connection is closed, as it should
	}
	await(l.t, "it is judged, or crashes", func() bool {
		select {
		case <-dead:
			return true
		default:
		}
		mu.Lock()
		defer mu.Unlock()
		return len(steps) > 0 && steps[len(steps)-1] == "after ack" && len(l.settled(s)) > 0
	})
	cancel()
	running.Wait()
	s.close()
	l.taken = accepted.Load() && !l.forgetful
	return steps
}

// settled lists the verdicts while the connection is there.
func (l *life) settled(s *store) []string {
	depths, err := s.Depths(deadline(l.t))
	if err != nil || depths != (queue.Depths{}) {
		return nil
	}
	return answersTo(l.t, s.Queue, l.file.Drop.ID)
}

// afterwards starts the daemon again and wants its file judged once.
func (l *life) afterwards() {
	t := l.t
	s := openStore(t, l.dir)
	setAckWait(t, s.Queue, 300*time.Millisecond)
	if !l.taken {
		if _, err := s.Submit(deadline(t), l.file); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range l.pools(func(string) {}) {
		pooling(t, s.Queue, p)
	}
	awaitAnswer(t, s.Queue, l.file.Drop.ID, "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	awaitAnswer(t, s.Queue, l.file.Drop.ID, "verdict fake")
	if puts := l.platform.puts.Load(); puts != 1 {
		t.Errorf("the platform got the bytes %d times", puts)
	}
	if l.file.Bytes != nil {
		if _, err := queue.Sweep(s.Queue, deadline(t), 0, 0); err != nil {
			t.Fatal(err)
		}
		wantBucketEmpty(t, s.Queue)
	}
	if job := jobOf(t, s.Queue, l.file); job.State != queue.Judged || len(job.Drops) != 1 {
		t.Errorf("record %s", pretty(t, job.Job))
	}
}

// A platform counts what it is sent.
type platform struct {
	creates, puts atomic.Int32
}

// pools are workers that do what those of package worker do, as far as the ledger is concerned.
func (l *life) pools(at func(string)) []queue.Pool {
	ready := context.Context.Err
	return []queue.Pool{
		{Stage: queue.Upload, Slots: 1, Ready: ready, Handle: func(ctx context.Context, task *queue.Task) queue.Settlement {
			if l.file.Bytes != nil && !l.isStaged(ctx, task) {
				return queue.RetryAfter(0)
			}
			return l.platform.upload(ctx, task, at)
		}},
		{Stage: queue.Await, Slots: 1, Ready: ready, Handle: always(queue.Conclude(judgement()))},
	}
}

// isStaged reads the bytes of a job that was not sent yet.
func (l *life) isStaged(ctx context.Context, task *queue.Task) bool {
	o, err := queue.OpenStagedOf(ctx, task)
	if err != nil {
		if errors.Is(err, queue.ErrNoObject) {
			l.t.Errorf("the bytes are not there: %v", err)
		}
		return false
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err == nil && sha(got) != l.file.Digest {
		l.t.Errorf("%d other bytes are there", len(got))
	}
	return err == nil
}

func (p *platform) upload(ctx context.Context, task *queue.Task, at func(string)) queue.Settlement {
	now := time.Now().UTC()
	created := queue.Created{MediaID: "mid-1", UploadURL: "https://storage.example/put", Expires: now.Add(time.Hour), At: now}
	if !task.Sending.IsZero() {
		if p.puts.Load() > 0 {
			return queue.HandOver()
		}
		if task.Apply(ctx, queue.SendFailed{}) != nil || task.Apply(ctx, queue.SendStarted{At: now}) != nil {
			return queue.RetryAfter(0)
		}
	}
	if task.State == queue.Queued {
		lost := !task.Creating.IsZero() && p.creates.Load() > 0
		if !lost {
			if task.Apply(ctx, queue.CreateStarted{Name: "clip", At: now}) != nil {
				return queue.RetryAfter(0)
			}
			at("before POST")
			p.creates.Add(1)
			at("after POST")
		}
		if task.Apply(ctx, created) != nil {
			return queue.RetryAfter(0)
		}
	}
	at("before PUT")
	p.puts.Add(1)
	at("after PUT")
	return queue.HandOver()
}
