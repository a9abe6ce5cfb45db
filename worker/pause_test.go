package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// oneUpload leaves no slot that was let in before a closure.
var oneUpload = options(func(o *Options) { o.Uploads = 1 })

// wantWaiting checks that a file waits for its upload, and that nothing was counted.
func (r *rig) wantWaiting(f file) {
	r.t.Helper()
	j := r.job(f)
	if j.State != queue.Queued || j.Attempts != 0 || !j.Creating.IsZero() || r.answer(f) != "" {
		r.t.Errorf("%s: %s, %d attempts, creating %s, answered %q", f.Drop.Name, j.State, j.Attempts, j.Creating, r.answer(f))
	}
}

func uploadsOf(c *control.Cluster) *control.Gate { return c.Uploads }
func pollsOf(c *control.Cluster) *control.Gate   { return c.Polls }

func (r *rig) wantOpen(g *control.Gate) {
	r.t.Helper()
	if s := g.State(); s.Paused() {
		r.t.Errorf("paused for %s: %s", s.Why, s.Message)
	}
}

func TestWhenMutationsAreUsedUpResultsKeepComing(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneUpload, platform(func(o *sandbox.Options) { o.MutationQuota, o.Latency = 1, 500*time.Millisecond }))
	a := r.file("a.jpg")
	r.run()
	r.await("a is uploaded", func() bool { return r.job(a).State == queue.Uploaded })
	b := r.file("b.jpg")
	r.wantClosedFor(r.cluster.Uploads, control.Quota)
	r.wantAnswer(a, "verdict")
	r.wantOpen(r.cluster.Polls)
	r.wantWaiting(b)
	r.wantCalls(sandbox.OpCreate, 2)
	r.Grant(sandbox.Grant{MutationQuota: sandbox.Unlimited})
	r.goOn("b is judged", func() bool { return r.answer(b) == "verdict" })
	r.wantPaidOnce(a, b)
	r.wantOpen(r.cluster.Uploads)
	r.wantCalls(sandbox.OpCreate, 3)
}

func TestWhenQueriesAreUsedUpUploadsArePausedToo(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.QueryQuota = 0 }))
	a := r.file("a.jpg")
	r.run()
	r.wantClosedFor(r.cluster.Polls, control.Quota)
	if j := r.job(a); j.State != queue.Uploaded || r.answer(a) != "" {
		t.Errorf("%s, answered %q", j.State, r.answer(a))
	}
	r.Grant(sandbox.Grant{QueryQuota: sandbox.Unlimited})
	b := r.file("b.jpg")
	r.goOn("both are judged", func() bool { return r.answer(a) == "verdict" && r.answer(b) == "verdict" })
	r.wantPaidOnce(a, b)
	r.wantNoFailure()
}

func TestWithoutCreditsUploadsArePausedAndPollsGoOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneUpload, platform(func(o *sandbox.Options) { o.Credits, o.Latency = 1, 500*time.Millisecond }))
	a := r.file("a.jpg")
	r.run()
	r.await("a is uploaded", func() bool { return r.job(a).State == queue.Uploaded })
	b := r.file("b.jpg")
	r.wantClosedFor(r.cluster.Uploads, control.Credits)
	r.wantAnswer(a, "verdict")
	r.wantOpen(r.cluster.Polls)
	r.wantWaiting(b)
	r.Grant(sandbox.Grant{Credits: 1})
	r.goOn("b is judged", func() bool { return r.answer(b) == "verdict" })
	r.wantPaidOnce(a, b)
	if l := r.Ledger(); l.CreditsSpent != 2 {
		t.Errorf("%d credits spent", l.CreditsSpent)
	}
}

func TestWithWrongKeysAllIsPausedUntilTheyAreRight(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneUpload)
	r.SetKeys("sandbox-id", "another secret", "")
	a := r.file("a.jpg")
	r.run()
	r.wantClosedFor(r.cluster.Uploads, control.Unauthenticated)
	r.wantClosedFor(r.cluster.Polls, control.Unauthenticated)
	r.wantWaiting(a)
	r.wantCalls(sandbox.OpCreate, 1)
	r.SetKeys("sandbox-id", "sandbox-secret", "")
	r.goOn("a is judged", func() bool { return r.answer(a) == "verdict" })
	r.wantPaidOnce(a)
}

func TestKeysThatAreRevokedAfterAnUploadPauseAll(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.Latency = time.Second }))
	a := r.file("a.jpg")
	r.Faults(once(sandbox.OpPut, before(func() { r.SetKeys("", "", "") }, pass)))
	r.run()
	r.wantClosedFor(r.cluster.Polls, control.Unauthenticated)
	r.wantClosedFor(r.cluster.Uploads, control.Unauthenticated)
	r.SetKeys("sandbox-id", "sandbox-secret", "")
	r.goOn("a is judged", func() bool { return r.answer(a) == "verdict" })
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpPut, 1)
}

func TestWithoutAPermissionOnlyItsKindIsPaused(t *testing.T) {
	t.Parallel()
	t.Run("write", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, oneUpload)
		r.Permit(sandbox.PermRead)
		a := r.file("a.jpg")
		r.run()
		r.wantClosedFor(r.cluster.Uploads, control.Forbidden)
		r.wantOpen(r.cluster.Polls)
		r.wantWaiting(a)
		r.Permit(sandbox.PermRead | sandbox.PermWrite)
		r.goOn("a is judged", func() bool { return r.answer(a) == "verdict" })
		r.wantPaidOnce(a)
	})
	t.Run("read", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.Permit(sandbox.PermWrite)
		a := r.file("a.jpg")
		r.run()
		r.wantClosedFor(r.cluster.Polls, control.Forbidden)
		r.wantOpen(r.cluster.Uploads)
		r.Permit(sandbox.PermRead | sandbox.PermWrite)
		r.goOn("a is judged", func() bool { return r.answer(a) == "verdict" })
		r.wantPaidOnce(a)
	})
}

func TestAFirewalls403IsAnOutageAndFailsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: sandbox.Answer(403, "text/html", "<h1>blocked</h1>"), Times: 3})
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
	r.wantOpen(r.cluster.Uploads)
}

func TestWhenThePlatformAsksToWaitThatKindWaits(t *testing.T) {
	t.Parallel()
	for op, gate := range map[sandbox.Op]func(*control.Cluster) *control.Gate{sandbox.OpCreate: uploadsOf, sandbox.OpGet: pollsOf} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Faults(once(op, sandbox.RateLimited(20*time.Minute)))
			a := r.file("a.jpg")
			r.run()
			closed := gate(r.cluster)
			r.wantClosedFor(closed, control.Throttled)
			if s := closed.State(); s.Wait != 20*time.Minute {
				t.Errorf("waits %s", s.Wait)
			}
			for _, g := range []*control.Gate{r.cluster.Uploads, r.cluster.Polls} {
				if g != closed {
					r.wantOpen(g)
				}
			}
			r.goOn("a is judged", func() bool { return r.answer(a) == "verdict" })
			r.wantPaidOnce(a)
			r.wantCalls(op, 2)
		})
	}
}

func TestAnOutageTakesFewCallsAndFailsNothing(t *testing.T) {
	t.Parallel()
	for name, effect := range map[string]sandbox.Effect{"500": sandbox.ServerError, "502": sandbox.BadGateway, "cut": sandbox.CutBefore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Faults(always(sandbox.OpCreate, effect))
			var files []file
			for i := range 20 {
				files = append(files, r.file(fmt.Sprintf("%d.jpg", i)))
			}
			r.run()
			r.wantClosedFor(r.cluster.Uploads, control.Outage)
			// Those that were under way when the gate closed, and a probe.
			if n, most := r.Ledger().Total(sandbox.OpCreate), 5+r.worker.Uploads; n > most {
				t.Errorf("%d creates, at most %d", n, most)
			}
			r.Faults()
			r.await("all are judged", func() bool { return r.answered() == len(files) })
			r.wantNoFailure()
			r.wantPaidOnce(files...)
			r.wantOpen(r.cluster.Uploads)
		})
	}
}

func TestAnOutageOfThePollsDoesNotStopUploads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(always(sandbox.OpGet, sandbox.BadGateway))
	var files []file
	for i := range 10 {
		files = append(files, r.file(fmt.Sprintf("%d.jpg", i)))
	}
	r.run()
	r.wantClosedFor(r.cluster.Polls, control.Outage)
	r.await("all are uploaded", func() bool { return r.Ledger().PutsCompleted == len(files) })
	r.wantOpen(r.cluster.Uploads)
	r.Faults()
	r.goOn("all are judged", func() bool { return r.answered() == len(files) })
	r.wantNoFailure()
	r.wantPaidOnce(files...)
}
