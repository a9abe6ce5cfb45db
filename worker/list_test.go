package worker

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// crowded has many results be awaited at a time, all of them there after a second or two.
var crowded = platform(func(o *sandbox.Options) { o.Latency, o.Spread = 1500*time.Millisecond, time.Second })

// listed lets a crowd be judged by a platform whose list has a fault, and returns the Query calls per verdict.
func listed(t *testing.T, files int, faults ...sandbox.Fault) (r *rig, calls float64) {
	t.Helper()
	r = newRig(t, crowded, options(func(o *Options) { o.Uploads, o.FirstPoll = 32, time.Second }))
	r.Faults(faults...)
	for i := range files {
		r.file(fmt.Sprintf("%d.jpg", i))
	}
	r.run()
	r.patience = 2 * patience
	r.await("all are judged", func() bool { return r.answered() == files })
	r.wantNoFailure()
	l := r.Ledger()
	calls = float64(l.Total(sandbox.OpGet)+l.Total(sandbox.OpList)) / float64(files)
	t.Logf("%.2f calls per verdict: %v", calls, l.Calls)
	return r, calls
}

func TestACrowdIsAskedAboutByTheList(t *testing.T) {
	t.Parallel()
	r, calls := listed(t, 100)
	if n := r.Ledger().Total(sandbox.OpList); n == 0 || calls > 1.5 {
		t.Errorf("%d list pages, %.2f calls per verdict", n, calls)
	}
}

// Whatever is wrong with the list, results are fetched without it, no gate closes, and it is soon left alone.
func TestWithoutAListThatHelpsResultsAreFetchedSingly(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]sandbox.Effect{
		"missing":  sandbox.Answer(404, "application/json", `{"code":"not_found","type":"CLIENT_ERROR","message":"No such route"}`),
		"refused":  sandbox.Answer(400, "application/json", `{"code":"bad_request","type":"CLIENT_ERROR","message":"no"}`),
		"broken":   sandbox.ServerError,
		"garbage":  sandbox.Garbage,
		"empty":    sandbox.Answer(200, "application/json", `{"limit":100,"offset":0,"total":0,"data":[]}`),
		"of other": sandbox.Answer(200, "application/json", `{"limit":1,"offset":0,"total":5000,"data":[{"mid":"aaaaaaaaaaaaaaaaaaaaaaaa","status":"PROCESSED"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, calls := listed(t, 40, always(sandbox.OpList, do))
			if n := r.Ledger().Total(sandbox.OpList); n > 4 {
				t.Errorf("%d list pages were asked for, and none helped", n)
			}
			if calls > 2 {
				t.Errorf("%.2f calls per verdict", calls)
			}
			r.wantOpen(r.cluster.Polls)
		})
	}
}

// A list that ignores what part of it is asked for gives its first page again and again.
func TestAListThatIgnoresItsParametersIsNotAskedForMoreThanItsFirstPage(t *testing.T) {
	t.Parallel()
	first := func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		q := r.URL.Query()
		q.Set("offset", "0")
		q.Set("limit", "20")
		r.URL.RawQuery = q.Encode()
		next(w, r)
	}
	r, calls := listed(t, 100, always(sandbox.OpList, first))
	t.Logf("%d list pages", r.Ledger().Total(sandbox.OpList))
	if calls > 2 {
		t.Errorf("%.2f calls per verdict", calls)
	}
}

func TestAPageTellsForEverThatAMediumIsFinishedAndForAMomentThatItIsNot(t *testing.T) {
	t.Parallel()
	l := newList()
	at := time.Now()
	l.note(authenta.Page{Media: []authenta.Media{
		{ID: "done", Status: authenta.StatusProcessed}, {ID: "not", Status: authenta.StatusUploaded},
	}}, at, at)
	for _, c := range []struct {
		id    authenta.MediaID
		fresh time.Time
		want  bool
	}{
		{"done", at.Add(time.Hour), true}, {"not", at, true}, {"not", at.Add(time.Nanosecond), false}, {"other", at, false},
	} {
		if _, ok := l.said(c.id, c.fresh); ok != c.want {
			t.Errorf("%s, asked %s later: %t", c.id, c.fresh.Sub(at), ok)
		}
	}
}

func TestAListThatDoesNotHelpIsLeftAloneForEverLonger(t *testing.T) {
	t.Parallel()
	l := newList()
	for _, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		l.helped(false)
		if l.pageSize() != 0 || l.rest != want {
			t.Errorf("left alone for %s, want %s", l.rest, want)
		}
	}
	for range 10 {
		l.helped(false)
	}
	if l.rest != time.Hour {
		t.Errorf("left alone for %s at most", l.rest)
	}
	l.until = time.Time{}
	l.helped(true)
	if l.helped(false); l.rest != time.Minute {
		t.Errorf("after it has helped: %s", l.rest)
	}
}
