package control

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

func TestACreateTakesAMutationAndKeepsWhatItsResultCosts(t *testing.T) {
	t.Parallel()
	known := func(mutation, query int) Counts {
		return Counts{Mutation: Count{Granted: mutation}, Query: Count{Granted: query}}
	}
	for _, c := range []struct {
		name     string
		of       Counts
		awaiting int
		want     error
	}{
		{"nothing is known", Counts{}, 1000, nil},
		{"enough of both", known(1, 2), 0, nil},
		{"mutations are not known", known(0, 2), 0, nil},
		{"queries are not known", known(1, 0), 1000, nil},
		{"the mutations are spent", Counts{Mutation: Count{3, 3}}, 0, ErrSpent},
		{"one query is not enough for a file", known(1, 1), 0, ErrSpent},
		{"three queries for two files", known(9, 3), 1, nil},
		{"three queries for three files", known(9, 3), 2, ErrSpent},
	} {
		got, err := c.of.create("job", c.awaiting)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if spent := got.Mutation.Spent - c.of.Mutation.Spent; c.of.Mutation.Known() && (err == nil) != (spent == 1) {
			t.Errorf("%s: %d spent", c.name, spent)
		}
	}
}

func TestASecondCreateForAJobKeepsNothingMore(t *testing.T) {
	t.Parallel()
	c := Counts{Mutation: Count{Granted: 9}, Query: Count{Granted: 2}}
	c, err := c.create("job", 0)
	if err == nil {
		c, err = c.create("job", 0)
	}
	if err != nil || len(c.Uploading) != 1 || c.Mutation.Spent != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAQueryInVainLeavesOneForEachResult(t *testing.T) {
	t.Parallel()
	c := Counts{Query: Count{Granted: 3}, Uploading: []queue.JobKey{"a"}}
	if _, err := c.query(false, 1); err != nil {
		t.Errorf("three calls, two results: %v", err)
	}
	if _, err := c.query(false, 2); !errors.Is(err, ErrReserved) {
		t.Errorf("three calls, three results: %v", err)
	}
	c, err := c.query(true, 2)
	if err != nil || c.Query.Left() != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	c.Query.Spent = 3
	if _, err := c.query(true, 0); !errors.Is(err, ErrSpent) {
		t.Errorf("none left: %v", err)
	}
}

// A random life of an account: whatever is asked for in whatever order, no more is used than was granted, and what was
// uploaded can be fetched.
func TestNoOrderOfCallsOverrunsWhatWasGranted(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		c := Counts{Mutation: Count{Granted: 1 + random.IntN(40)}, Query: Count{Granted: 1 + random.IntN(60)}}
		awaiting, jobs := 0, 0
		for range 400 {
			switch random.IntN(4) {
			case 0:
				if next, err := c.create(queue.JobKey(fmt.Sprint(jobs)), awaiting); err == nil {
					c, jobs = next, jobs+1
				}
			case 1: // handed over
				if n := len(c.Uploading); n > 0 {
					gone := c.Uploading[random.IntN(n)]
					c = c.without(func(k queue.JobKey) bool { return k == gone })
					awaiting++
				}
			case 2: // in vain
				if next, err := c.query(false, awaiting); err == nil {
					c = next
				}
			case 3: // fetched
				if awaiting > 0 {
					next, err := c.query(true, awaiting)
					if err != nil {
						t.Fatalf("a result cannot be fetched: %+v, %d awaiting", c, awaiting)
					}
					c, awaiting = next, awaiting-1
				}
			}
			if c.Mutation.Spent > c.Mutation.Granted || c.Query.Spent > c.Query.Granted || c.Query.Left() < awaiting+len(c.Uploading) {
				t.Fatalf("%+v, %d awaiting", c, awaiting)
			}
		}
	}
}

func TestFilesLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of       Counts
		awaiting int
		want     int
		known    bool
	}{
		{Counts{}, 0, 0, false},
		{Counts{Mutation: Count{100, 30}}, 7, 70, true},
		{Counts{Query: Count{100, 40}}, 10, 30, true},
		{Counts{Mutation: Count{100, 90}, Query: Count{100, 40}}, 10, 10, true},
		{Counts{Query: Count{10, 10}}, 5, 0, true},
	} {
		if n, known := c.of.files(c.awaiting); n != c.want || known != c.known {
			t.Errorf("%+v, %d awaiting: %d %t, want %d %t", c.of, c.awaiting, n, known, c.want, c.known)
		}
	}
}
