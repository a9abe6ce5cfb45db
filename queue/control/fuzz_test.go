package control

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzState reads the record of a gate.
func FuzzState(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		s := decode(data)
		if again, err := json.Marshal(s); err != nil || !reflect.DeepEqual(decode(again), s) {
			t.Errorf("%+v becomes %s, %v", s, again, err)
		}
		for _, until := range []time.Time{s.Until, s.Lapses} {
			for _, fresh := range []bool{true, false} {
				if d := s.left(until, noon, fresh); d < 0 {
					t.Errorf("a negative wait: %s", d)
				}
			}
		}
		if open := s.opened("keys", "b", noon); open.Closed() {
			t.Errorf("opened, and closed: %+v", open)
		}
		if s.lifted("b", noon).Hold != nil || !s.held("m", "b", noon, time.Hour).Paused() {
			t.Errorf("held and lifted: %+v", s)
		}
	})
}

// FuzzCounts reads the record of the budget. Whatever it says, no call goes uncounted, and none is let through that has
// not been granted.
func FuzzCounts(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte, awaiting int) {
		var b Budget
		if b.load(data, 1) != nil {
			if c := b.Counts(); c.Known() {
				t.Errorf("refused, and taken over: %+v", c)
			}
			return
		}
		c := b.Counts()
		again, err := json.Marshal(c)
		var same Budget
		if err != nil || same.load(again, 1) != nil || !sameCounts(same.Counts(), c) {
			t.Fatalf("%+v becomes %s, %v", c, again, err)
		}
		awaiting = min(max(awaiting, 0), 1<<30)
		if next, err := c.query(true, awaiting); err == nil && c.Query.Known() && (next.Query.Spent != c.Query.Spent+1 || c.Query.Left() < 1) {
			t.Errorf("%+v after a Query: %+v", c.Query, next.Query)
		}
		if next, err := c.create("job", awaiting); err == nil && c.Mutation.Known() && (next.Mutation.Spent != c.Mutation.Spent+1 || c.Mutation.Left() < 1) {
			t.Errorf("%+v after a create: %+v", c.Mutation, next.Mutation)
		}
		if n, known := c.files(awaiting); n < 0 || known != c.Known() {
			t.Errorf("good for %d files, %t", n, known)
		}
		if r := c.renewed(); r.Mutation.Spent != 0 || r.Query.Spent != 0 || len(c.left(awaiting)) > 1000 {
			t.Errorf("renewed: %+v", r)
		}
	})
}

func sameCounts(a, b Counts) bool {
	return a.Mutation == b.Mutation && a.Query == b.Query && a.By == b.By && len(a.Uploading) == len(b.Uploading)
}

// FuzzMember reads a member's sign of life.
func FuzzMember(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Cluster{
			Options: Options{Log: quiet}, Self: Member{ID: "self"}, members: map[string]sighting{}, tells: make(chan telling, 64),
			Mutations: newPacer(5, nil), Queries: newPacer(10, nil), heard: make(chan struct{}),
		}
		c.meet("other", data, true)
		var m Member
		is := json.Valid(data) && json.Unmarshal(data, &m) == nil
		if n := len(c.Members()); n > 1 || (n == 1) != is {
			t.Errorf("%d members", n)
		}
		works := is && m.Role != RoleWatcher // whatever else it may say it is
		if c.Alone() == works || (c.Size() == 2) != works || (len(c.Workers()) == 1) != works {
			t.Errorf("%d have files judged, %+v", c.Size(), m)
		}
		c.meet("other", nil, true)
		if len(c.Members()) != 0 || c.Size() != 1 {
			t.Errorf("it has left, and is there: %+v", c.Members())
		}
	})
}

// FuzzRequest sends requests to pause and to resume. One that is refused changes nothing.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		tell := func(State, State) {}
		c := &Cluster{Options: Options{Log: quiet}, Budget: &Budget{record: &shared{}},
			Uploads: newGate("uploads", "a", &shared{}, tell, quiet), Polls: newGate("polls", "a", &shared{}, tell, quiet)}
		pause, resume := c.pause(t.Context(), data), error(nil)
		held := map[string]*Hold{OfUploads: c.Uploads.State().Hold, OfPolls: c.Polls.State().Hold}
		for name, hold := range held {
			if pause != nil && hold != nil {
				t.Errorf("%s: refused, and paused", name)
			}
			if hold != nil && !hold.Until.IsZero() && !hold.Until.After(hold.Since) {
				t.Errorf("%s: paused from %v until %v", name, hold.Since, hold.Until)
			}
		}
		if pause == nil && held[OfUploads] == nil && held[OfPolls] == nil {
			t.Error("taken, and nothing is paused")
		}
		if resume = c.resume(t.Context(), data); resume == nil && c.Uploads.State().Hold != nil && c.Polls.State().Hold != nil {
			t.Error("taken, and nothing goes on")
		}
		for _, err := range []error{pause, resume} {
			if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q is not for a terminal", err)
			}
		}
	})
}
