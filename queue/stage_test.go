package queue_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

func dropAt(id, host string) queue.Drop {
	d := drop(id)
	d.Host = host
	return d
}

func TestAJobIsPassedFromMachineToMachine(t *testing.T) {
	j := queue.Job{State: queue.Queued, Drops: []queue.Drop{dropAt("one", "a")}}
	next := func(e queue.Event) {
		t.Helper()
		var err error
		if j, err = j.Next(e); err != nil {
			t.Fatal(err)
		}
	}
	want := func(at string, passed ...string) {
		t.Helper()
		if j.At != at || !slices.Equal(j.Passed, passed) {
			t.Errorf("at %q, passed %q, want %q and %q", j.At, j.Passed, at, passed)
		}
	}
	next(queue.Passed{By: "b", To: "a", Looked: 1})
	want("a", "b")
	next(queue.Joined{Drop: dropAt("two", "a")}) // its machine has the job
	want("a", "b")
	if _, err := j.Next(queue.Passed{By: "a", To: "c", Looked: 1}); err == nil {
		t.Error("passed on by a machine that has not looked at all files")
	}
	next(queue.Passed{By: "a", To: "c", Looked: 2})
	want("c", "b", "a")
	next(queue.Joined{Drop: dropAt("three", "b")}) // where nobody has looked at this one
	want("", "a")
	next(queue.Passed{By: "d", To: "b", Looked: 3})
	want("b", "a", "d")
	next(queue.Offered{})
	want("")
	if _, err := j.Next(queue.Offered{}); err == nil {
		t.Error("offered, though it is everybody's")
	}
	next(queue.Passed{By: "d", To: "b", Looked: 3})
	next(queue.CreateStarted{At: t1})
	next(queue.Joined{Drop: dropAt("four", "d")}) // a call is under way from b: it stays, and is looked at anew if that fails
	want("b")
	if _, err := j.Next(queue.Passed{By: "b", To: "d", Looked: 4}); err == nil {
		t.Error("passed on while a call is under way")
	}
	next(queue.Created{MediaID: "m", At: t1})
	want("b")
	next(queue.Taken{At: t1})
	want("")
	if _, err := j.Next(queue.Passed{By: "b", To: "d", Looked: 4}); err == nil {
		t.Error("passed on, though the platform has the bytes")
	}
}

func TestARecordListsALimitedNumberOfMachines(t *testing.T) {
	j := queue.Job{State: queue.Queued, Drops: []queue.Drop{dropAt("one", "a")}}
	for range 3 {
		for _, by := range strings.Split(strings.Repeat("b c d ", 100)+"e", " ") {
			next, err := j.Next(queue.Passed{By: by, To: "a", Looked: 1})
			if err != nil {
				t.Fatal(err)
			}
			j = next
		}
	}
	if !slices.Equal(j.Passed, []string{"b", "c", "d", "e"}) {
		t.Errorf("%q", j.Passed)
	}
}

func TestAnyMachineHasAQueue(t *testing.T) {
	seen := map[queue.Stage]string{}
	for _, host := range []string{"a", "A", "a.b", "a-b", "a_b", "nas.example.org", "a b", "ä", "a.*", ">", "a~b", "~", strings.Repeat("x", 128), strings.Repeat("x", 253)} {
		stage := queue.UploadAt(host)
		if other, taken := seen[stage]; taken {
			t.Errorf("%q and %q share %s", host, other, stage)
		}
		seen[stage] = host
		if token := strings.TrimPrefix(string(stage), "at."); strings.ContainsAny(token, ".*> \t") || len(stage.Consumer()) > 150 {
			t.Errorf("%q: stage %q, consumer %q", host, stage, stage.Consumer())
		}
		if got := queue.StageOf("ns.jobs." + string(stage) + ".key"); got != stage {
			t.Errorf("%q: the subject is of %q", host, got)
		}
	}
	for subject, want := range map[string]queue.Stage{"ns.jobs.upload.key": queue.Upload, "ns.jobs.await.*": queue.Await, "ns.jobs": "", "": ""} {
		if got := queue.StageOf(subject); got != want {
			t.Errorf("%q is of %q, want %q", subject, got, want)
		}
	}
}
