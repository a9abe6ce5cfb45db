package worker

import (
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// A clock stands still until it is advanced.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// slow lets results come an hour of the clock after the upload.
func slow(c *clock) setting {
	return platform(func(o *sandbox.Options) { o.Clock, o.Latency, o.URLTTL = c.Now, time.Hour, 100*time.Hour })
}

func TestAVerdictSaysWhatThePlatformFound(t *testing.T) {
	t.Parallel()
	for found, want := range map[sandbox.Verdict]queue.Outcome{
		sandbox.Fake: queue.Fake, sandbox.Real: queue.Real, sandbox.NoFaces: queue.Inconclusive,
	} {
		t.Run(string(found), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, platform(func(o *sandbox.Options) {
				o.Outcome = func([32]byte) sandbox.Outcome { return sandbox.Outcome{Verdict: found, Confidence: 0.75} }
			}))
			a := r.file("a.jpg")
			r.run()
			r.wantAnswer(a, "verdict")
			r.mu.Lock()
			defer r.mu.Unlock()
			if v := r.verdicts[0]; v.Outcome != want || v.MediaID == "" || v.Digest != a.Digest ||
				want != queue.Inconclusive && show(v.Confidence) != 0.75 {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestAFileThatThePlatformCannotJudgeFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpPut, sandbox.FailResult))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "analysis_failed")
	r.wantIdle()
	if f := r.failure(a); f.Code != "FAILED" || !f.Retryable || f.MediaID == "" {
		t.Errorf("%+v", f)
	}
	r.wantPaidOnce(a)
}

func TestARecordThatIsGoneFromThePlatformFailsItsFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow(newClock()))
	a := r.file("a.jpg")
	r.run()
	r.await("a is uploaded", func() bool { return r.job(a).State == queue.Uploaded })
	must(t, r.client.Delete(deadline(t), authenta.MediaID(r.job(a).MediaID)))
	r.wantAnswer(a, "analysis_failed")
	r.wantIdle()
	r.wantOpen(r.cluster.Polls)
	r.wantCalls(sandbox.OpCreate, 1)
}

func TestAResultThatIsLateIsGivenUpAndAwaitedAgainWithoutPaying(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := newRig(t, slow(c), options(func(o *Options) { o.PollTimeout = 300 * time.Millisecond }))
	a := r.submit(write(t, r.dir+"/a.jpg", content))
	r.run()
	r.wantAnswer(a, "timeout")
	r.wantIdle()
	b := r.submit(write(t, r.dir+"/b.jpg", content))
	r.await("b is awaited", func() bool { return r.job(b).State == queue.Uploaded })
	c.advance(2 * time.Hour)
	r.wantAnswer(b, "verdict")
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpCreate, 1)
	r.wantCalls(sandbox.OpPut, 1)
	if r.answer(a) != "timeout" {
		t.Error("a got a second answer")
	}
}

func TestUnusableAnswersToPollsAreWaitedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(sandbox.Fault{Op: sandbox.OpGet, Do: sandbox.Garbage, Times: 2})
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
}

func TestAPollThatIsNotDueYetMakesNoCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, options(func(o *Options) { o.FirstPoll = time.Hour }))
	a := r.file("a.jpg")
	stop := r.run()
	r.await("a is uploaded", func() bool { return r.job(a).State == queue.Uploaded })
	r.await("a is given back for later", func() bool {
		d, err := r.queue.Depths(deadline(t))
		return err == nil && d == queue.Depths{Await: 1}
	})
	stop()
	r.wantCalls(sandbox.OpGet, 0)
}
