package worker

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// Each test here showed a defect when it was written.

// A slot asks its gate for leave and then waits for a job, maybe for hours.
func TestASlotThatWasAdmittedBeforeTheClosureMakesNoCall(t *testing.T) {
	t.Parallel()
	t.Run("uploads", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, platform(func(o *sandbox.Options) { o.Credits = 0 }))
		r.run()
		r.file("a.jpg")
		r.wantClosedFor(r.cluster.Uploads, control.Credits)
		for i := range 8 {
			r.file(fmt.Sprintf("%d.jpg", i))
		}
		// The slots that still wait for a job have their turn: either they ask the gate, or all of them call.
		r.notEver("a call to an account without credits", func() bool { return r.Ledger().Total(sandbox.OpCreate) > 1 })
	})
	t.Run("polls", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, options(func(o *Options) { o.FirstPoll = time.Nanosecond })) // or the slots' turn is a delivery too early
		r.Faults(always(sandbox.OpGet, sandbox.RateLimited(time.Hour)))
		r.run()
		r.file("a.jpg")
		r.wantClosedFor(r.cluster.Polls, control.Throttled)
		for i := range 20 {
			r.file(fmt.Sprintf("%d.jpg", i))
		}
		r.notEver("a poll though the platform asked to wait", func() bool { return r.Ledger().Total(sandbox.OpGet) > 1 })
	})
}

// The wait for the rate limiter comes after the gate.
func TestACallThatWaitsForItsTurnAsksTheGateAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.MutationQuota = 0 }), rates(func(o *control.Options) { o.MutationRate = 0.3 }))
	for i := range 8 {
		r.file(fmt.Sprintf("%d.jpg", i))
	}
	r.run()
	r.wantClosedFor(r.cluster.Uploads, control.Quota)
	r.notEver("a create after the quota was used up", func() bool { return r.Ledger().Total(sandbox.OpCreate) > 1 })
}

// A slot without work is taken for the probe. When its minute is over the next is, and so on: then all of them are in.
func TestIdleSlotsAreNoProbes(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.Credits = 0 }))
	r.refuse(r.cluster.Uploads, control.Create, control.Credits)
	r.run()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 5 * r.worker.Uploads { // deadlines that pass, with whoever was let in lost
		g := r.cluster.Uploads
		r.runOut(g)
		<-tick.C
	}
	for i := range 8 {
		r.file(fmt.Sprintf("%d.jpg", i))
	}
	r.notEver("more than one probe", func() bool { return r.Ledger().Total(sandbox.OpCreate) > 1 })
}

// After an outage of storage, all that is on the queue has its record: nothing but PUTs.
func TestAPUTThatSucceedsEndsAnOutage(t *testing.T) {
	t.Parallel()
	const files = 8
	r := newRig(t)
	r.Faults(always(sandbox.OpPut, sandbox.SlowDown))
	for i := range files {
		r.file(fmt.Sprintf("%d.jpg", i))
	}
	r.run()
	r.goOn("all have their record", func() bool { return r.Ledger().Creates == files })
	r.wantClosedFor(r.cluster.Uploads, control.Outage)
	r.Faults()
	r.goOn("all are judged", func() bool { return r.answered() == files })
}

// The first on the queue has its record already and needs no create, which is what the pause is about.
func TestAPUTThatTellsNothingOfThePausePassesItsTurnOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneUpload)
	r.Faults(once(sandbox.OpPut, sandbox.SlowDown))
	reserved := r.file("reserved.jpg")
	stop := r.run()
	r.await("its first PUT has failed", func() bool { return r.Ledger().Calls[sandbox.OpPut][503] == 1 })
	stop()
	r.worker = New(r.options)
	r.refuse(r.cluster.Uploads, control.Create, control.Credits)
	r.runOut(r.cluster.Uploads)
	r.run()
	r.wantAnswer(reserved, "verdict")
	r.wantAnswer(r.file("queued.jpg"), "verdict")
}

// A create is told that the keys are wrong, which closes both gates. Then they are right.
func TestKeysThatAreRightAgainOpenBothGates(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneUpload)
	r.SetKeys("sandbox-id", "another secret", "")
	r.file("a.jpg")
	r.run()
	r.wantClosedFor(r.cluster.Polls, control.Unauthenticated)
	r.wantClosedFor(r.cluster.Uploads, control.Unauthenticated)
	r.SetKeys("sandbox-id", "sandbox-secret", "")
	r.runOut(r.cluster.Uploads, r.cluster.Polls)
	r.file("b.jpg")
	r.file("c.jpg")
	r.await("all are judged", func() bool { return r.answered() == 3 })
	r.wantOpen(r.cluster.Uploads)
	r.wantOpen(r.cluster.Polls)
}

// One file of two is gone, and is what the probe is tried with.
func TestAProbeThatMakesNoCallPassesItsTurnOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, options(func(o *Options) { o.Uploads = 1 }))
	r.refuse(r.cluster.Uploads, control.Create, control.Credits)
	gone, there := r.file("gone.jpg"), r.file("there.jpg")
	must(t, os.Remove(gone.path))
	r.run()
	r.runOut(r.cluster.Uploads)
	r.wantAnswer(gone, "unreadable")
	r.wantAnswer(there, "verdict")
}

// The wait of uploads ends while queries are still used up. Their own quota is fine.
func TestWhileQueriesAreUsedUpNothingIsPaidFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.QueryQuota = 0 }))
	r.file("a.jpg")
	r.run()
	r.wantClosedFor(r.cluster.Polls, control.Quota)
	for i := range 20 {
		r.file(fmt.Sprintf("%d.jpg", i))
	}
	r.runOut(r.cluster.Polls)
	r.notEver("uploads while no result can be fetched", func() bool { return r.Ledger().CreditsSpent > 1 })
	if n := r.Ledger().Total(sandbox.OpGet) + r.Ledger().Total(sandbox.OpList); n > 2 {
		t.Errorf("%d Query calls, want the one that was refused and one probe", n)
	}
}

// The only job there is has to be looked up, and the gate that it waits at opens by nothing but a look-up.
func TestAJobThatHasToBeLookedUpIsTheProbeIfThereIsNoOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpPut, sandbox.CutAfter), once(sandbox.OpGet, sandbox.QuotaUsedUp))
	a := r.file("a.jpg")
	r.run()
	r.wantClosedFor(r.cluster.Polls, control.Quota)
	r.goOn("a is judged", func() bool { return r.answer(a) == "verdict" })
	r.wantPaidOnce(a)
}

// Three times the network, then one refusal that means nothing: S3 answers 400 RequestTimeout to a slow line.
func TestOutagesDoNotCountAsRefusalsOfTheFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(
		sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.SlowDown, Times: storageTries - 1},
		once(sandbox.OpPut, sandbox.Answer(400, "application/xml", `<Error><Code>RequestTimeout</Code><Message>idle</Message></Error>`)),
	)
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
}

// Storage is down and the API is not: every create is a success, which ends the run of failures.
func TestAnOutageOfStorageStopsCreates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(always(sandbox.OpPut, sandbox.SlowDown))
	for i := range 60 {
		r.file(fmt.Sprintf("%d.jpg", i))
	}
	r.run()
	r.notEver("dozens of creates while storage takes nothing", func() bool { return r.Ledger().Creates > 2*5+r.worker.Uploads })
}

// Storage's clock is off, or the answer comes from something else: each URL is too old at once.
func TestUploadURLsThatAreAlwaysTooOldDoNotUseTheQuotaUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(always(sandbox.OpPut, sandbox.Answer(403, "application/xml",
		`<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`)))
	r.file("a.jpg")
	r.run()
	r.notEver("dozens of creates for one file", func() bool { return r.Ledger().Creates > 20 })
}

func TestAnAlteredFileDoesNotFailItsCopies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit(write(t, r.dir+"/a.jpg", content))
	b := r.submit(write(t, r.dir+"/b.jpg", content))
	r.Faults(once(sandbox.OpPut, before(func() { write(t, a.path, content[1:]+"!") }, pass)))
	r.run()
	r.wantAnswer(b, "verdict")
}

// The file is altered while it is sent, and storage's answer is lost.
func TestAVerdictIsNeverAboutOtherBytesThanTheFilesDigest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit(write(t, r.dir+"/a.jpg", content))
	r.Faults(once(sandbox.OpPut, before(func() { write(t, a.path, content[1:]+"!") }, sandbox.CutAfter)))
	r.run()
	r.await("a is answered", func() bool { return r.answer(a) != "" })
	if paid := r.Ledger().Paid; paid[string(a.Digest)] == 0 && r.answer(a) == "verdict" {
		t.Errorf("a verdict for a content that the platform never saw: it saw %v", paid)
	}
}

// As before, with an answer: the file waits for credits at the platform, for longer than a result is awaited.
func TestAFileThatWaitsForCreditsAtThePlatformDoesNotFail(t *testing.T) {
	t.Parallel()
	r := newRig(t, options(func(o *Options) { o.PollTimeout = 300 * time.Millisecond }))
	r.Faults(once(sandbox.OpPut, before(func() { r.Grant(sandbox.Grant{Credits: sandbox.None}) }, pass)))
	a := r.file("a.jpg")
	r.run()
	r.notEver("a failure", func() bool { return r.answer(a) != "" })
}

// One record's GET answers 500, those of others do not, so that no breaker trips.
func TestARecordThatCannotBeReadIsNotAskedForEverySecondForEver(t *testing.T) {
	t.Parallel()
	r := newRig(t, options(func(o *Options) { o.PollTimeout = time.Second }))
	r.Faults(always(sandbox.OpGet, sandbox.Answer(400, "application/json", `{"code":"bad_request","message":"corrupt record"}`)))
	a := r.file("a.jpg")
	background(t, "the others, whose polls succeed", func(ctx context.Context) error {
		for ; ctx.Err() == nil; <-time.After(100 * time.Millisecond) {
			r.cluster.Polls.Succeeded(ctx, r.cluster.Polls.Now(), control.Query)
		}
		return nil
	})
	r.run()
	r.wantAnswer(a, "timeout")
}

// Opening a named pipe waits for somebody who writes into it.
func TestANamedPipeInThePlaceOfAFileHoldsNothingUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.file("a.jpg")
	must(t, os.Remove(a.path))
	must(t, syscall.Mkfifo(a.path, 0o600))
	var free atomic.Bool
	defer func() {
		if !free.Load() { // let the slot go, so that the test can end
			if f, err := os.OpenFile(a.path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				f.Close()
			}
		}
	}()
	r.run()
	if r.ever(func() bool { return r.answer(a) != "" }) {
		free.Store(true)
	} else {
		t.Error("no answer")
	}
}

// A create is lost after a record of the same job got an altered file.
func TestARecordWithOtherBytesIsNotAdopted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit(write(t, r.dir+"/a.jpg", content))
	r.Faults(once(sandbox.OpPut, before(func() { write(t, a.path, content[1:]+"!") }, pass)))
	r.run()
	r.wantAnswer(a, "changed")
	r.wantIdle()
	r.Faults(once(sandbox.OpCreate, sandbox.CutAfter))
	b := r.submit(write(t, r.dir+"/b.jpg", content))
	r.wantAnswer(b, "verdict")
	r.wantPaidOnce(b) // the content of b has been at the platform
	if j := r.job(b); j.State == queue.Judged && len(j.Abandoned) > 0 && j.MediaID == j.Abandoned[0] {
		t.Error("the abandoned record was adopted")
	}
}

// The account cannot pay when the bytes have come, and the answer to them is lost. When it can pay again, the platform
// begins by itself: bytes that were sent again would be paid for, too.
func TestBytesThatWaitForCreditsAreNotSentAgainWhenTheGateOpens(t *testing.T) {
	t.Parallel()
	r := newRig(t, options(func(o *Options) { o.LateAfter = 500 * time.Millisecond }))
	r.Faults(once(sandbox.OpPut, before(func() { r.Grant(sandbox.Grant{Credits: sandbox.None}) }, sandbox.CutAfter)))
	a := r.file("a.jpg")
	b := r.file("b.jpg") // whose create is refused, or whose bytes wait as well
	r.run()
	r.await("a's bytes have come", func() bool { return r.Ledger().PutsCompleted > 0 })
	r.refuse(r.cluster.Uploads, control.Create, control.Credits)
	r.notEver("bytes that are sent again", func() bool { return r.Ledger().PutsCompleted > 2 })
	must(t, r.cluster.Uploads.Resume(deadline(t)))
	r.Grant(sandbox.Grant{Credits: sandbox.Unlimited})
	r.patience = 3 * patience
	r.goOn("both are judged", func() bool { return r.answer(a) == "verdict" && r.answer(b) == "verdict" })
	r.wantPaidOnce(a, b)
}

// A file has its record when no more can be created: its bytes go all the same.
func TestAFileThatHasItsRecordIsSentThoughNoMoreCanBeCreated(t *testing.T) {
	t.Parallel()
	r := newRig(t, oneUpload, rates(func(o *control.Options) { o.MutationQuota = 1 }))
	r.Faults(once(sandbox.OpPut, sandbox.SlowDown))
	a := r.file("a.jpg")
	r.file("b.jpg")
	r.run()
	r.wantClosedFor(r.cluster.Uploads, control.Spent)
	r.wantAnswer(a, "verdict")
	r.wantCalls(sandbox.OpCreate, 1)
}

// The answer to a create is lost, and the platform has no list to find its record in. Without bytes that has cost nothing.
func TestALostCreateOnAPlatformWithoutAListIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpCreate, sandbox.CutAfter), always(sandbox.OpList, sandbox.Answer(404, "application/json", `{"code":"not_found","message":"No such route"}`)))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
}

// The first ask after a pause that was longer than a result is awaited is not the last one.
func TestAPauseDoesNotMakeAFileTimeOut(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := newRig(t, slow(c), options(func(o *Options) { o.PollTimeout = time.Second }))
	a := r.file("a.jpg")
	gets := make(chan bool, 100)
	r.Faults(
		once(sandbox.OpPut, before(func() { must(t, r.cluster.Polls.Pause(deadline(t), "", 2*time.Second)) }, pass)),
		always(sandbox.OpGet, before(func() { gets <- true }, pass)),
	)
	r.run()
	<-gets
	c.advance(2 * time.Hour)
	r.wantAnswer(a, "verdict")
}

// soon is how long something that must not happen is waited for: longer than a file waits after an error.
const soon = 4 * time.Second

// ever reports whether a condition holds soon.
func (r *rig) ever(holds func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(soon); time.Now().Before(end); <-tick.C {
		if holds() {
			return true
		}
	}
	return false
}

// notEver fails the test if something happens that must not.
func (r *rig) notEver(what string, happens func() bool) {
	r.t.Helper()
	if r.ever(happens) {
		r.ever(func() bool { return false }) // to see how far it goes
		r.t.Errorf("%s\n%s", what, r.state())
	}
}
