package sandbox_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestConcurrentUseKeepsTheLedgerExact(t *testing.T) {
	const clients, each = 8, 20
	o := unlimited()
	o.Credits, o.Journal = clients*each/2, filepath.Join(t.TempDir(), "journal")
	r := newRig(t, o)
	recs := make([]record, clients*each)
	for i := range recs {
		recs[i] = r.create([]byte("00/00"))
	}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				rec, content := recs[c*each+i], fmt.Appendf(nil, "%02d/%02d", c, i)
				if got := r.put(rec, content); got.StatusCode != http.StatusOK {
					t.Error(got.Status)
				}
				r.get(rec.MID)
				r.call("GET", "/api/media?limit=3", "")
				r.Grant(sandbox.Grant{Credits: 1})
				r.Faults()
				r.Permit(sandbox.PermRead | sandbox.PermWrite)
				r.Ledger()
			}
		})
	}
	wg.Wait()
	l := r.Ledger()
	if l.CreditsSpent != len(recs) || len(l.Paid) != len(recs) || l.PaidTwice() != nil || l.Query != 2*len(recs) {
		t.Errorf("spent %d, %d contents, paid twice %v, %d Queries", l.CreditsSpent, len(l.Paid), l.PaidTwice(), l.Query)
	}
}

// BenchmarkFile is what one file costs the platform: POST, PUT of 20 kB, GET, without the network.
func BenchmarkFile(b *testing.B) {
	p, err := sandbox.New(sandbox.Options{Credits: sandbox.Unlimited, MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited})
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 20_000)
	call := func(method, url string, header http.Header, body []byte) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, url, bytes.NewReader(body))
		req.Header = header
		w := httptest.NewRecorder()
		p.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
		return w
	}
	keys, video := pair("sandbox-id", "sandbox-secret"), http.Header{"Content-Type": {"video/mp4"}}
	create := []byte(createBody("DF-1", "video/mp4", len(content)))
	b.ReportAllocs()
	for b.Loop() {
		rec := decode[record](b, call("POST", "http://sandbox/api/media", keys, create).Body.Bytes())
		call("PUT", rec.UploadURL, video, content)
		call("GET", "http://sandbox/api/media/"+rec.MID, keys, nil)
	}
}
