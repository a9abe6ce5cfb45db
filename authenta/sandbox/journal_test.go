package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestThePlatformSurvivesItsRestart(t *testing.T) {
	o := sandbox.Options{Credits: 1, MutationQuota: 10, QueryQuota: 10, Latency: time.Minute,
		Journal: filepath.Join(t.TempDir(), "journal"), BaseURL: "http://unused"}
	before := newRig(t, o)
	before.Grant(sandbox.Grant{MutationQuota: -1})
	kept, deleted, open := before.create([]byte("kept")), before.create([]byte("deleted")), before.create([]byte("open"))
	before.call("DELETE", "/api/media/"+deleted.MID, "")
	before.put(relocated(kept, before), []byte("kept"))
	ledger, list := before.Ledger(), before.call("GET", "/api/media", "").body
	ledger.Query++ // the list
	ledger.Calls[sandbox.OpList] = map[int]int{200: 1}

	after := newRig(t, o) // as after kill -9: nobody closed the first
	if got := after.Ledger(); !reflect.DeepEqual(got, ledger) {
		t.Errorf("ledger: got  %+v\nwant %+v", got, ledger)
	}
	if got := after.call("GET", "/api/media", "").body; string(got) != string(list) {
		t.Errorf("list: got  %s\nwant %s", got, list)
	}
	if got := after.put(relocated(open, after), []byte("open")); got.StatusCode != 200 {
		t.Errorf("a URL from before the restart: %s %s", got.Status, got.body)
	}
	after.wantStatus(open.MID, "INITED") // the only credit was spent before the restart
	after.Grant(sandbox.Grant{Credits: 2})
	after.wantStatus(open.MID, "UPLOADED")
	after.clock.Advance(time.Minute)
	after.wantStatus(kept.MID, "PROCESSED")
	if again := after.create([]byte("x")); again.MID == kept.MID || again.MID == open.MID {
		t.Errorf("media id %s given twice", again.MID)
	}
}

// relocated is rec with its upload URL at r's server.
func relocated(rec record, r *rig) record {
	rec.UploadURL = strings.Replace(rec.UploadURL, "http://unused", r.url, 1)
	return rec
}

func TestALineCutShortByACrashIsDropped(t *testing.T) {
	o := unlimited()
	o.Journal = filepath.Join(t.TempDir(), "journal")
	rec := newRig(t, o).create([]byte("x"))
	file, err := os.OpenFile(o.Journal, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fmt.Fprint(file, `{"kind":"deleted","mid":"`+rec.MID)

	newRig(t, o).wantStatus(rec.MID, "INITED")
	newRig(t, o).wantStatus(rec.MID, "INITED") // what was appended after the cut is whole
}

func TestADamagedJournalIsRefused(t *testing.T) {
	o := unlimited()
	o.Journal = filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(o.Journal, []byte("{\"kind\":\"called\"}\nnot JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.New(o); err == nil || !strings.Contains(err.Error(), "at byte 18") {
		t.Errorf("got %v", err)
	}
}
