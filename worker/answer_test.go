package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

func TestEffectOfEveryAnswerIsTheTables(t *testing.T) {
	t.Parallel()
	uploads := func(why control.Why) effect { return effect{uploads: true, why: why} }
	polls := func(why control.Why) effect { return effect{polls: true, why: why} }
	both := func(why control.Why) effect { return effect{uploads: true, polls: true, why: why} }
	fails := func(r queue.Reason) effect { return effect{fails: r} }
	for _, c := range []struct {
		of         authenta.Kind
		status     int
		onMutation effect
		onQuery    effect
	}{
		{authenta.KindQuota, 429, uploads(control.Quota), polls(control.Quota)},
		{authenta.KindThrottled, 429, uploads(control.Throttled), polls(control.Throttled)},
		{authenta.KindCredits, 400, uploads(control.Credits), uploads(control.Credits)},
		{authenta.KindCredits, 402, uploads(control.Credits), uploads(control.Credits)},
		{authenta.KindUnauthenticated, 401, both(control.Unauthenticated), both(control.Unauthenticated)},
		{authenta.KindUnauthenticated, 0, both(control.Unauthenticated), both(control.Unauthenticated)},
		{authenta.KindForbidden, 403, uploads(control.Forbidden), polls(control.Forbidden)},
		{authenta.KindNotFound, 404, fails(queue.Rejected), fails(queue.AnalysisFailed)},
		{authenta.KindRejected, 400, fails(queue.Rejected), polls(control.Outage)},
		{authenta.KindRejected, 422, fails(queue.Rejected), polls(control.Outage)},
		{authenta.KindRejected, 0, fails(queue.Rejected), polls(control.Outage)},
		{authenta.KindUnavailable, 0, uploads(control.Outage), polls(control.Outage)},
		{authenta.KindUnavailable, 200, uploads(control.Outage), polls(control.Outage)},
		{authenta.KindUnavailable, 403, uploads(control.Outage), polls(control.Outage)},
		{authenta.KindUnavailable, 503, uploads(control.Outage), polls(control.Outage)},
		// Storage's; none of them comes from an API call, and none may fail a file here.
		{authenta.KindURLExpired, 403, uploads(control.Outage), polls(control.Outage)},
		{authenta.KindStorageRefused, 400, uploads(control.Outage), polls(control.Outage)},
		{authenta.KindFileChanged, 0, uploads(control.Outage), polls(control.Outage)},
		{0, 0, uploads(control.Outage), polls(control.Outage)},
	} {
		for k, want := range map[control.Call]effect{control.Create: c.onMutation, control.Put: c.onMutation, control.Query: c.onQuery} {
			if got := effectOf(k, &authenta.Error{Kind: c.of, Status: c.status}); got != want {
				t.Errorf("%v (%d) on call %s: %+v, want %+v", c.of, c.status, k, got, want)
			}
		}
	}
}

func TestATooLargeFileIsSaidToBeTooLarge(t *testing.T) {
	t.Parallel()
	e := &authenta.Error{Kind: authenta.KindRejected, Status: 413}
	if got := effectOf(control.Create, e); got != (effect{fails: queue.TooLarge}) {
		t.Errorf("%+v", got)
	}
}

func TestAPollIsNeverTheFilesFaultExceptFor404(t *testing.T) {
	t.Parallel()
	for k := authenta.Kind(0); k <= authenta.KindFileChanged+1; k++ {
		for _, status := range []int{0, 200, 400, 401, 402, 403, 409, 413, 422, 429, 500, 503} {
			got := effectOf(control.Query, &authenta.Error{Kind: k, Status: status})
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
	if got := effectOf(control.Query, &authenta.Error{Kind: authenta.KindRejected, Status: 413}); got.fails != "" {
		t.Errorf("the file fails as %s: it was uploaded and paid for", got.fails)
	}
}

func TestACallThatWeBrokeOffOurselvesTellsNoGateAndCountsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, k := range []control.Call{control.Create, control.Put, control.Query} {
		for range 20 {
			turn, err := r.worker.enter(t.Context(), k, uncounted)
			must(t, err)
			broken := &authenta.Error{Kind: authenta.KindUnavailable, Err: context.Canceled}
			if s := turn.refused(ctx, broken); s.String() != queue.RetryAfter(0).String() {
				t.Errorf("%s: %s", k, s)
			}
			if s := turn.gate().State(); s.Closed() {
				t.Fatalf("%s: closed for %s", k, s.Why)
			}
		}
	}
}

func TestAnErrorThatIsNotTheClientsMakesTheFileWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	turn, err := r.worker.enter(t.Context(), control.Create, uncounted)
	must(t, err)
	if s := turn.refused(t.Context(), errors.New("no key file")); s.String()[:5] != "retry" {
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
