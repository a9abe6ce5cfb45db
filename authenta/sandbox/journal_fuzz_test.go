package sandbox

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzJournal starts a platform on a journal. What is taken can be gone on with, and read again.
func FuzzJournal(f *testing.F) {
	path, noon := filepath.Join(f.TempDir(), "journal"), time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		o := Options{Journal: path, Credits: Unlimited, Clock: func() time.Time { return noon }}
		p, err := New(o)
		if err != nil {
			if !strings.Contains(err.Error(), "at byte ") {
				t.Errorf("%v does not say where", err)
			}
			if left, _ := os.ReadFile(path); string(left) != string(data) {
				t.Error("a journal that is refused was changed")
			}
			return
		}
		p.record(event{Kind: created, At: p.now(), MID: "new", Create: &createRequest{Name: "a", Size: 1}})
		p.record(event{Kind: putCompleted, At: p.now(), MID: "new", Object: &object{SHA256: "00", Size: 1}})
		want := p.Ledger()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got := again.Ledger(); !reflect.DeepEqual(got, want) {
			t.Errorf("read again: %+v, want %+v", got, want)
		}
	})
}
