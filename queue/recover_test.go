package queue_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

// lose takes messages out of a stream, as a loss does: of a subject, or all.
func lose(t *testing.T, s *store, stream string, subject ...string) {
	t.Helper()
	var of []jetstream.StreamPurgeOpt
	for _, subject := range subject {
		of = append(of, jetstream.WithPurgeSubject(subject))
	}
	if err := lookUp(t, s.Queue, stream).Purge(deadline(t), of...); err != nil {
		t.Fatal(err)
	}
}

func wantMended(t *testing.T, s *store, want queue.Mended) {
	t.Helper()
	if m, err := s.Recover(deadline(t)); err != nil || m != want {
		t.Errorf("mended %+v, %v, want %+v", m, err, want)
	}
}

// judged has a submission judged, and nothing left on the queues.
func judged(t *testing.T, s *store, subs ...queue.Submission) {
	t.Helper()
	for _, sub := range subs {
		submit(t, s.Queue, sub, queue.AcceptedNew)
	}
	stop := judgeAll(t, s.Queue)
	awaitAnswers(t, s.Queue, dropIDs(subs), "verdict fake")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
}

func remember(t *testing.T, s *store, e queue.FileEntry) {
	t.Helper()
	if err := s.Registry("").Remember(deadline(t), queue.FileKeyOf(e.URI), e); err != nil {
		t.Fatal(err)
	}
}

func entryOf(sub queue.Submission) queue.FileEntry {
	return queue.FileEntry{URI: sub.Drop.URI, File: sub.Drop.File, Drops: []queue.DropID{sub.Drop.ID}, Jobs: []queue.JobKey{keyOf(sub)}}
}

func isRemembered(t *testing.T, s *store, path string) bool {
	t.Helper()
	e, err := s.Registry("").Entry(deadline(t), queue.FileKeyOf(path))
	if err != nil {
		t.Fatal(err)
	}
	return e != nil
}

func TestNothingIsMendedWhereNothingIsLost(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b, c := submission("a", "/in/a"), submission("b", "/in/b"), submission("c", "/in/c")
	judged(t, s, a)
	failed(t, s, b, queue.Fault{Reason: queue.Rejected})
	submit(t, s.Queue, c, queue.AcceptedNew)
	for _, sub := range []queue.Submission{a, b, c} {
		remember(t, s, entryOf(sub))
	}
	wantMended(t, s, queue.Mended{})
	if n := len(terminals(t, s.Queue)); n != 2 {
		t.Errorf("%d terminal messages", n)
	}
}

func TestAnAnswerThatTheLedgerHasLostIsWrittenIntoIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b, c := submission("a", "/in/a"), submission("b", "/in/b"), submission("c", "/in/c")
	judged(t, s, c, a)
	failed(t, s, b, queue.Fault{Reason: queue.Timeout, Message: "too late"})
	lose(t, s, "KV_authenta-ledger", queue.RecordSubject(s.Queue, keyOf(a)))
	lose(t, s, "KV_authenta-ledger", queue.RecordSubject(s.Queue, keyOf(b)))
	wantMended(t, s, queue.Mended{Restored: 2})
	for _, sub := range []queue.Submission{a, b} {
		submit(t, s.Queue, sub, queue.AcceptedAnswered)
	}
	if j := jobOf(t, s.Queue, a); j.State != queue.Judged || j.MediaID != "mid-1" || j.Judgement.Outcome != queue.Fake || j.EndedAt.IsZero() {
		t.Errorf("record %s", pretty(t, j.Job))
	}
	if j := jobOf(t, s.Queue, b); j.State != queue.Failed || j.Fault.Message != "too late" || j.Stopped != queue.Queued {
		t.Errorf("record %s", pretty(t, j.Job))
	}
	wantDepths(t, s.Queue, queue.Depths{})
}

// The ledger has gone back to before the answer. Another one would contradict it.
func TestAJobThatTheLedgerHasInWorkAndAStreamAnsweredIsNotAnsweredOtherwise(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a")
	failed(t, s, a, queue.Fault{Reason: queue.Timeout})
	lose(t, s, "KV_authenta-ledger")
	j := newJob(a)
	j.State, j.MediaID = queue.Uploaded, "mid-1"
	if _, err := queue.Store(s.Queue, deadline(t), j, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recover(deadline(t)); err != nil { // the record is younger than the answer: it is no loss, as far as can be known
		t.Fatal(err)
	}
	if j := jobOf(t, s.Queue, a); j.State != queue.Uploaded {
		t.Errorf("record %s", pretty(t, j.Job))
	}
	answered, changed := queue.AnsweredAs(j, queue.JobOfFailure(queue.FailureOf(jobFailed(j), a.Drop)))
	if !changed || answered.State != queue.Failed || answered.Stopped != queue.Uploaded || len(answered.Drops) != 1 || answered.Drops[0].File != a.Drop.File {
		t.Errorf("record %s", pretty(t, answered))
	}
}

func jobFailed(j queue.Job) queue.Job {
	j, err := j.Next(queue.GaveUp{Fault: queue.Fault{Reason: queue.Timeout}, At: t2})
	if err != nil {
		panic(err)
	}
	return j
}

func TestAnAnswerThatAStreamHasLostIsPublishedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	a, b, c := submission("a", "/in/a"), submission("b", "/in/b"), submission("c", "/in/c")
	judged(t, s, a, b)
	failed(t, s, c, queue.Fault{Reason: queue.Rejected})
	was := terminals(t, s.Queue)
	lose(t, s, "authenta-verdicts")
	lose(t, s, "authenta-failures")
	s.close()
	s = openStore(t, dir) // the broker has forgotten the ids, as after a crash of its machine
	wantMended(t, s, queue.Mended{Announced: 3})
	if is := terminals(t, s.Queue); len(is) != len(was) || !slices.EqualFunc(sorted(is), sorted(was), func(x, y terminal) bool {
		return x.id == y.id && x.subject == y.subject && string(x.data) == string(y.data)
	}) {
		t.Errorf("published %v, want %v", is, was)
	}
}

func sorted(all []terminal) []terminal {
	slices.SortFunc(all, func(a, b terminal) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return all
}

func TestAFileWhoseDropIsInNoRecordIsForgotten(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	kept, lost, refused := submission("kept", "/in/kept"), submission("lost", "/in/lost"), submission("note", "/in/note")
	for _, sub := range []queue.Submission{lost, kept} {
		submit(t, s.Queue, sub, queue.AcceptedNew)
		remember(t, s, entryOf(sub))
	}
	entry := entryOf(refused)
	entry.Jobs, entry.Reason = nil, queue.Unsupported
	remember(t, s, entry)
	if _, err := s.Refuse(deadline(t), refused.Drop, "text/plain", queue.Fault{Reason: queue.Unsupported}); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	lose(t, s, "KV_authenta-ledger", queue.RecordSubject(s.Queue, keyOf(lost)))
	wantMended(t, s, queue.Mended{Forgotten: 1})
	if isRemembered(t, s, lost.Drop.URI) || !isRemembered(t, s, kept.Drop.URI) || !isRemembered(t, s, refused.Drop.URI) {
		t.Error("want the lost one forgotten, and no other")
	}
	wantDepths(t, s.Queue, queue.Depths{Upload: 1}) // the message of the lost one is gone
	gaps, err := s.Gaps(deadline(t))
	if err != nil || len(gaps) != 1 || gaps[0].From.After(before) || gaps[0].To.Before(before) {
		t.Errorf("gaps %v, %v", gaps, err)
	}

	lose(t, s, "authenta-failures")
	wantMended(t, s, queue.Mended{Forgotten: 1})
	if isRemembered(t, s, refused.Drop.URI) {
		t.Error("want the refused one forgotten: nobody has its answer")
	}
}

// What was forgotten on purpose is no loss: it would be paid for again.
func TestAFileWhoseVerdictWasEvictedIsNotTakenForLost(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a")
	remember(t, s, entryOf(a))
	judged(t, s, a)
	bytes := int64(lookUp(t, s.Queue, "KV_authenta-ledger").CachedInfo().State.Bytes)
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", bytes)
	if m, err := s.Reconcile(deadline(t)); err != nil || m.Evicted != 1 {
		t.Fatalf("mended %+v, %v", m, err)
	}
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", 1<<20)
	if m, err := s.Recover(deadline(t)); err != nil || m.Forgotten != 0 || !isRemembered(t, s, a.Drop.URI) {
		t.Errorf("mended %+v, %v", m, err)
	}
}

func TestAStoreIsBlankUntilItsGapIsNoted(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	blank := func() bool {
		t.Helper()
		b, err := s.Blank(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !blank() {
		t.Error("a new store is not blank")
	}
	wantMended(t, s, queue.Mended{})
	if blank() {
		t.Error("blank though its gap is noted")
	}
	gaps, err := s.Gaps(deadline(t))
	if err != nil || len(gaps) != 1 || !gaps[0].From.IsZero() || !gaps[0].CaughtUp.IsZero() {
		t.Errorf("gaps %+v, %v", gaps, err)
	}
	if err := s.CaughtUp(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if !blank() { // the ledger may have been deleted since
		t.Error("not blank, and nothing is in the ledger")
	}
	submit(t, s.Queue, submission("a", "/in/a"), queue.AcceptedNew)
	if blank() {
		t.Error("blank with a job")
	}
}

func TestWhatAGapHides(t *testing.T) {
	gap := queue.Gap{From: t1, To: t2}
	done := gap
	done.CaughtUp = t2.Add(time.Minute)
	job := func(state queue.State, file, queued time.Time) queue.Job {
		return queue.Job{State: state, QueuedAt: queued, Drops: []queue.Drop{{QueuedAt: queued, File: queue.FileID{ModTime: file}}}}
	}
	for name, c := range map[string]struct {
		gap  queue.Gap
		job  queue.Job
		want bool
	}{
		"queued before":                   {gap, job(queue.Queued, t1, t1), true},
		"found again":                     {gap, job(queue.Queued, t1, t2.Add(time.Second)), true},
		"found again soon after the scan": {done, job(queue.Queued, t1, t2.Add(30*time.Minute)), true},
		"an old file that has come later": {done, job(queue.Queued, t1, t2.Add(2*time.Hour)), false},
		"no scan yet, however late":       {gap, job(queue.Queued, t1, t2.Add(48*time.Hour)), true},
		"a file that is younger":          {gap, job(queue.Queued, t2.Add(time.Second), t2.Add(time.Minute)), false},
		"its record is known":             {gap, job(queue.Reserved, t1, t1), false},
		"its bytes are there":             {gap, job(queue.Uploaded, t1, t1), false},
	} {
		if got := c.gap.Hides(c.job); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestGapsAreKeptApartAsLongAsTheyAreFew(t *testing.T) {
	at := func(h int) time.Time { return t1.Add(time.Duration(h) * time.Hour) }
	gap := func(from, to int) queue.Gap { return queue.Gap{From: at(from), To: at(to), CaughtUp: at(to)} }
	const life = 1000 * time.Hour
	var gaps []queue.Gap
	for i := range 8 {
		gaps = queue.MergeGaps(gaps, gap(10*i, 10*i+1), life)
	}
	if len(gaps) != 8 {
		t.Errorf("%d gaps", len(gaps))
	}
	gaps = queue.MergeGaps(gaps, gap(100, 101), life)
	if len(gaps) != 8 || !gaps[0].From.Equal(at(0)) || !gaps[0].To.Equal(at(11)) {
		t.Errorf("gaps %v", gaps)
	}
	gaps = queue.MergeGaps(gaps, queue.Gap{From: at(55), To: at(102)}, life) // it holds those from then on
	if last := gaps[len(gaps)-1]; !last.From.Equal(at(55)) || len(gaps) != 6 {
		t.Errorf("gaps %v", gaps)
	}
	gaps = queue.MergeGaps(gaps, gap(5000, 5001), life)
	if len(gaps) != 1 {
		t.Errorf("old ones are kept: %v", gaps)
	}
}

func TestADamagedRecordOfGapsHidesAll(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if _, err := s.Control().Put(deadline(t), "gaps", []byte(`{"from`), 0); err != nil {
		t.Fatal(err)
	}
	gaps, err := s.Gaps(deadline(t))
	if err != nil || len(gaps) != 1 || !gaps[0].From.IsZero() || gaps[0].To.IsZero() {
		t.Errorf("gaps %v, %v", gaps, err)
	}
}

// A crash of the broker has brought back what was acknowledged, which it does not hand out.
func TestWhatTheBrokerDoesNotHandOutIsPutBack(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]uint64{"below the floor": 3, "beyond the end": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			subs := []queue.Submission{submission("a", "/in/a"), submission("b", "/in/b"), submission("c", "/in/c")}
			for _, sub := range subs {
				submit(t, s.Queue, sub, queue.AcceptedNew)
			}
			if n, err := s.Unstick(deadline(t)); err != nil || n != 0 {
				t.Fatalf("%d stuck, %v", n, err)
			}
			if _, err := queue.JetStreamOf(s.Queue).ResetConsumerToSequence(deadline(t), "authenta-jobs", "upload", first); err != nil {
				t.Fatal(err)
			}
			n, err := s.Unstick(deadline(t))
			if err != nil || first == 3 && n != 2 {
				t.Fatalf("%d stuck, %v", n, err)
			}
			judgeAll(t, s.Queue)
			awaitAnswers(t, s.Queue, dropIDs(subs), "verdict fake")
			wantDepths(t, s.Queue, queue.Depths{})
		})
	}
}

// A job that failed before its bytes were sent must not be restored as one whose result is awaited.
func TestAFailureBeforeThePUTIsNotRestoredAsUploaded(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a := submission("a", "/in/a.mp4")
	submit(t, s.Queue, a, queue.AcceptedNew)
	stop := working(t, s.Queue, queue.Upload, func(ctx context.Context, task *queue.Task) queue.Settlement {
		if task.State == queue.Queued {
			now := time.Now().UTC()
			_ = task.Apply(ctx, queue.CreateStarted{Name: "a", At: now})
			_ = task.Apply(ctx, queue.Created{MediaID: "mid-1", UploadURL: "https://x", At: now})
			_ = task.Apply(ctx, queue.SendFailed{}) // and then the file is gone
		}
		return queue.Reject(queue.Fault{Reason: queue.Unreadable})
	})
	awaitAnswer(t, s.Queue, a.Drop.ID, "failure unreadable")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	if j := jobOf(t, s.Queue, a); j.Stopped != queue.Reserved {
		t.Fatalf("stopped %s", j.Stopped)
	}
	lose(t, s, "KV_authenta-ledger")
	wantMended(t, s, queue.Mended{Restored: 1})
	submit(t, s.Queue, submission("a", "/in/again.mp4"), queue.AcceptedNew)
	if j := jobOf(t, s.Queue, a); j.State == queue.Uploaded {
		t.Errorf("the job awaits the result of %s, which never got its bytes: %s", j.MediaID, j.State)
	}
}

// A Recover that is cut off must not hide from the next one what was lost.
func TestARecoveryThatWasCutOffLeavesNoPartOfTheLossUnnoted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	judged(t, s, submission("a", "/in/a"), submission("b", "/in/b"), submission("c", "/in/c"))
	lose(t, s, "KV_authenta-ledger")
	s.close()

	ctx, cancel := context.WithCancel(t.Context())
	s = openStore(t, dir, step(func(point string) { // a signal, while the answers are restored
		if strings.HasPrefix(point, "after $KV.authenta-ledger.") {
			cancel()
		}
	}))
	if _, err := s.Recover(ctx); err == nil {
		t.Fatal("not cut off")
	}
	s.close()

	s = openStore(t, dir)
	m, err := s.Recover(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	gaps, err := s.Gaps(deadline(t))
	if err != nil || len(gaps) == 0 || !gaps[0].From.IsZero() {
		t.Errorf("gaps %+v, %v: want one since ever, for the whole ledger was lost", gaps, err)
	}
	if m.Restored != 2 {
		t.Errorf("mended %+v: want the 2 other answers restored", m)
	}
}

// A record that is restored from one drop's verdict owes the others theirs.
func TestARestoredJobAnswersItsOtherDrops(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("a", "/in/a"), submission("a", "/in/b")
	submit(t, s.Queue, a, queue.AcceptedNew)
	submit(t, s.Queue, b, queue.AcceptedJoined)
	stop := working(t, s.Queue, queue.Upload, uploaded)
	await(t, "uploaded", func() bool { return jobOf(t, s.Queue, a).State == queue.Uploaded })
	stop()
	before := jobOf(t, s.Queue, a).Job
	j := before
	j, err := j.Next(queue.Concluded{Judgement: judgement(), At: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	// Judged, both verdicts published, acknowledged; then the newest of the ledger and of the verdicts is lost.
	j.Drops = j.Drops[:1]
	if err := queue.Announce(s.Queue, deadline(t), j); err != nil {
		t.Fatal(err)
	}
	lose(t, s, "authenta-jobs")
	if _, err := s.Recover(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if got := jobOf(t, s.Queue, a).State; got != queue.Judged {
		t.Fatalf("state %s", got)
	}
	if got := answersTo(t, s.Queue, b.Drop.ID); len(got) != 1 {
		t.Errorf("the second drop has the answers %v; its job is judged, and on no queue", got)
	}
}

// A drop that a verdict answered at once needs no record any more.
func TestAFileThatWasAnsweredAtOnceIsNotLostWithItsEvictedVerdict(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, copied := submission("a", "/in/a"), submission("a", "/in/copy")
	judged(t, s, a)
	submit(t, s.Queue, copied, queue.AcceptedAnswered) // much later
	e := entryOf(copied)
	e.Jobs, e.Cached = nil, true
	remember(t, s, e)
	judged(t, s, submission("later", "/in/later")) // so that the newest verdict is younger than the entry
	size := int64(lookUp(t, s.Queue, "KV_authenta-ledger").CachedInfo().State.Bytes)
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", size*8/5-40)
	if m, err := s.Reconcile(deadline(t)); err != nil || m.Evicted == 0 {
		t.Fatalf("mended %+v, %v", m, err)
	}
	setMaxBytes(t, s.Queue, "KV_authenta-ledger", 1<<20)
	if m, err := s.Recover(deadline(t)); err != nil || m.Forgotten != 0 || !isRemembered(t, s, copied.Drop.URI) {
		t.Errorf("mended %+v, %v: the copy will be taken in again, and paid for", m, err)
	}
}

// An answer to a drop that a retry has replaced does not end the retried job.
func TestAnAnswerFromBeforeARetryDoesNotEndTheRetriedJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	a := submission("a", "/in/a")
	failed(t, s, a, queue.Fault{Reason: queue.Timeout})
	was := jobOf(t, s.Queue, a).Job
	if _, err := s.Retry(deadline(t), keyOf(a), false); err != nil {
		t.Fatal(err)
	}
	lose(t, s, "authenta-failures")
	s.close()
	s = openStore(t, dir)                                             // ids forgotten, as after two minutes
	if err := queue.Announce(s.Queue, deadline(t), was); err != nil { // somebody who had loaded the record before the retry
		t.Fatal(err)
	}
	if _, err := s.Recover(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if j := jobOf(t, s.Queue, a); j.State != queue.Queued {
		t.Errorf("record %s", pretty(t, j.Job))
	}
}

func TestAGapHidesAFileWhoseTimeIsInTheFuture(t *testing.T) {
	gap := queue.Gap{From: t1, To: t2}
	j := queue.Job{State: queue.Queued, QueuedAt: t2.Add(time.Minute), Drops: []queue.Drop{{QueuedAt: t2.Add(time.Minute), File: queue.FileID{ModTime: t2.Add(1000 * time.Hour)}}}}
	if !gap.Hides(j) {
		t.Error("not hidden: it may have been uploaded before the loss, as its time says nothing")
	}
}

// The ledger has gone back to before a drop had joined.
func TestAFileWhoseDropIsNotInItsRecordIsForgotten(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	a, b := submission("a", "/in/a"), submission("a", "/in/b")
	submit(t, s.Queue, a, queue.AcceptedNew)
	remember(t, s, entryOf(a))
	was := jobOf(t, s.Queue, a).Job
	submit(t, s.Queue, b, queue.AcceptedJoined)
	remember(t, s, entryOf(b))
	if err := s.CaughtUp(deadline(t)); err != nil {
		t.Fatal(err)
	}
	// the newest of the ledger is lost: what it was before is there again, as old as it was. (Its message is younger here.)
	lose(t, s, "KV_authenta-ledger")
	if _, err := queue.Store(s.Queue, deadline(t), was, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recover(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if isRemembered(t, s, b.Drop.URI) {
		t.Error("remembered, and its drop is in no record: it will never have an answer")
	}
}

// Others work on while one process finds out what was lost: what they take in meanwhile is not lost.
func TestAFileThatIsTakenInMeanwhileIsNotLost(t *testing.T) {
	t.Parallel()
	var meanwhile func()
	s := newStore(t, step(func(point string) {
		if do := meanwhile; do != nil && strings.HasPrefix(point, "before $KV.authenta-ledger.") { // the records are listed
			meanwhile = nil
			do()
		}
	}))
	a, b, c := submission("a", "/in/a"), submission("b", "/in/b"), submission("c", "/in/c")
	judged(t, s, c, a)
	lose(t, s, "KV_authenta-ledger", queue.RecordSubject(s.Queue, keyOf(a)))
	other := openQueue(t, s.conn)
	meanwhile = func() {
		submit(t, other, b, queue.AcceptedNew)
		if err := other.Registry("").Remember(deadline(t), queue.FileKeyOf(b.Drop.URI), entryOf(b)); err != nil {
			t.Error(err)
		}
	}
	wantMended(t, s, queue.Mended{Restored: 1})
	if meanwhile != nil {
		t.Fatal("nothing was taken in meanwhile")
	}
	if !isRemembered(t, s, b.Drop.URI) {
		t.Error("it was forgotten, and will be read again")
	}
}
