package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestFaultsAnswerInThePlatformsStead(t *testing.T) {
	r := newRig(t, unlimited())
	for _, c := range []struct {
		name   string
		do     sandbox.Effect
		keys   http.Header
		status int
		want   string
	}{
		{"quota", sandbox.QuotaUsedUp, r.keys, 429, `"code":"AA001"`},
		{"slow down, in the API", sandbox.RateLimited(7 * time.Second), r.keys, 429, `"code":"rate_limited"`},
		{"credits", sandbox.OutOfCredits, r.keys, 400, `"code":"U007"`},
		{"credits, bearer", sandbox.OutOfCredits, bearer("api_sandbox"), 402, `"code":"INSUFFICIENT_BALANCE"`},
		{"500", sandbox.ServerError, r.keys, 500, `"type":"SERVER_ERROR"`},
		{"502", sandbox.BadGateway, r.keys, 502, `<html>`},
		{"503", sandbox.SlowDown, r.keys, 503, `<Code>SlowDown</Code>`},
		{"garbage", sandbox.Garbage, r.keys, 200, `{"mid": 7,`},
		{"anything", sandbox.Answer(418, "text/plain", "teapot"), r.keys, 418, `teapot`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.Faults(sandbox.Fault{Op: sandbox.OpAny, Do: c.do, Times: 1})
			got := r.do("GET", r.url+"/api/media", c.keys, nil)
			if got.StatusCode != c.status || !strings.Contains(string(got.body), c.want) {
				t.Errorf("got %s %s", got.Status, got.body)
			}
			if c.name == "slow down, in the API" && got.Header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After %q", got.Header.Get("Retry-After"))
			}
		})
	}
	if l := r.Ledger(); l.Query != 0 || l.Total(sandbox.OpList) != 9 {
		t.Errorf("%d Queries consumed, %d lists called", l.Query, l.Total(sandbox.OpList))
	}
}

func TestFaultsStrikeTheirOperationAsOftenAsTheySay(t *testing.T) {
	r := newRig(t, unlimited())
	r.Faults(sandbox.Fault{Op: sandbox.OpGet, Do: sandbox.ServerError, Times: 2})
	for i, want := range []int{500, 500, 404} {
		if got := r.call("GET", "/api/media", ""); got.StatusCode != 200 {
			t.Errorf("list %d: %s", i, got.Status)
		}
		if got := r.call("GET", "/api/media/x", ""); got.StatusCode != want {
			t.Errorf("get %d: %s, want %d", i, got.Status, want)
		}
	}
	r.Faults(sandbox.Fault{Op: sandbox.OpGet, Do: sandbox.ServerError})
	r.Faults()
	if got := r.call("GET", "/api/media/x", ""); got.StatusCode != 404 {
		t.Errorf("without faults: %s", got.Status)
	}
}

func TestFaultsNest(t *testing.T) {
	r := newRig(t, unlimited())
	r.Faults(
		sandbox.Fault{Op: sandbox.OpAny, Do: sandbox.Delay(time.Millisecond)},
		sandbox.Fault{Op: sandbox.OpAny, Do: sandbox.ServerError, Times: 1},
		sandbox.Fault{Op: sandbox.OpAny, Do: sandbox.BadGateway, Times: 2},
	)
	for _, want := range []int{500, 502, 200} {
		if got := r.call("GET", "/api/media", ""); got.StatusCode != want {
			t.Errorf("%s, want %d", got.Status, want)
		}
	}
}

func TestRateIsRepeatableBySeed(t *testing.T) {
	throw := func(seed uint64) (struck string, used uint64) {
		o := unlimited()
		o.Seed = seed
		r := newRig(t, o)
		r.Faults(sandbox.Fault{Op: sandbox.OpList, Do: sandbox.ServerError, Rate: 0.5})
		for range 64 {
			struck += r.call("GET", "/api/media", "").Status[:1]
		}
		return struck, r.Seed()
	}
	first, seed := throw(0)
	if again, _ := throw(seed); again != first {
		t.Errorf("seed %d: %s, then %s", seed, first, again)
	}
	if !strings.Contains(first, "2") || !strings.Contains(first, "5") {
		t.Errorf("seed %d: half of 64 calls: %s", seed, first)
	}
}

func TestCutBeforeDoesNothing(t *testing.T) {
	r := newRig(t, unlimited())
	r.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: sandbox.CutBefore})
	if got, err := r.try("POST", r.url+"/api/media", r.keys, strings.NewReader(createBody("DF-1", "video/mp4", 1))); err == nil {
		t.Errorf("got %s", got.Status)
	}
	if l := r.Ledger(); l.Creates != 0 || l.Mutation != 0 || l.Calls[sandbox.OpCreate][0] != 1 {
		t.Errorf("%+v", l)
	}
}

func TestCutAfterLosesTheReplyToWorkThatWasDone(t *testing.T) {
	r := newRig(t, unlimited())
	content := []byte("x")
	rec := r.create(content)
	r.Faults(sandbox.Fault{Op: sandbox.OpAny, Do: sandbox.CutAfter})
	if got, err := r.try("POST", r.url+"/api/media", r.keys, strings.NewReader(createBody("DF-1", "video/mp4", 1))); err == nil {
		t.Errorf("POST: got %s", got.Status)
	}
	if got, err := r.try("PUT", rec.UploadURL, http.Header{"Content-Type": {"video/mp4"}}, bytes.NewReader(content)); err == nil {
		t.Errorf("PUT: got %s", got.Status)
	}
	if l := r.Ledger(); l.Creates != 2 || l.Paid[digest(content)] != 1 || l.Calls[sandbox.OpPut][0] != 1 {
		t.Errorf("%+v", l)
	}
}

func TestCutBodyKeepsNothing(t *testing.T) {
	r := newRig(t, unlimited())
	content := make([]byte, 1<<20)
	rec := r.create(content)
	r.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.CutBody, Times: 1})
	if got, err := r.try("PUT", rec.UploadURL, http.Header{"Content-Type": {"video/mp4"}}, bytes.NewReader(content)); err == nil {
		t.Errorf("got %s", got.Status)
	}
	if l := r.Ledger(); l.PutsBegun != 1 || l.PutsCompleted != 0 || len(l.Paid) != 0 {
		t.Errorf("%+v", l)
	}
	r.wantStatus(rec.MID, "INITED")
	if got := r.put(rec, content); got.StatusCode != 200 {
		t.Errorf("the same URL, again: %s", got.Status)
	}
}

func TestHangAndDelayEndWhenTheClientGoes(t *testing.T) {
	r := newRig(t, unlimited())
	for name, effect := range map[string]sandbox.Effect{"hang": sandbox.Hang, "delay": sandbox.Delay(time.Hour)} {
		reached := make(chan struct{})
		left := make(chan struct{})
		r.Faults(sandbox.Fault{Op: sandbox.OpAny, Do: func(w http.ResponseWriter, req *http.Request, next http.HandlerFunc) {
			close(reached)
			defer close(left)
			effect(w, req, next)
		}, Times: 1})
		ctx, cancel := context.WithCancel(soon(t))
		go func() {
			<-reached
			cancel()
		}()
		req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/api/media", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case <-left:
		case <-soon(t).Done():
			t.Errorf("%s: the handler did not end", name)
		}
	}
}

func TestFailResultFailsTheProcessingOfOneContent(t *testing.T) {
	r := newRig(t, unlimited())
	r.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.FailResult, Times: 1})
	r.wantStatus(r.upload([]byte("unlucky")).MID, "FAILED")
	r.wantStatus(r.upload([]byte("lucky")).MID, "PROCESSED")
}
