package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// stagedSubmission is a submission with bytes, and counts how often they are opened.
func stagedSubmission(content []byte, uri string, opened *atomic.Int32) queue.Submission {
	s := submission(string(content), "/unused")
	s.Digest, s.Size = sha(content), int64(len(content))
	s.Drop.URI, s.Drop.File.Size = uri, s.Size
	s.Drop.ID = queue.DropIDOf(uri, s.Drop.File, s.Digest, s.Model)
	s.Bytes = func(context.Context) (io.ReadCloser, error) {
		if opened != nil {
			opened.Add(1)
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	return s
}

func wantBucketEmpty(t *testing.T, q *queue.Queue) {
	t.Helper()
	await(t, "the bucket is empty", func() bool { return bucketMessages(t, q) == 0 })
}

func TestStagedBytesAreThereUntilTheVerdictAndNoLonger(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	content := bytesOf(1<<20+5, 1)
	sub := stagedSubmission(content, "file:///in/a.mp4", nil)
	submit(t, s.Queue, sub, queue.AcceptedNew)
	job := jobOf(t, s.Queue, sub)
	if job.Drops[0].Staged != string(sub.Drop.ID) {
		t.Fatalf("record %s", pretty(t, job.Job))
	}
	submit(t, s.Queue, sub, queue.AcceptedJoined) // as after a crash of the watcher
	wantStaged(t, s.Queue, job.Drops[0].Staged, content)
	if m, err := queue.ReconcileOlderThan(s.Queue, deadline(t), 0); err != nil || m.Swept != 0 {
		t.Errorf("swept %+v, error %v", m, err)
	}
	if n, err := queue.Sweep(s.Queue, deadline(t), 0, 0); err != nil || n != 0 {
		t.Errorf("swept %d of a job in work, error %v", n, err)
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, sub.Drop.ID, "verdict fake")
	wantBucketEmpty(t, s.Queue)
	for _, m := range terminals(t, s.Queue) {
		if strings.Contains(string(m.data), "staged") {
			t.Errorf("the message tells where the bytes were: %s", m.data)
		}
	}
}

// TestWhatJoinsIsStagedOnlyIfItsBytesMayBeMissed submits a second drop of a content to a job that is on its way.
func TestWhatJoinsIsStagedOnlyIfItsBytesMayBeMissed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what     string
		first    bool // its bytes are staged
		uploaded bool // before the second comes
		uri      string
		want     bool
	}{
		{"a staged job has them", true, false, "file:///in/b.mp4", false},
		{"a staged job has those of a message too", true, false, "nats-message:1", false},
		{"a job of a file that only some workers see", false, false, "file:///in/b.mp4", true},
		{"the platform has them", false, true, "file:///in/b.mp4", false},
		{"the platform has them and may lose them, and the message is gone", false, true, "nats-message:1", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			content := bytesOf(100, 1)
			first, second := stagedSubmission(content, "file:///in/a.mp4", nil), stagedSubmission(content, c.uri, nil)
			if !c.first {
				first.Bytes = nil
			}
			submit(t, s.Queue, first, queue.AcceptedNew)
			if c.uploaded {
				stop := working(t, s.Queue, queue.Upload, uploaded)
				wantDepths(t, s.Queue, queue.Depths{Await: 1})
				stop()
			}
			submit(t, s.Queue, second, queue.AcceptedJoined)
			if got := jobOf(t, s.Queue, second).Drops[1].Staged != ""; got != c.want {
				t.Errorf("staged %t, want %t", got, c.want)
			}
			judgeAll(t, s.Queue)
			awaitAnswers(t, s.Queue, []queue.DropID{first.Drop.ID, second.Drop.ID}, "verdict fake")
			if c.first || c.want {
				wantBucketEmpty(t, s.Queue)
			}
		})
	}
}

func TestWhatIsAnsweredAtOnceIsNotStaged(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	judgeAll(t, s.Queue)
	content := bytesOf(100, 1)
	var opened atomic.Int32
	first, second := stagedSubmission(content, "file:///in/a.mp4", &opened), stagedSubmission(content, "file:///in/b.mp4", &opened)
	third := stagedSubmission(content, "https://example.com/c.mp4", &opened)
	third.Bytes, third.Drop.Staged = nil, "staged before"
	submit(t, s.Queue, first, queue.AcceptedNew)
	awaitAnswer(t, s.Queue, first.Drop.ID, "verdict fake")
	wantBucketEmpty(t, s.Queue)
	submit(t, s.Queue, second, queue.AcceptedAnswered)
	if err := s.Stage(deadline(t), third.Drop.Staged, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Queue, third, queue.AcceptedAnswered)
	if n := bucketMessages(t, s.Queue); n != 0 || opened.Load() != 1 {
		t.Errorf("%d messages in the bucket, bytes opened %d times", n, opened.Load())
	}
}

func TestAFailureThatMayBeRetriedKeepsTheBytes(t *testing.T) {
	t.Parallel()
	for reason, kept := range map[queue.Reason]bool{
		queue.Timeout: true, queue.AnalysisFailed: true, queue.Unreadable: true, queue.Crash: true,
		queue.Rejected: false, queue.TooLarge: false, queue.Unsupported: false,
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			content := bytesOf(100, 1)
			sub := stagedSubmission(content, "https://example.com/a.mp4", nil)
			submit(t, s.Queue, sub, queue.AcceptedNew)
			stop := rejectAll(t, s.Queue, queue.Upload, reason)
			awaitAnswer(t, s.Queue, sub.Drop.ID, "failure "+string(reason))
			wantDepths(t, s.Queue, queue.Depths{})
			stop()
			if n, err := queue.Sweep(s.Queue, deadline(t), 0, 0); n != 0 || err != nil {
				t.Errorf("swept %d, error %v", n, err)
			}
			if !kept {
				wantBucketEmpty(t, s.Queue)
				return
			}
			wantStaged(t, s.Queue, string(sub.Drop.ID), content)
			job, err := s.Retry(deadline(t), keyOf(sub), false)
			if err != nil || job.Drops[0].Staged != string(sub.Drop.ID) {
				t.Fatalf("retried as %s, error %v", pretty(t, job), err)
			}
			submit(t, s.Queue, sub, queue.AcceptedAnswered) // once more, by a watcher that has forgotten it
			wantStaged(t, s.Queue, string(sub.Drop.ID), content)
			judgeAll(t, s.Queue)
			awaitAnswer(t, s.Queue, job.Drops[0].ID, "verdict fake")
			wantBucketEmpty(t, s.Queue)
		})
	}
}

func TestAFailedJobThatGoesOnForAnotherDropHasThatOnesBytes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	content := bytesOf(100, 1)
	first, second := stagedSubmission(content, "file:///in/a.mp4", nil), stagedSubmission(content, "file:///in/b.mp4", nil)
	submit(t, s.Queue, first, queue.AcceptedNew)
	stop := rejectAll(t, s.Queue, queue.Upload, queue.Unreadable)
	awaitAnswer(t, s.Queue, first.Drop.ID, "failure unreadable")
	wantDepths(t, s.Queue, queue.Depths{})
	stop()
	submit(t, s.Queue, second, queue.AcceptedNew)
	wantStaged(t, s.Queue, string(second.Drop.ID), content)
	if _, err := s.OpenStaged(deadline(t), string(first.Drop.ID)); !errors.Is(err, queue.ErrNoObject) {
		t.Errorf("those of the first are left: %v", err)
	}
	judgeAll(t, s.Queue)
	awaitAnswer(t, s.Queue, second.Drop.ID, "verdict fake")
	wantBucketEmpty(t, s.Queue)
}

func TestWhatCannotBeStagedIsNotAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		uri  string
		size int
		open func(content []byte) (io.ReadCloser, error)
		want error
	}{
		{"other bytes", "file:///in/a.mp4", 100, func([]byte) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("others")), nil
		}, queue.ErrOtherBytes},
		{"no bytes", "file:///in/a.mp4", 100, func([]byte) (io.ReadCloser, error) { return nil, errFailing }, errFailing},
		{"half the bytes", "file:///in/a.mp4", 100, func(content []byte) (io.ReadCloser, error) {
			return io.NopCloser(failing{bytes.NewReader(content[:50])}), nil
		}, errFailing},
		{"more than fits, with no other place", "https://example.com/a.mp4", 3 << 20, nil, queue.ErrTooLarge},
		{"more than fits, of a file that is where it is", "file:///in/a.mp4", 3 << 20, nil, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, func(o *queue.Options) { o.StageBytes = 2 << 20 })
			content := bytesOf(c.size, 1)
			sub := stagedSubmission(content, c.uri, nil)
			if c.open != nil {
				sub.Bytes = func(context.Context) (io.ReadCloser, error) { return c.open(content) }
			}
			_, err := s.Submit(deadline(t), sub)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			job, err := queue.Load(s.Queue, deadline(t), keyOf(sub))
			if accepted := c.want == nil; accepted != (err == nil) || accepted && job.Drops[0].Staged != "" {
				t.Errorf("record %s, error %v", pretty(t, job.Job), err)
			}
			if n := bucketMessages(t, s.Queue); n != 0 {
				t.Errorf("%d messages are left in the bucket", n)
			}
		})
	}
}

func TestTheSweepRemovesWhatNoJobNeeds(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	content := bytesOf(100, 1)
	working, ended, lost := stagedSubmission(content, "file:///in/a.mp4", nil), submission("b", "/in/b.mp4"), submission("c", "/in/c.mp4")
	submit(t, s.Queue, working, queue.AcceptedNew)
	judged := newJob(ended) // whose removal was lost
	verdict := judgement()
	judged.State, judged.EndedAt, judged.Judgement, judged.Drops[0].Staged = queue.Judged, time.Now(), &verdict, "ended"
	if _, err := queue.Store(s.Queue, deadline(t), judged, 0); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]queue.JobKey{"ended": keyOf(ended), "lost": keyOf(lost), "of another drop": keyOf(working), "of nobody": ""} {
		if err := queue.StageFor(s.Queue, deadline(t), name, key, content); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := queue.JetStreamOf(s.Queue).Publish(deadline(t), "$O."+mediaBucket+".C.half", content); err != nil {
		t.Fatal(err)
	}
	want := func(what string, old, orphaned time.Duration, swept int, left ...string) {
		t.Helper()
		n, err := queue.Sweep(s.Queue, deadline(t), old, orphaned)
		if n != swept || err != nil {
			t.Errorf("%s: swept %d, want %d; error %v", what, n, swept, err)
		}
		for _, name := range left {
			wantStaged(t, s.Queue, name, content)
		}
		chunks := 0
		if orphaned > 0 {
			chunks = 1 // that of no object
		}
		if n := bucketMessages(t, s.Queue); int(n) != 2*len(left)+chunks {
			t.Errorf("%s: %d messages are left, want those of %q", what, n, left)
		}
	}
	want("at once", time.Hour, 24*time.Hour, 0, "ended", "lost", "of another drop", "of nobody", string(working.Drop.ID))
	want("an hour later", 0, 24*time.Hour, 1, "lost", "of another drop", "of nobody", string(working.Drop.ID))
	want("a day later", 0, 0, 3, "of nobody", string(working.Drop.ID))
	want("then", 0, 0, 0, "of nobody", string(working.Drop.ID))
	m, err := s.Reconcile(deadline(t))
	if err != nil || m.Swept != 0 {
		t.Errorf("reconciled %+v, error %v", m, err)
	}
	if got := fmt.Sprint(queue.Mended{Swept: 3}); got != "3 staged files removed" {
		t.Errorf("it is told as %q", got)
	}
}

// What is kept for the retry of failed jobs is not worth that no more files are taken in.
func TestABucketThatFillsUpKeepsNothingForRetries(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(o *queue.Options) { o.StageBytes = 10_000 })
	failed, working := stagedSubmission(bytesOf(2000, 1), "file:///in/a.mp4", nil), stagedSubmission(bytesOf(4000, 2), "file:///in/b.mp4", nil)
	submit(t, s.Queue, failed, queue.AcceptedNew)
	stop := rejectAll(t, s.Queue, queue.Upload, queue.Timeout)
	awaitAnswer(t, s.Queue, failed.Drop.ID, "failure timeout")
	stop()
	if n, err := queue.Sweep(s.Queue, deadline(t), 0, 0); n != 0 || err != nil {
		t.Errorf("swept %d with little in the bucket, error %v", n, err)
	}
	submit(t, s.Queue, working, queue.AcceptedNew)
	if n, err := queue.Sweep(s.Queue, deadline(t), 0, 0); n != 1 || err != nil {
		t.Errorf("swept %d with much in the bucket, want 1; error %v", n, err)
	}
	wantStaged(t, s.Queue, string(working.Drop.ID), bytesOf(4000, 2))
}
