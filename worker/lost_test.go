package worker

import (
	"os"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

func TestARecordIsOursByNameModelAndSize(t *testing.T) {
	t.Parallel()
	job := queue.Job{Name: "clip-01234567", Model: "DF-1", Size: 10}
	for _, c := range []struct {
		name string
		m    authenta.Media
		want bool
	}{
		{"all the same", authenta.Media{Name: "clip-01234567", Model: "DF-1", Size: 10}, true},
		{"size not told", authenta.Media{Name: "clip-01234567", Model: "DF-1"}, true},
		{"another name", authenta.Media{Name: "clip-01234568", Model: "DF-1", Size: 10}, false},
		{"another model", authenta.Media{Name: "clip-01234567", Model: "FI-1", Size: 10}, false},
		{"another size", authenta.Media{Name: "clip-01234567", Model: "DF-1", Size: 11}, false},
	} {
		if got := isOf(c.m, job); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestARecordThatWasAbandonedIsNotAdopted(t *testing.T) {
	t.Parallel()
	job := queue.Job{Name: "clip-01234567", Model: "DF-1", Size: 10, Abandoned: []string{"m1"}}
	if isOf(authenta.Media{ID: "m1", Name: job.Name, Model: "DF-1", Status: authenta.StatusProcessed}, job) {
		t.Error("adopted: its verdict is about other bytes")
	}
}

// lostJob is a job whose create has been sent and not answered.
func lostJob(since time.Time) queue.Job {
	return queue.Job{Name: "clip-01234567", Model: "AC-1", Size: int64(len(content)), ContentType: "image/jpeg", Creating: since}
}

// create makes a media record as a job's create does, with a name of its own if one is given.
func (r *rig) create(j queue.Job, name string) authenta.Media {
	r.t.Helper()
	if name == "" {
		name = j.Name
	}
	m, err := r.client.Create(deadline(r.t), authenta.NewMedia{
		Name: name, ContentType: j.ContentType, Size: j.Size, Model: authenta.Model(j.Model),
	})
	must(r.t, err)
	return m
}

func (r *rig) wantFound(j queue.Job, want authenta.MediaID) {
	r.t.Helper()
	m, settled := r.worker.findLost(deadline(r.t), j)
	if settled != nil {
		r.t.Fatalf("not looked for: %s", settled)
	}
	var got authenta.MediaID
	if m != nil {
		got = m.ID
	}
	if got != want {
		r.t.Errorf("found %q, want %q", got, want)
	}
}

func TestALostRecordIsFoundBehindManyOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	job := lostJob(now())
	lost := r.create(job, "")
	for range 2*listPage - 1 {
		r.create(job, "another")
	}
	r.wantFound(job, lost.ID)
	r.wantCalls(sandbox.OpList, 2)
}

func TestTheSearchForALostRecordEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	job := lostJob(now())
	r.wantFound(job, "") // nothing there at all
	for range (listPages + 1) * listPage {
		r.create(job, "another")
	}
	r.wantFound(job, "")
	r.wantCalls(sandbox.OpList, 1+listPages)
}

func TestARecordFromBeforeTheCreateIsNotTheLostOne(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := newRig(t, platform(func(o *sandbox.Options) { o.Clock = c.Now }))
	earlier := r.create(lostJob(c.Now()), "")
	c.advance(clockSkew + time.Minute)
	r.wantFound(lostJob(c.Now()), "")
	r.wantFound(lostJob(c.Now().Add(-2*time.Minute)), earlier.ID) // our clock may be ahead
}

func TestOfTwoLostRecordsTheOneWithTheBytesIsFound(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][2]bool{"older has them": {true, false}, "newer has them": {false, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			job := lostJob(now())
			f, err := os.Open(write(t, r.dir+"/clip.jpg", content))
			must(t, err)
			defer f.Close()
			var want authenta.MediaID
			for _, filled := range order {
				m := r.create(job, "")
				if filled {
					want = m.ID
					must(t, r.client.Upload(deadline(t), authenta.Upload{ID: m.ID, URL: m.UploadURL, ContentType: job.ContentType, Size: job.Size}, f))
				}
			}
			r.wantFound(job, want)
		})
	}
}

// A list that shows a record late brings another create, which costs a call: no bytes were sent yet.
func TestALostRecordThatTheListShowsLatePaysNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Faults(once(sandbox.OpCreate, sandbox.CutAfter),
		once(sandbox.OpList, sandbox.Answer(200, "application/json", `{"limit":100,"offset":0,"total":0,"data":[]}`)))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantIdle()
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpCreate, 2)
	r.wantCalls(sandbox.OpPut, 1)
}

// Several creates in a row are lost, each behind a list that does not show it yet.
func TestManyLostRecordsPayNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	late := sandbox.Answer(200, "application/json", `{"limit":100,"offset":0,"total":0,"data":[]}`)
	r.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: sandbox.CutAfter, Times: 3}, sandbox.Fault{Op: sandbox.OpList, Do: late, Times: 2})
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantIdle()
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpCreate, 4)
	r.wantCalls(sandbox.OpPut, 1)
}
