package worker

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// bereft gives the ledger a gap: it does not know what was before now.
func (r *rig) bereft(from time.Time) {
	r.t.Helper()
	data, err := json.Marshal([]queue.Gap{{From: from, To: time.Now().UTC()}})
	must(r.t, err)
	_, err = r.queue.Control().Put(deadline(r.t), "gaps", data, 0)
	must(r.t, err)
}

// earlier makes the media record that a file was uploaded to by another life of the program, with its bytes or without.
func (r *rig) earlier(path, name string, model authenta.Model, bytes bool) authenta.Media {
	r.t.Helper()
	f, err := os.Open(path)
	must(r.t, err)
	defer f.Close()
	info, err := f.Stat()
	must(r.t, err)
	m, err := r.client.Create(deadline(r.t), authenta.NewMedia{Name: name, ContentType: "image/jpeg", Size: info.Size(), Model: model})
	must(r.t, err)
	if bytes {
		must(r.t, r.client.Upload(deadline(r.t), authenta.Upload{ID: m.ID, URL: m.UploadURL, ContentType: "image/jpeg", Size: info.Size()}, f))
	}
	return m
}

// shown is the name that a file's record has.
func shown(stem, content string) string { return authenta.Name(stem, string(digestOf(content))) }

func TestWhatThePlatformHasFromBeforeALossIsNotPaidForAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := write(t, r.dir+"/a.jpg", "a")
	m := r.earlier(path, shown("a", "a"), "AC-1", true)
	r.bereft(time.Time{})
	f := r.submit(path)
	r.run()
	r.wantAnswer(f, "verdict")
	if j := r.job(f); j.MediaID != string(m.ID) {
		t.Errorf("judged by %s, want %s", j.MediaID, m.ID)
	}
	r.wantCalls(sandbox.OpPut, 1)
	r.wantPaidOnce(f)
}

// The list does not tell sizes, and the copy that the record is named after is taken in last.
func TestACopyThatThePlatformKnowsByAnotherNameIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path, known := write(t, r.dir+"/a.jpg", "a"), write(t, r.dir+"/b.jpg", "a")
	m := r.earlier(known, shown("b", "a"), "AC-1", true)
	r.bereft(time.Time{})
	f := r.submit(path)
	r.run()
	r.await("the list is read", func() bool { return r.Ledger().Total(sandbox.OpList) > 0 })
	g := r.submit(known)
	r.wantAnswer(f, "verdict")
	r.wantAnswer(g, "verdict")
	if j := r.job(f); j.MediaID != string(m.ID) {
		t.Errorf("judged by %s, want %s", j.MediaID, m.ID)
	}
	r.wantCalls(sandbox.OpPut, 1)
}

func TestARecordFromBeforeALossThatMayBeGettingItsBytesIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, platform(func(o *sandbox.Options) { o.EventDelay = 200 * time.Millisecond }))
	arrived, empty := write(t, r.dir+"/arrived.jpg", "arrived"), write(t, r.dir+"/empty.jpg", "empty")
	r.earlier(empty, shown("empty", "empty"), "AC-1", false)
	r.earlier(arrived, shown("arrived", "arrived"), "AC-1", true)
	r.bereft(time.Time{})
	f, g := r.submit(arrived), r.submit(empty)
	r.run()
	r.wantAnswer(f, "verdict")
	r.wantAnswer(g, "verdict")
	r.wantCalls(sandbox.OpPut, 2)
	r.wantPaidOnce(f, g)
}

func TestOnlyARecordOfTheSameFileIsTakenForOneFromBeforeALoss(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := write(t, r.dir+"/a.jpg", "a")
	r.earlier(a, shown("a", "a"), "FD-1", true) // another model
	r.earlier(a, shown("b", "a"), "AC-1", true) // another name, and the list does not tell the size
	r.earlier(a, "a", "AC-1", true)             // somebody else's
	before := len(r.Ledger().Records[string(digestOf("a"))])
	r.bereft(time.Time{})
	f := r.submit(a)
	r.run()
	r.wantAnswer(f, "verdict")
	if n := len(r.Ledger().Records[string(digestOf("a"))]); n != before+1 {
		t.Errorf("it was put to %d records, want %d", n, before+1)
	}
}

func TestAFileThatIsYoungerThanALossIsNotLookedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.bereft(time.Time{})
	path := write(t, r.dir+"/a.jpg", "a")
	precisely := time.Now() // the file system's clock may be some milliseconds behind
	must(t, os.Chtimes(path, precisely, precisely))
	f := r.submit(path)
	r.run()
	r.wantAnswer(f, "verdict")
	r.wantCalls(sandbox.OpList, 0)
}

func TestAListThatDoesNotAnswerKeepsNoFileWaitingForEver(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Effect{
		"there is none": sandbox.Answer(http.StatusNotFound, "application/json", `{"code":"not_found","message":"no such route"}`),
		"it is broken":  sandbox.ServerError,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Faults(sandbox.Fault{Op: sandbox.OpList, Do: fault})
			path := write(t, r.dir+"/a.jpg", "a")
			r.bereft(time.Time{})
			f := r.submit(path)
			r.run()
			r.await("it is looked for", func() bool { return r.Ledger().Total(sandbox.OpList) > 0 })
			g := r.file("b.jpg") // is younger, and shows that the platform answers
			r.wantAnswer(g, "verdict")
			r.wantAnswer(f, "verdict")
			r.wantPaidOnce(f, g)
		})
	}
}

func TestALossOfJustNowIsLookedIntoALittleLater(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := write(t, r.dir+"/a.jpg", "a")
	began := time.Now()
	r.bereft(began.UTC())
	r.earlier(path, shown("a", "a"), "AC-1", true)
	f := r.submit(path)
	r.run()
	r.wantAnswer(f, "verdict")
	if took := time.Since(began); took < listLate {
		t.Errorf("looked after %s", took)
	}
	r.wantPaidOnce(f)
	r.wantCalls(sandbox.OpPut, 1)
}

func TestAllOfALongListIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := write(t, r.dir+"/a.jpg", "a")
	r.earlier(path, shown("a", "a"), "AC-1", true)
	other := write(t, r.dir+"/other.jpg", "other")
	for range 2*listPage + 50 {
		r.earlier(other, shown("other", "other"), "AC-1", false)
	}
	r.bereft(time.Time{})
	f := r.submit(path)
	r.run()
	r.wantAnswer(f, "verdict")
	r.wantPaidOnce(f)
	r.wantCalls(sandbox.OpList, 3)
}

func TestARecordFromBeforeALossIsOursByDigestModelAndSizeOrName(t *testing.T) {
	t.Parallel()
	j := queue.Job{Digest: digestOf("a"), Model: "AC-1", Size: 1, Drops: []queue.Drop{{Name: "a.jpg"}, {Name: "copy.jpg"}}, Abandoned: []string{"given up"}}
	for name, c := range map[string]struct {
		m    authenta.Media
		want bool
	}{
		"all the same":           {authenta.Media{Name: shown("a", "a"), Model: "AC-1", Size: 1}, true},
		"as its copy":            {authenta.Media{Name: shown("copy", "a"), Model: "AC-1"}, true},
		"another name":           {authenta.Media{Name: shown("b", "a"), Model: "AC-1"}, false},
		"another name, the size": {authenta.Media{Name: shown("b", "a"), Model: "AC-1", Size: 1}, true},
		"another size":           {authenta.Media{Name: shown("a", "a"), Model: "AC-1", Size: 2}, false},
		"another model":          {authenta.Media{Name: shown("a", "a"), Model: "FD-1", Size: 1}, false},
		"given up":               {authenta.Media{ID: "given up", Name: shown("a", "a"), Model: "AC-1", Size: 1}, false},
	} {
		if got := mayBeOf(c.m, j); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestTheDigestInAName(t *testing.T) {
	for name, want := range map[string]string{
		shown("clip", "a"): string(digestOf("a"))[:8], "clip-0123456": "", "clip-0123456g": "", "01234567": "", "-01234567": "01234567", "": "", "clip": "",
	} {
		if got := digestIn(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// The list is read once a process; a second loss needs what was made since.
func TestASecondLossIsLookedIntoToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := write(t, r.dir+"/first.jpg", "first")
	second := write(t, r.dir+"/second.jpg", "second")
	r.earlier(first, shown("first", "first"), "AC-1", true)
	r.bereft(time.Time{})
	f := r.submit(first)
	r.run()
	r.wantAnswer(f, "verdict") // the list was read for it

	from := time.Now().UTC()
	r.earlier(second, shown("second", "second"), "AC-1", true) // then uploaded, and lost
	gaps, err := r.queue.Gaps(deadline(t))
	must(t, err)
	e, err := r.queue.Control().Get(deadline(t), "gaps")
	must(t, err)
	data, err := json.Marshal(append(gaps, queue.Gap{From: from, To: time.Now().UTC()}))
	must(t, err)
	_, err = r.queue.Control().Put(deadline(t), "gaps", data, e.Revision)
	must(t, err)
	r.worker.past.turn <- struct{}{}
	r.worker.past.asked = time.Time{} // the time has passed after which they are read again
	<-r.worker.past.turn
	g := r.submit(second)
	r.wantAnswer(g, "verdict")
	r.wantPaidOnce(f, g)
}

// A network that is down when the daemon starts is no reason to pay again.
func TestAnOutageIsNotTakenForAListThatDoesNotExist(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	var tried atomic.Int32
	r := newRig(t, options(func(o *Options) {
		transport := authenta.NewTransport()
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if down.Load() {
				tried.Add(1)
				return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
			}
			return dial(ctx, network, address)
		}
		t.Cleanup(transport.CloseIdleConnections)
		var err error
		o.Client, err = authenta.New(authenta.Options{
			BaseURL: o.Client.BaseURL(), Transport: transport,
			Credentials: func() (authenta.Credentials, error) {
				return authenta.Credentials{ClientID: "sandbox-id", ClientSecret: "sandbox-secret"}, nil
			},
		})
		must(t, err)
	}))
	path := write(t, r.dir+"/a.jpg", "a")
	r.earlier(path, shown("a", "a"), "AC-1", true) // by another life of the program
	r.bereft(time.Time{})
	down.Store(true)
	f := r.submit(path)
	r.run()
	r.await("it is tried often enough", func() bool { return tried.Load() > pastTries })
	down.Store(false)
	r.wantAnswer(f, "verdict")
	r.wantPaidOnce(f)
}
