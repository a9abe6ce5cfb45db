package queue_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

func (s *store) js() jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.New(s.conn.Conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

func (s *store) intake(host string, subjects ...string) *queue.Intake {
	s.t.Helper()
	in, err := s.Intake(deadline(s.t), host, queue.Named{Subjects: subjects, Roots: []string{"/" + host}})
	if err != nil {
		s.t.Fatal(err)
	}
	return in
}

func (s *store) captured() []string {
	s.t.Helper()
	stream, err := s.js().Stream(deadline(s.t), "authenta-intake")
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.Sorted(slices.Values(stream.CachedInfo().Config.Subjects))
}

// received are the messages that Work hands out until n different ones are done, by their text.
func received(t *testing.T, in *queue.Intake, n int, settle func(queue.Message) queue.Settlement) map[string]queue.Message {
	t.Helper()
	ctx, stop := context.WithCancel(deadline(t))
	defer stop()
	var mu sync.Mutex
	got := map[string]queue.Message{}
	err := in.Work(ctx, queue.MessagePool{
		Slots: 4, Grace: patience, Ready: func(ctx context.Context) error { return ctx.Err() },
		Handle: func(_ context.Context, m queue.Message) queue.Settlement {
			mu.Lock()
			defer mu.Unlock()
			s := settle(m)
			if s.String() != "done" {
				return s
			}
			if got[string(m.Data)] = m; len(got) == n {
				stop()
			}
			return s
		},
	})
	if err != nil || len(got) != n {
		t.Fatalf("%d messages, want %d; %v", len(got), n, err)
	}
	return got
}

func done(queue.Message) queue.Settlement { return queue.Done() }

func TestWhatIsPublishedOnASubjectIsKeptUntilItIsTakenIn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	in := s.intake("", "media.in", "media.*.more")
	ack, err := s.js().Publish(deadline(t), "media.in", []byte("one"))
	if err != nil || ack.Stream != "authenta-intake" {
		t.Fatalf("%+v, %v", ack, err)
	}
	if _, err := s.js().Publish(deadline(t), "media.x.more", []byte("two")); err != nil {
		t.Fatal(err)
	}
	handed, err := s.HandIn(deadline(t), nats.Header{"Name": {"x"}, "Nats-Expected-Stream": {"none"}}, []byte("three"))
	if err != nil {
		t.Fatal(err)
	}
	mark, err := in.End(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if reached, err := in.Reached(deadline(t), mark); reached || err != nil {
		t.Errorf("taken in already: %v, %v", reached, err)
	}
	again := false
	got := received(t, in, 3, func(m queue.Message) queue.Settlement {
		if string(m.Data) == "one" && !again {
			again = true
			return queue.RetryAfter(0)
		}
		if string(m.Data) == "one" && m.Tries != 2 {
			t.Errorf("handed out %d times", m.Tries)
		}
		return queue.Done()
	})
	if id := got["three"].ID; id != handed || !strings.HasPrefix(string(id), "authenta-intake-") || got["three"].Header.Get("Name") != "x" {
		t.Errorf("handed in as %s, taken in as %+v", handed, got["three"])
	}
	if n, err := s.Untaken(deadline(t)); n != 0 || err != nil {
		t.Errorf("%d are not taken in, %v", n, err)
	}
	if _, err := s.HandIn(deadline(t), nil, []byte("later")); err != nil {
		t.Fatal(err)
	}
	if reached, err := in.Reached(deadline(t), mark); !reached || err != nil {
		t.Errorf("what came later is waited for: %v, %v", reached, err)
	}
}

func TestAStreamThatCapturesASubjectAlreadyIsConsumed(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	_, err := s.js().CreateStream(deadline(t), jetstream.StreamConfig{Name: "MEDIA", Subjects: []string{"media.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for subject, text := range map[string]string{"media.in": "ours", "media.out": "not ours"} {
		if _, err := s.js().Publish(deadline(t), subject, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	in := s.intake("", "media.in", "other.in")
	if got := in.Streams(); !slices.Equal(got, []string{"MEDIA", "authenta-intake"}) {
		t.Errorf("taken from %v", got)
	}
	if got := s.captured(); !slices.Equal(got, []string{"authenta.intake", "other.in"}) {
		t.Errorf("captured %v", got)
	}
	if got := received(t, in, 1, done); !regexp.MustCompile(`^MEDIA-[0-9a-z]+-[12]$`).MatchString(string(got["ours"].ID)) {
		t.Errorf("received %v", got)
	}
	received(t, s.intake("", "media.in"), 0+1, func() func(queue.Message) queue.Settlement {
		if _, err := s.js().Publish(deadline(t), "media.in", []byte("next")); err != nil {
			t.Fatal(err)
		}
		return done
	}())
}

func TestASubjectOfWhichAStreamCapturesAPartIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	_, err := s.js().CreateStream(deadline(t), jetstream.StreamConfig{Name: "VIDEOS", Subjects: []string{"media.video.*"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Intake(deadline(t), "", queue.Named{Subjects: []string{"media.>"}})
	if err == nil || !strings.Contains(err.Error(), "VIDEOS") || !strings.Contains(err.Error(), "media.video.*") {
		t.Errorf("%v", err)
	}
}

func TestEachMachineNamesItsSubjects(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var all sync.WaitGroup
	for _, host := range []string{"a.example", "b", "c"} {
		all.Go(func() { s.intake(host, host+".in", "all.in") })
	}
	all.Wait()
	if got, want := s.captured(), []string{"a.example.in", "all.in", "authenta.intake", "b.in", "c.in"}; !slices.Equal(got, want) {
		t.Errorf("captured %v, want %v", got, want)
	}
	in := s.intake("c", "c.in", "all.in")
	if roots, err := in.Roots(deadline(t)); len(roots) != 3 || err != nil {
		t.Errorf("roots %v, %v", roots, err)
	}
}

// Processes of one machine may name different subjects: none takes away what another one names, and what nobody names any more goes
// when the last one that did has been gone for a while.
func TestProcessesOfAMachineThatNameDifferentSubjects(t *testing.T) {
	t.Parallel()
	var book logbook
	s := newStore(t, func(o *queue.Options) { o.Log = book.log() })
	want := func(subjects ...string) {
		t.Helper()
		if got := s.captured(); !slices.Equal(got, subjects) {
			t.Errorf("captured %v, want %v", got, subjects)
		}
	}
	keep := func(in *queue.Intake) {
		t.Helper()
		if err := queue.KeepNamed(in, deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	age := func(subject string) {
		t.Helper()
		n := queue.Named{Subjects: []string{subject}, Roots: []string{"/m"}}
		if err := queue.AgeNamed(deadline(t), s.Queue, "m", n, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	first := s.intake("m", "first.in")
	if book.said("another process of this machine") != 0 {
		t.Error("it warns of itself")
	}
	s.intake("m", "first.in")
	second := s.intake("m", "second.in")
	want("authenta.intake", "first.in", "second.in")
	if book.said("another process of this machine") != 1 {
		t.Error("nobody is told")
	}
	age("first.in") // as after an outage in which its process could not tell that it is there
	keep(second)
	want("authenta.intake", "second.in")
	keep(first)
	want("authenta.intake", "first.in", "second.in")
	age("second.in")
	keep(first)
	want("authenta.intake", "first.in")
	s.intake("other", "other.in") // the machine is away
	want("authenta.intake", "first.in", "other.in")
}

func TestWhatWasDecidedFirstCounts(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	in := s.intake("")
	if r, err := in.Decided(deadline(t), "authenta-intake-7"); r != nil || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	a, b := submission("a", "/in/a.mp4"), submission("b", "/in/b.mp4")
	first, err := in.Decide(deadline(t), "authenta-intake-7", queue.Receipt{Submissions: []queue.Submission{a}})
	if err != nil || first.Submissions[0].Digest != a.Digest {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := in.Decide(deadline(t), "authenta-intake-7", queue.Receipt{Submissions: []queue.Submission{b}})
	if err != nil || second.Submissions[0].Digest != a.Digest || second.Submissions[0].Drop.ID != a.Drop.ID {
		t.Errorf("%+v, %v", second, err)
	}
	if m, err := s.Recover(deadline(t)); m.Forgotten != 0 || err != nil { // what is no file is not forgotten as one
		t.Errorf("%v, %v", m, err)
	}
}

// What another process has decided may not be seen for a moment. It counts all the same.
func TestWhatWasDecidedAndCannotBeSeenIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	in := s.intake("")
	put := func(data string) {
		t.Helper()
		if _, err := s.js().Publish(deadline(t), queue.ReceiptSubject(in, "m-1"), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	mine := queue.Receipt{Submissions: []queue.Submission{submission("a", "/in/a.mp4")}}
	put("")
	if r, err := in.Decide(deadline(t), "m-1", mine); err == nil {
		t.Errorf("decided anew: %+v", r)
	}
	put("{")
	if r, err := in.Decide(deadline(t), "m-1", mine); err != nil || len(r.Submissions) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := in.Decided(deadline(t), "m-1"); err != nil || r == nil || len(r.Submissions) != 1 { // and from now on it counts
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWhatMayHaveBeenHandedInIsNotTakenBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.intake("")
	gone, stop := context.WithCancel(deadline(t))
	stop()
	if _, err := s.HandIn(gone, nil, nil); err == nil || queue.NotHandedIn(err) { // it is sent, and not waited for
		t.Errorf("%v", err)
	}
	stream, err := s.js().Stream(deadline(t), "authenta-intake")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxBytes = 1
	if _, err := s.js().UpdateStream(deadline(t), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := s.HandIn(deadline(t), nil, nil); !errors.Is(err, queue.ErrFull) || !queue.NotHandedIn(err) {
		t.Errorf("%v", err)
	}
	if _, err := s.HandIn(deadline(t), nil, make([]byte, 2<<20)); !queue.NotHandedIn(err) {
		t.Errorf("%v", err)
	}
}

func TestASequenceOfTheIntakeDoesNotComeAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.intake("")
	first, err := s.HandIn(deadline(t), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.js().DeleteStream(deadline(t), "authenta-intake"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.HandIn(deadline(t), nil, nil); !queue.NotHandedIn(err) {
		t.Errorf("handed in to nobody: %v", err)
	}
	s.intake("")
	second, err := s.HandIn(deadline(t), nil, nil)
	if err != nil || second <= first {
		t.Errorf("%s after %s, %v", second, first, err)
	}
}
