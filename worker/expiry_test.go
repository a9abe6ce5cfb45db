package worker

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue/control"
)

// The upload URL's life is the platform's to measure: a PUT that has to be tried again needs no new record for a clock.
func TestAnUploadURLIsUsedAgainWhateverThePlatformsClockAndItsAnswerSay(t *testing.T) {
	t.Parallel()
	says := func(expiresIn string) sandbox.Effect {
		return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			next(addsExpiresIn{w, expiresIn}, r)
		}
	}
	for name, c := range map[string]struct {
		ahead time.Duration
		do    sandbox.Effect
	}{
		"an hour ahead":          {time.Hour, pass},
		"an hour behind":         {-time.Hour, pass},
		"an expiresIn of 0":      {0, says("0")},
		"a negative expiresIn":   {0, says("-3600")},
		"an immense expiresIn":   {0, says("1e300")},
		"an expiresIn in words":  {0, says(`"soon"`)},
		"an expiresIn of a year": {0, says("31536000")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, platform(func(o *sandbox.Options) { o.Clock = func() time.Time { return time.Now().Add(c.ahead) } }))
			r.Faults(always(sandbox.OpCreate, c.do), sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.SlowDown, Times: 2})
			a := r.file("a.jpg")
			r.run()
			r.wantAnswer(a, "verdict")
			r.wantPaidOnce(a)
			r.wantCalls(sandbox.OpCreate, 1)
			r.wantCalls(sandbox.OpPut, 3)
		})
	}
}

// addsExpiresIn has a JSON object say expiresIn, too.
type addsExpiresIn struct {
	http.ResponseWriter
	value string
}

func (w addsExpiresIn) Write(b []byte) (int, error) {
	w.Header().Del("Content-Length")
	if _, err := fmt.Fprintf(w.ResponseWriter, `{"expiresIn":%s,%s`, w.value, b[1:]); err != nil {
		return 0, err
	}
	return len(b), nil
}

// What comes of an upload URL that ends, by the clocks of both sides, at some moment after its record was made.
func TestAnUploadURLThatEndsBringsANewRecordAndPaysNothingTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		put       func(end func()) sandbox.Effect // of the first PUT
		meanwhile func(r *rig, stop, end func())  // after that; nil: nothing
		records   int
		puts      int
	}{
		"in the middle of the PUT":                                   {amid(pass), nil, 1, 1},
		"in the middle of a PUT whose reply is lost":                 {amid(sandbox.CutAfter), nil, 1, 1},
		"in the middle of a PUT that is cut":                         {amid(sandbox.CutBody), nil, 2, 2},
		"at a closed gate":                                           {plain(sandbox.SlowDown), atAClosedGate, 2, 2},
		"while the worker is down":                                   {plain(sandbox.SlowDown), whileDown, 2, 2},
		"while the worker is down, after a PUT whose reply was lost": {plain(sandbox.CutAfter), whileDown, 1, 1},
		"while the worker is down, after a PUT that was lost":        {plain(takeAndCut), whileDown, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs, ours := newClock(), &wall{}
			end := func() {
				theirs.advance(2 * time.Hour)
				ours.jump(2 * time.Hour)
			}
			r := newRig(t, ours.on(), platform(func(o *sandbox.Options) { o.Clock = theirs.Now }))
			r.Faults(once(sandbox.OpPut, c.put(end)))
			a := r.submit(write(t, r.dir+"/a.jpg", string(make([]byte, 8<<20))))
			stop := r.run()
			if c.meanwhile != nil {
				r.await("the first PUT is over", func() bool { return r.Ledger().Total(sandbox.OpPut) == 1 })
				c.meanwhile(r, stop, end)
			}
			r.goOn("it is judged", func() bool { return r.answer(a) == "verdict" })
			r.wantPaidOnce(a)
			r.wantCalls(sandbox.OpCreate, c.records)
			r.wantCalls(sandbox.OpPut, c.puts)
		})
	}
}

// amid has something happen once storage has begun to read a PUT that it let in.
func amid(effect sandbox.Effect) func(do func()) sandbox.Effect {
	return func(do func()) sandbox.Effect {
		return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			effect(w, r, func(w http.ResponseWriter, r *http.Request) {
				r.Body = trigger{r.Body, sync.OnceFunc(do)}
				next(w, r)
			})
		}
	}
}

// A trigger does something when the first bytes were read.
type trigger struct {
	io.ReadCloser
	do func()
}

func (t trigger) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.do()
	return n, err
}

// plain is an effect at which nothing more happens.
func plain(effect sandbox.Effect) func(func()) sandbox.Effect {
	return func(func()) sandbox.Effect { return effect }
}

// takeAndCut takes all of a PUT, loses it, and does not answer.
func takeAndCut(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

func atAClosedGate(r *rig, _, end func()) {
	r.refuse(r.cluster.Uploads, control.Create, control.Credits)
	end()
}

func whileDown(r *rig, stop, end func()) {
	stop()
	end()
	r.worker = New(r.options)
	r.run()
}
