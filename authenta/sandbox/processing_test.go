package sandbox_test

import (
	"slices"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestStatusFollowsTheClock(t *testing.T) {
	o := unlimited()
	o.Latency, o.LatencyPerMB, o.EventDelay = 10*time.Second, 2*time.Second, 3*time.Second
	r := newRig(t, o)
	content := make([]byte, 1_500_000) // 10 s + 1.5 × 2 s
	rec := r.create(content)
	r.wantStatus(rec.MID, "INITED")
	r.put(rec, content)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "INITED"},
		{3*time.Second - 1, "INITED"},
		{3 * time.Second, "UPLOADED"},
		{13*time.Second - 1, "UPLOADED"},
		{13 * time.Second, "PROCESSED"},
		{24 * time.Hour, "PROCESSED"},
	} {
		r.clock.Advance(step.after - r.clock.Now().Sub(mustParse(t, rec.CreatedAt)))
		r.wantStatus(rec.MID, step.want)
	}
}

func mustParse(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestFailedContentIsFailedAndPaid(t *testing.T) {
	o := unlimited()
	o.Latency, o.Outcome = time.Second, always(sandbox.Outcome{Verdict: sandbox.Failed})
	r := newRig(t, o)
	rec := r.upload([]byte("x"))
	r.wantStatus(rec.MID, "UPLOADED")
	r.clock.Advance(time.Second)
	if got := r.get(rec.MID); got.Status != "FAILED" || got.ResultURL != "" || got.Faces != nil {
		t.Errorf("%+v", got)
	}
	if l := r.Ledger(); l.CreditsSpent != 1 {
		t.Errorf("%d credits spent", l.CreditsSpent)
	}
}

func TestEveryCompletePutIsPaid(t *testing.T) {
	r := newRig(t, unlimited())
	once, samePut, sameContent := []byte("once"), []byte("same put"), []byte("same content")
	r.upload(once)
	rec := r.upload(samePut)
	r.put(rec, samePut)
	first, second := r.upload(sameContent), r.upload(sameContent)

	l := r.Ledger()
	want := []string{digest(samePut), digest(sameContent)}
	slices.Sort(want)
	if got := l.PaidTwice(); !slices.Equal(got, want) {
		t.Errorf("paid twice: %v, want %v", got, want)
	}
	if l.Paid[digest(once)] != 1 || l.CreditsSpent != 5 || l.PutsCompleted != 5 || l.Creates != 4 {
		t.Errorf("%+v", l)
	}
	if got := l.Records[digest(samePut)]; !slices.Equal(got, []string{rec.MID}) {
		t.Errorf("records of the content put twice: %v", got)
	}
	if got := l.Records[digest(sameContent)]; !slices.Equal(got, []string{first.MID, second.MID}) {
		t.Errorf("records of the content created twice: %v", got)
	}
}

func TestProcessingWaitsForCreditsAndStartsByItself(t *testing.T) {
	o := unlimited()
	o.Credits, o.Latency = 1, time.Minute
	r := newRig(t, o)
	contents := [][]byte{[]byte("first"), []byte("second"), []byte("third")}
	var recs []record
	for _, c := range contents { // no credit is spent before a PUT completes
		recs = append(recs, r.create(c))
	}
	for i, rec := range recs {
		r.put(rec, contents[i])
	}
	wantStatuses := func(want ...string) {
		t.Helper()
		for i, rec := range recs {
			r.wantStatus(rec.MID, want[i])
		}
	}
	wantStatuses("UPLOADED", "INITED", "INITED")
	if got := r.call("POST", "/api/media", createBody("DF-1", "video/mp4", 1)); got.StatusCode != 400 {
		t.Errorf("create without credits: %s", got.Status)
	}
	r.clock.Advance(time.Hour)
	wantStatuses("PROCESSED", "INITED", "INITED")
	r.Grant(sandbox.Grant{Credits: 1})
	wantStatuses("PROCESSED", "UPLOADED", "INITED")
	r.Grant(sandbox.Grant{Credits: sandbox.Unlimited})
	r.clock.Advance(time.Minute)
	wantStatuses("PROCESSED", "PROCESSED", "PROCESSED")
	if l := r.Ledger(); l.CreditsSpent != 3 || l.PaidTwice() != nil {
		t.Errorf("%+v", l)
	}
}

func TestADeletedRecordIsNotPaidFor(t *testing.T) {
	o := unlimited()
	o.Credits = 1
	r := newRig(t, o)
	content := []byte("x")
	waiting, gone := r.create(content), r.create(content)
	r.upload([]byte("takes the credit"))
	r.put(waiting, content)
	r.call("DELETE", "/api/media/"+waiting.MID, "")
	r.call("DELETE", "/api/media/"+gone.MID, "")
	r.Grant(sandbox.Grant{Credits: 5})
	if got := r.put(gone, content); got.StatusCode != 200 {
		t.Errorf("the storage knows nothing of records: %s", got.Status)
	}
	if l := r.Ledger(); l.CreditsSpent != 1 || l.Paid[digest(content)] != 0 {
		t.Errorf("%+v", l)
	}
}

func TestTheLedgerIsACopy(t *testing.T) {
	r := newRig(t, unlimited())
	content := []byte("x")
	r.upload(content)
	l := r.Ledger()
	l.Paid[digest(content)] = 9
	l.Records[digest(content)][0] = "changed"
	l.Calls[sandbox.OpPut][200] = 9
	if l = r.Ledger(); l.Paid[digest(content)] != 1 || l.Records[digest(content)][0] == "changed" || l.Total(sandbox.OpPut) != 1 {
		t.Errorf("%+v", l)
	}
}
