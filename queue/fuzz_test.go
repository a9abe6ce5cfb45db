package queue_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// FuzzRecord puts bytes in the ledger's place of a job. What is no JSON of a job is said to be damaged.
func FuzzRecord(f *testing.F) {
	good, err := json.Marshal(goldenJob())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	s := newStore(f)
	key := queue.KeyOf(digestOf("fuzz"), "DF-1")
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 100_000 {
			t.Skip("a deletion, or too large for a message")
		}
		if _, err := s.conn.Request(queue.RecordSubject(s.Queue, key), data, patience); err != nil {
			t.Fatal(err)
		}
		r, err := queue.Load(s.Queue, deadline(t), key)
		var want queue.Job
		if json.Unmarshal(data, &want) == nil {
			if err == nil && pretty(t, r.Job) != pretty(t, want) {
				t.Errorf("%q was read as %s", data, pretty(t, r.Job))
			}
		} else if err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), string(key)) {
			t.Errorf("%q: error %v, want one that says which job's record is damaged", data, err)
		}
	})
}

// FuzzEntry does the same to the watchers' registry.
func FuzzEntry(f *testing.F) {
	good, err := json.Marshal(queue.FileEntry{URI: "file:///in/a.mp4", File: queue.FileID{Size: 7, ModTime: t1}, Drops: []queue.DropID{"x"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	s := newStore(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 100_000 {
			t.Skip("a deletion, or too large for a message")
		}
		if _, err := s.conn.Request(queue.FileSubject(s.Registry(""), "/in/a.mp4"), data, patience); err != nil {
			t.Fatal(err)
		}
		e, err := s.Registry("").Entry(deadline(t), queue.FileKeyOf("/in/a.mp4"))
		if json.Unmarshal(data, &queue.FileEntry{}) == nil {
			return
		}
		if e != nil || err != nil {
			t.Errorf("%q: %v, error %v, want the file to be taken for new", data, e, err)
		}
	})
}
