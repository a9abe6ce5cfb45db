package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
)

func TestEffectOfEveryAnswerIsTheTables(t *testing.T) {
	t.Parallel()
	uploads := func(why Why) effect { return effect{uploads: true, why: why} }
	polls := func(why Why) effect { return effect{polls: true, why: why} }
	both := func(why Why) effect { return effect{uploads: true, polls: true, why: why} }
	fails := func(r queue.Reason) effect { return effect{fails: r} }
	for _, c := range []struct {
		of         authenta.Kind
		status     int
		onMutation effect
		onQuery    effect
	}{
		{authenta.KindQuota, 429, uploads(Quota), both(Quota)},
		{authenta.KindThrottled, 429, uploads(Throttled), polls(Throttled)},
		{authenta.KindCredits, 400, uploads(Credits), uploads(Credits)},
		{authenta.KindCredits, 402, uploads(Credits), uploads(Credits)},
		{authenta.KindUnauthenticated, 401, both(Unauthenticated), both(Unauthenticated)},
		{authenta.KindUnauthenticated, 0, both(Unauthenticated), both(Unauthenticated)},
		{authenta.KindForbidden, 403, uploads(Forbidden), polls(Forbidden)},
		{authenta.KindNotFound, 404, fails(queue.Rejected), fails(queue.AnalysisFailed)},
		{authenta.KindRejected, 400, fails(queue.Rejected), polls(Outage)},
		{authenta.KindRejected, 422, fails(queue.Rejected), polls(Outage)},
		{authenta.KindRejected, 0, fails(queue.Rejected), polls(Outage)},
		{authenta.KindUnavailable, 0, uploads(Outage), polls(Outage)},
		{authenta.KindUnavailable, 200, uploads(Outage), polls(Outage)},
		{authenta.KindUnavailable, 403, uploads(Outage), polls(Outage)},
		{authenta.KindUnavailable, 503, uploads(Outage), polls(Outage)},
		// Storage's; none of them comes from an API call, and none may fail a file here.
		{authenta.KindURLExpired, 403, uploads(Outage), polls(Outage)},
		{authenta.KindStorageRefused, 400, uploads(Outage), polls(Outage)},
		{authenta.KindFileChanged, 0, uploads(Outage), polls(Outage)},
		{0, 0, uploads(Outage), polls(Outage)},
	} {
		for k, want := range map[call]effect{create: c.onMutation, put: c.onMutation, query: c.onQuery} {
			if got := effectOf(k, &authenta.Error{Kind: c.of, Status: c.status}); got != want {
				t.Errorf("%v (%d) on call %d: %+v, want %+v", c.of, c.status, k, got, want)
			}
		}
	}
}

func TestATooLargeFileIsSaidToBeTooLarge(t *testing.T) {
	t.Parallel()
	e := &authenta.Error{Kind: authenta.KindRejected, Status: 413}
	if got := effectOf(create, e); got != (effect{fails: queue.TooLarge}) {
		t.Errorf("%+v", got)
	}
}

func TestAPollIsNeverTheFilesFaultExceptFor404(t *testing.T) {
	t.Parallel()
	for k := authenta.Kind(0); k <= authenta.KindFileChanged+1; k++ {
		for _, status := range []int{0, 200, 400, 401, 402, 403, 409, 413, 422, 429, 500, 503} {
			got := effectOf(query, &authenta.Error{Kind: k, Status: status})
			if wantFail := k == authenta.KindNotFound; (got.fails != "") != wantFail {
				t.Errorf("%v (%d): %+v", k, status, got)
			}
			if (got.fails == "") != (got.polls || got.uploads) {
				t.Errorf("%v (%d) neither fails the file nor tells a gate: %+v", k, status, got)
			}
		}
	}
}

func TestAPollAnswered413IsNotTheFilesFault(t *testing.T) {
	t.Parallel()
	if got := effectOf(query, &authenta.Error{Kind: authenta.KindRejected, Status: 413}); got.fails != "" {
		t.Errorf("the file fails as %s: it was uploaded and paid for", got.fails)
	}
}

func TestACallThatWeBrokeOffOurselvesTellsNoGateAndCountsNothing(t *testing.T) {
	t.Parallel()
	w := New(Options{Log: quiet})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, k := range []call{create, put, query} {
		for range 2 * breakAfter {
			err := &authenta.Error{Kind: authenta.KindUnavailable, Err: context.Canceled}
			if s := w.refused(ctx, k, err); s.String() != queue.RetryAfter(0).String() {
				t.Errorf("call %d: %s", k, s)
			}
		}
		if c, closed := w.gateOf(k).Closed(); closed {
			t.Errorf("call %d: closed for %s", k, c.Reason)
		}
	}
}

func TestAnErrorThatIsNotTheClientsMakesTheFileWait(t *testing.T) {
	t.Parallel()
	w := New(Options{Log: quiet})
	if s := w.refused(t.Context(), create, errors.New("no key file")); s.String()[:5] != "retry" {
		t.Errorf("%s", s)
	}
}

func TestAWaitAfterAnErrorIsSomeSecondsWithJitter(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 100 {
		d := backoff()
		if d < time.Second || d >= 3*time.Second {
			t.Fatalf("%s", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different waits in 100", len(seen))
	}
}
