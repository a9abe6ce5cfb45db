package worker

import (
	"os"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

func TestAFileTakesOneMutationAndIsPaidForOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantIdle()
	r.wantPaidOnce(a)
	if l := r.Ledger(); l.Mutation != 1 || l.PutsBegun != 1 || l.Query != 1 {
		t.Errorf("%d mutations, %d PUTs, %d queries", l.Mutation, l.PutsBegun, l.Query)
	}
	if j := r.job(a); j.State != queue.Judged || j.Attempts != 1 || j.UploadURL != "" {
		t.Errorf("%+v", j)
	}
}

func TestEqualFilesArePaidForOnceAndEachAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit(write(t, r.dir+"/a.jpg", content))
	b := r.submit(write(t, r.dir+"/b.jpg", content))
	r.run()
	c := r.submit(write(t, r.dir+"/c.jpg", content))
	for _, f := range []file{a, b, c} {
		r.wantAnswer(f, "verdict")
	}
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpCreate, 1)
}

func TestACreateWithoutAnAnswerIsLookedForBeforeAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var listed []int // lists before each create
	counted := before(func() { listed = append(listed, r.Ledger().Total(sandbox.OpList)) }, pass)
	r.Faults(always(sandbox.OpCreate, counted), once(sandbox.OpCreate, sandbox.CutAfter))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantIdle()
	r.wantPaidOnce(a)
	if len(listed) != 2 || listed[0] != 0 || listed[1] != 1 {
		t.Errorf("lists before each create: %v", listed)
	}
	if l := r.Ledger(); l.PutsBegun != 1 {
		t.Errorf("%d PUTs", l.PutsBegun)
	}
}

func TestAnUnusableAnswerToACreateIsLookedForToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpCreate, sandbox.Garbage))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantCalls(sandbox.OpList, 1)
	r.wantPaidOnce(a)
}

func TestACreateThatNeverLeftIsNotLookedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpCreate, sandbox.QuotaUsedUp))
	a := r.file("a.jpg")
	r.run()
	r.goOn("it is judged", func() bool { return r.answer(a) == "verdict" })
	r.wantCalls(sandbox.OpList, 0)
}

func TestAPUTWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"noticed at once": 0, "noticed late": 150 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, platform(func(o *sandbox.Options) { o.EventDelay = delay }),
				options(func(o *Options) { o.LateAfter = 2 * time.Second }))
			r.Faults(once(sandbox.OpPut, sandbox.CutAfter))
			a := r.file("a.jpg")
			r.run()
			r.wantAnswer(a, "verdict")
			r.wantIdle()
			r.wantPaidOnce(a)
			r.wantCalls(sandbox.OpPut, 1)
			r.wantCalls(sandbox.OpCreate, 1)
		})
	}
}

// The event comes later than a file waits after an error, so that it is asked for at least twice.
func TestAPUTThatIsNoticedOnlyAtTheSecondLookIsNotRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.EventDelay = 6 * time.Second }),
		options(func(o *Options) { o.LateAfter = 7 * time.Second }))
	r.Faults(once(sandbox.OpPut, sandbox.CutAfter))
	a := r.file("a.jpg")
	r.run()
	r.await("the platform has said that it has nothing", func() bool { return !r.job(a).Asked.IsZero() })
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpPut, 1)
}

func TestAPUTThatWasCutInTheMiddleIsRepeatedToTheSameRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpPut, sandbox.CutBody))
	a := r.submit(write(t, r.dir+"/large.jpg", string(make([]byte, 8<<20)))) // more than fits the sockets' buffers
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantIdle()
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpPut, 2)
	r.wantCalls(sandbox.OpCreate, 1)
}

// The first worker is stopped while storage, which has all bytes, has not answered. Storage loses them.
func TestAPUTThatNeverArrivedIsRepeatedOnlyWhenThePlatformHasSaidSoTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, options(func(o *Options) { o.Grace = time.Millisecond }))
	asked, taken := make(chan int, 10), make(chan bool)
	r.Faults(once(sandbox.OpPut, loseIt(func() { taken <- true })),
		always(sandbox.OpPut, before(func() { asked <- r.Ledger().Total(sandbox.OpGet) }, pass)))
	a := r.file("a.jpg")
	stop := r.run()
	<-taken
	stop()
	if j := r.job(a); j.State != queue.Reserved || j.Sending.IsZero() {
		t.Fatalf("%s, sending %s", j.State, j.Sending)
	}
	r.worker = New(r.options)
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpCreate, 1)
	r.wantCalls(sandbox.OpPut, 2)
	if n := <-asked; n < 2 {
		t.Errorf("%d gets before the second PUT", n)
	}
}

// The platform's clock is ahead of ours, so that the ledger still believes in the URL.
func TestAnUploadURLThatIsTooOldBringsANewRecord(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := newRig(t, platform(func(o *sandbox.Options) { o.Clock, o.URLTTL = c.Now, time.Hour }))
	r.Faults(once(sandbox.OpPut, before(func() { c.advance(2 * time.Hour) }, sandbox.SlowDown)))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantIdle()
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpCreate, 2)
	if l := r.Ledger(); l.Calls[sandbox.OpPut][403] != 1 || l.PutsBegun != 1 {
		t.Errorf("PUTs %v", l.Calls[sandbox.OpPut])
	}
	if j := r.job(a); len(j.Abandoned) != 1 || j.Abandoned[0] == j.MediaID {
		t.Errorf("abandoned %v, used %s", j.Abandoned, j.MediaID)
	}
}

// The URL is alive at the create and has less than spareLife left when the file comes to its second PUT.
func TestAnUploadURLThatIsAboutToEndIsNotUsed(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.URLTTL = spareLife - 5*time.Second }))
	r.Faults(once(sandbox.OpPut, sandbox.SlowDown))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpCreate, 2)
	r.wantCalls(sandbox.OpPut, 2)
}

func TestAFileThatStorageAlwaysRefusesFailsAfterSomeTries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(always(sandbox.OpPut, sandbox.Answer(403, "application/xml",
		`<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>`)))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "rejected")
	r.wantIdle()
	r.wantCalls(sandbox.OpPut, storageTries)
	r.wantCalls(sandbox.OpCreate, 1)
	if f := r.failure(a); f.Code != "SignatureDoesNotMatch" || f.Attempts != storageTries {
		t.Errorf("%+v", f)
	}
	if r.cluster.Uploads.State().Closed() {
		t.Error("uploads are paused")
	}
}

func TestAFileThatThePlatformRefusesFailsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpCreate, sandbox.Answer(400, "application/json", `{"code":"bad_request","message":"no such format"}`)))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "rejected")
	r.wantIdle()
	r.wantCalls(sandbox.OpCreate, 1)
	r.wantCalls(sandbox.OpPut, 0)
	if f := r.failure(a); f.Code != "bad_request" || f.Message != "no such format" {
		t.Errorf("%+v", f.Fault)
	}
}

func TestAFileThatIsNotWhatWasHashedFailsWithoutACall(t *testing.T) {
	t.Parallel()
	for _, v := range vices {
		if v.reason == "" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := r.submit(write(t, r.dir+"/a.jpg", content))
			v.do(t, a.path)
			r.run()
			r.wantAnswer(a, string(v.reason))
			r.wantIdle()
			for op, calls := range r.Ledger().Calls {
				t.Errorf("%s was called: %v", op, calls)
			}
		})
	}
}

func TestACopyThatIsStillThereIsUsedInstead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone := r.submit(write(t, r.dir+"/a.jpg", content))
	changed := r.submit(write(t, r.dir+"/b.jpg", content))
	there := r.submit(write(t, r.dir+"/c.jpg", content))
	must(t, os.Remove(gone.path))
	write(t, changed.path, "something else")
	r.run()
	for _, f := range []file{gone, changed, there} {
		r.wantAnswer(f, "verdict")
	}
	r.wantPaidOnce(there)
}

func TestAFileThatIsAlteredDuringItsUploadGetsNoVerdict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit(write(t, r.dir+"/a.jpg", content))
	r.Faults(once(sandbox.OpPut, before(func() { write(t, a.path, content[1:]+"!") }, pass)))
	r.run()
	r.wantAnswer(a, "changed")
	r.wantIdle()
	if j := r.job(a); len(j.Abandoned) != 1 || j.MediaID != "" {
		t.Errorf("the record with the other bytes is still the job's: %s, abandoned %v", j.MediaID, j.Abandoned)
	}
}

func TestAFileThatIsTouchedDuringItsUploadGetsItsVerdict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.file("a.jpg")
	r.Faults(once(sandbox.OpPut, before(func() {
		must(t, os.Chtimes(a.path, time.Time{}, time.Now().Add(time.Hour)))
	}, pass)))
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
}

// A job that fails for its file's sake goes on for another file with the same content, and uses what it has.
func TestANewDropOfAFileThatWentMissingUsesTheRecordThatIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.submit(write(t, r.dir+"/a.jpg", content))
	r.Faults(once(sandbox.OpPut, before(func() { must(t, os.Remove(a.path)) }, sandbox.SlowDown)))
	r.run()
	r.wantAnswer(a, "unreadable")
	r.wantIdle()
	b := r.submit(write(t, r.dir+"/b.jpg", content))
	r.wantAnswer(b, "verdict")
	r.wantPaidOnce(b)
	r.wantCalls(sandbox.OpCreate, 1)
}
