package queue_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

var (
	t1 = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	t2 = t1.Add(time.Hour)
)

func drop(id string) queue.Drop {
	return queue.Drop{ID: queue.DropID(id), URI: "file:///srv/" + id, Name: id, QueuedAt: t1}
}

// stuffed is a job with every field set, whether its state has it or not, so that what an event clears is seen.
func stuffed(state queue.State) queue.Job {
	return queue.Job{
		Key: "k-DF-1", Digest: "k", Size: 7, ContentType: "video/mp4", Model: "DF-1", Name: "given-before",
		State: state, Drops: []queue.Drop{drop("first")}, Answered: []queue.DropID{"earlier"},
		MediaID: "mid-0", UploadURL: "https://storage.example/0", URLExpires: t1, Abandoned: []string{"older"},
		At: "a", Passed: []string{"b"}, Creating: t1, Sending: t1, Asked: t1, Attempts: 3, Refusals: 2, Unanswered: true, Crashes: 4,
		QueuedAt: t1, UploadedAt: t1, ResumedAt: t1, EndedAt: t1,
		Judgement: &queue.Judgement{Outcome: queue.Real}, Fault: &queue.Fault{Reason: queue.Changed}, Stopped: queue.Reserved,
	}
}

var states = []queue.State{queue.Queued, queue.Reserved, queue.Uploaded, queue.Judged, queue.Failed}

// transitions lists every event, the states in which it can happen, and what it does there to a job, field by field.
var transitions = []struct {
	event queue.Event
	from  []queue.State
	does  func(*queue.Job)
}{
	{
		queue.Joined{Drop: drop("second")}, []queue.State{queue.Queued, queue.Reserved, queue.Uploaded},
		func(j *queue.Job) { j.Drops = append(j.Drops, drop("second")) },
	},
	{
		queue.Offered{}, []queue.State{queue.Queued, queue.Reserved},
		func(j *queue.Job) { j.At, j.Passed = "", nil },
	},
	{
		queue.CreateStarted{Name: "given-later", At: t2}, []queue.State{queue.Queued},
		func(j *queue.Job) { j.Creating, j.Unanswered = t2, false },
	},
	{
		queue.CreateRefused{}, []queue.State{queue.Queued},
		func(j *queue.Job) { j.Creating = time.Time{} },
	},
	{
		queue.Created{MediaID: "mid-1", UploadURL: "https://storage.example/1", Expires: t2, At: t2}, []queue.State{queue.Queued},
		func(j *queue.Job) {
			j.State, j.Creating = queue.Reserved, time.Time{}
			j.MediaID, j.UploadURL, j.URLExpires = "mid-1", "https://storage.example/1", t2
			j.Sending, j.Asked, j.Attempts, j.Unanswered = t2, time.Time{}, 4, false
		},
	},
	{
		queue.Adopted{MediaID: "mid-1", At: t2}, []queue.State{queue.Queued},
		func(j *queue.Job) {
			j.State, j.Creating, j.MediaID, j.UploadedAt = queue.Uploaded, time.Time{}, "mid-1", t2
			j.Sending, j.Asked, j.UploadURL, j.URLExpires = time.Time{}, time.Time{}, "", time.Time{}
			j.Unanswered, j.Crashes, j.At, j.Passed = false, 0, "", nil
		},
	},
	{
		queue.SendStarted{At: t2}, []queue.State{queue.Reserved},
		func(j *queue.Job) { j.Sending, j.Asked, j.Attempts, j.Unanswered = t2, time.Time{}, 4, false },
	},
	{
		queue.SendFailed{}, []queue.State{queue.Reserved},
		func(j *queue.Job) { j.Sending, j.Asked = time.Time{}, time.Time{} },
	},
	{
		queue.SendFailed{Refused: true}, []queue.State{queue.Reserved},
		func(j *queue.Job) { j.Sending, j.Asked, j.Refusals = time.Time{}, time.Time{}, 3 },
	},
	{
		queue.NotThereYet{At: t2}, []queue.State{queue.Reserved, queue.Uploaded},
		func(j *queue.Job) { j.Asked = t2 },
	},
	{
		queue.Abandoned{}, []queue.State{queue.Reserved},
		func(j *queue.Job) {
			j.State, j.Abandoned = queue.Queued, []string{"older", "mid-0"}
			j.MediaID, j.UploadURL, j.URLExpires = "", "", time.Time{}
			j.Sending, j.Asked, j.UploadedAt, j.Unanswered = time.Time{}, time.Time{}, time.Time{}, false
		},
	},
	{
		queue.Unanswered{}, []queue.State{queue.Queued, queue.Reserved, queue.Uploaded, queue.Judged, queue.Failed},
		func(j *queue.Job) { j.Unanswered = true },
	},
	{
		queue.Crashed{}, []queue.State{queue.Queued, queue.Reserved, queue.Uploaded},
		func(j *queue.Job) { j.Unanswered, j.Crashes = true, 5 },
	},
	{
		queue.Taken{At: t2}, []queue.State{queue.Reserved},
		func(j *queue.Job) {
			j.State, j.UploadedAt = queue.Uploaded, t2
			j.Sending, j.Asked, j.UploadURL, j.URLExpires = time.Time{}, time.Time{}, "", time.Time{}
			j.Unanswered, j.Crashes, j.At, j.Passed = false, 0, "", nil
		},
	},
	{
		queue.Concluded{Judgement: queue.Judgement{Outcome: queue.Fake}, At: t2}, []queue.State{queue.Uploaded},
		func(j *queue.Job) {
			j.State, j.EndedAt, j.Judgement = queue.Judged, t2, &queue.Judgement{Outcome: queue.Fake}
		},
	},
	{
		queue.GaveUp{Fault: queue.Fault{Reason: queue.Timeout}, At: t2}, []queue.State{queue.Queued, queue.Reserved, queue.Uploaded},
		func(j *queue.Job) {
			j.Stopped, j.State, j.EndedAt, j.Fault = j.State, queue.Failed, t2, &queue.Fault{Reason: queue.Timeout}
		},
	},
	{
		queue.Shared{Drop: drop("second")}, []queue.State{queue.Failed},
		func(j *queue.Job) { j.Drops = append(j.Drops, drop("second")) },
	},
	{
		queue.Retried{Drops: []queue.Drop{drop("second")}, At: t2}, []queue.State{queue.Failed},
		func(j *queue.Job) {
			j.State, j.Stopped, j.Fault, j.EndedAt = queue.Reserved, "", nil, time.Time{}
			j.Drops, j.ResumedAt = []queue.Drop{drop("second")}, t2
			j.Answered = []queue.DropID{"earlier", "first"}
			j.Refusals, j.Crashes, j.At, j.Passed = 0, 0, "", nil
		},
	},
	{
		queue.Retried{Drops: []queue.Drop{drop("second")}, Reverify: true, At: t2}, []queue.State{queue.Failed},
		func(j *queue.Job) {
			j.State, j.Stopped, j.Fault, j.EndedAt = queue.Queued, "", nil, time.Time{}
			j.Drops, j.ResumedAt = []queue.Drop{drop("second")}, t2
			j.Answered = []queue.DropID{"earlier", "first"}
			j.Refusals, j.Crashes, j.At, j.Passed = 0, 0, "", nil
			j.MediaID, j.UploadURL, j.URLExpires = "", "", time.Time{}
			j.Abandoned = []string{"older", "mid-0"}
			j.Sending, j.Asked, j.UploadedAt, j.Unanswered = time.Time{}, time.Time{}, time.Time{}, false
		},
	},
}

func TestEveryEventInEveryState(t *testing.T) {
	for _, tr := range transitions {
		for _, state := range states {
			t.Run(fmt.Sprintf("%T when %s", tr.event, state), func(t *testing.T) {
				before := stuffed(state)
				got, err := before.Next(tr.event)
				want := stuffed(state)
				if slices.Contains(tr.from, state) {
					if err != nil {
						t.Fatal(err)
					}
					tr.does(&want)
				} else if err == nil || !strings.Contains(err.Error(), string(state)) || !strings.Contains(err.Error(), string(before.Key)) {
					t.Errorf("error %v: want a refusal that names the job and its state", err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("after:\n%s\nwant:\n%s", pretty(t, got), pretty(t, want))
				}
				if !reflect.DeepEqual(before, stuffed(state)) {
					t.Errorf("the job before was altered:\n%s", pretty(t, before))
				}
			})
		}
	}
}

func TestEveryEventLeavesSlicesOfTheJobBeforeAlone(t *testing.T) {
	roomy := stuffed(queue.Reserved)
	roomy.Drops = append(make([]queue.Drop, 0, 8), roomy.Drops...)
	roomy.Abandoned = append(make([]string, 0, 16), roomy.Abandoned...)
	a, errA := roomy.Next(queue.Joined{Drop: drop("a")})
	b, errB := roomy.Next(queue.Joined{Drop: drop("b")})
	if errA != nil || errB != nil || a.Drops[1].ID != "a" || b.Drops[1].ID != "b" {
		t.Errorf("two joined the same job: %v and %v (%v, %v)", a.Drops, b.Drops, errA, errB)
	}
	one, other := roomy, roomy
	one.MediaID, other.MediaID = "one", "other"
	one, _ = one.Next(queue.Abandoned{})
	other, _ = other.Next(queue.Abandoned{})
	if one.Abandoned[1] != "one" || other.Abandoned[1] != "other" {
		t.Errorf("abandoned %v and %v", one.Abandoned, other.Abandoned)
	}
}

func TestRetriesLeaveTheAnsweredDropsOfTheJobBeforeAlone(t *testing.T) {
	roomy := stuffed(queue.Failed)
	roomy.Answered = append(make([]queue.DropID, 0, 8), roomy.Answered...)
	one, other := roomy, roomy
	other.Drops = []queue.Drop{drop("other")}
	one, _ = one.Next(queue.Retried{Drops: []queue.Drop{drop("a")}, At: t2})
	other, _ = other.Next(queue.Retried{Drops: []queue.Drop{drop("b")}, At: t2})
	if one.Answered[1] != "first" || other.Answered[1] != "other" {
		t.Errorf("answered %v and %v", one.Answered, other.Answered)
	}
}

func TestTheFirstNameGivenStays(t *testing.T) {
	j, err := queue.Job{State: queue.Queued}.Next(queue.CreateStarted{Name: "one", At: t1})
	if err != nil || j.Name != "one" {
		t.Fatalf("name %q, %v", j.Name, err)
	}
	if j, err = j.Next(queue.CreateStarted{Name: "two", At: t2}); err != nil || j.Name != "one" || !j.Creating.Equal(t2) {
		t.Errorf("name %q, creating since %s, %v", j.Name, j.Creating, err)
	}
}

func TestNotThereYetNeedsAPutUnderWay(t *testing.T) {
	if _, err := (queue.Job{State: queue.Reserved}).Next(queue.NotThereYet{At: t1}); err == nil {
		t.Error("accepted without a PUT under way")
	}
}

func TestARetryNeedsAPlaceToGoOn(t *testing.T) {
	if _, err := (queue.Job{State: queue.Failed}).Next(queue.Retried{Drops: []queue.Drop{drop("d")}, At: t1}); err == nil {
		t.Error("accepted without a state to go on in")
	}
}

func TestAJobTakesAHundredDropsAndNoMore(t *testing.T) {
	j := queue.Job{State: queue.Uploaded}
	for i := range queue.MaxDrops {
		var err error
		if j, err = j.Next(queue.Joined{Drop: drop(fmt.Sprint(i))}); err != nil {
			t.Fatalf("drop %d: %v", i, err)
		}
	}
	if after, err := j.Next(queue.Joined{Drop: drop("one more")}); err == nil || len(after.Drops) != queue.MaxDrops {
		t.Errorf("one more: %v, %d drops", err, len(after.Drops))
	}
}

// A fault in the files is one of all the files, or another try.
func TestAFaultInTheFilesNeedsAllOfThemLookedAt(t *testing.T) {
	j := queue.Job{State: queue.Queued, Drops: []queue.Drop{drop("a"), drop("b")}}
	for _, reason := range []queue.Reason{queue.Unreadable, queue.Changed} {
		if _, err := j.Next(queue.GaveUp{Fault: queue.Fault{Reason: reason}, Looked: 1, At: t1}); err == nil {
			t.Errorf("%s: accepted with a file not looked at", reason)
		}
		if _, err := j.Next(queue.GaveUp{Fault: queue.Fault{Reason: reason}, Looked: 2, At: t1}); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
	for _, reason := range []queue.Reason{queue.Rejected, queue.Timeout, queue.AnalysisFailed, queue.TooLarge, queue.Unsupported} {
		if _, err := j.Next(queue.GaveUp{Fault: queue.Fault{Reason: reason}, Looked: 1, At: t1}); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

func TestARetriedJobRemembersALimitedNumberOfAnsweredDrops(t *testing.T) {
	j := queue.Job{State: queue.Queued, Drops: []queue.Drop{drop("0")}}
	for i := 1; i <= queue.MaxAnswered+5; i++ {
		var err error
		if j, err = j.Next(queue.GaveUp{Fault: queue.Fault{Reason: queue.Timeout}, At: t1}); err != nil {
			t.Fatal(err)
		}
		if j, err = j.Next(queue.Retried{Drops: []queue.Drop{drop(fmt.Sprint(i))}, At: t2}); err != nil {
			t.Fatal(err)
		}
	}
	if len(j.Answered) != queue.MaxAnswered || j.Answered[queue.MaxAnswered-1] != queue.DropID(fmt.Sprint(queue.MaxAnswered+4)) {
		t.Errorf("%d answered, the last %s", len(j.Answered), j.Answered[len(j.Answered)-1])
	}
}

func TestOnlyTheLatestAbandonedRecordsAreKept(t *testing.T) {
	j := queue.Job{State: queue.Queued}
	for i := range 12 {
		var err error
		if j, err = j.Next(queue.Created{MediaID: fmt.Sprint(i), At: t1}); err != nil {
			t.Fatal(err)
		}
		if j, err = j.Next(queue.Abandoned{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"4", "5", "6", "7", "8", "9", "10", "11"}; !slices.Equal(j.Abandoned, want) {
		t.Errorf("abandoned %v, want %v", j.Abandoned, want)
	}
	if j.Attempts != 12 {
		t.Errorf("%d attempts, want 12", j.Attempts)
	}
}

// What is unknown when a job fails must still be known to be unknown when it goes on.
func TestAJobThatFailedInDoubtGoesOnInDoubt(t *testing.T) {
	for state, doubt := range map[queue.State]queue.Event{
		queue.Queued:   queue.CreateStarted{Name: "n", At: t1},
		queue.Reserved: queue.SendStarted{At: t1},
	} {
		before, err := queue.Job{State: state, MediaID: "mid-1", Drops: []queue.Drop{drop("first")}}.Next(doubt)
		if err != nil {
			t.Fatal(err)
		}
		failed, err := before.Next(queue.GaveUp{Fault: queue.Fault{Reason: queue.Unreadable}, Looked: 1, At: t2})
		if err != nil {
			t.Fatal(err)
		}
		after, err := failed.Next(queue.Retried{Drops: []queue.Drop{drop("d")}, At: t2})
		if err != nil || after.State != state || after.Creating != before.Creating || after.Sending != before.Sending || after.MediaID != before.MediaID {
			t.Errorf("failed when %s in doubt, and went on as\n%s\n%v", state, pretty(t, after), err)
		}
	}
}

func pretty(t testing.TB, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}
