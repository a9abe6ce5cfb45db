package control

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/authenta/authenta-ingest/queue"
)

// ErrSpent says that what was granted of a kind of call is used up, or that a call's result could not be fetched for
// what is left. Nothing was counted.
var ErrSpent = errors.New("the calls that were granted do not suffice")

// ErrReserved says that the Query calls that are left are needed for results that are certain to be there. Nothing was
// counted.
var ErrReserved = errors.New("the Query calls that are left are kept for results that are there")

// A Count is how many calls of a kind were granted and used.
type Count struct {
	Granted int `json:"granted"` // 0: not known, and not counted
	Spent   int `json:"spent"`
}

// Known reports whether the calls are counted.
func (c Count) Known() bool { return c.Granted > 0 }

// Left is how many calls are left, if that is known.
func (c Count) Left() int { return max(c.Granted-c.Spent, 0) }

func (c Count) has(n int) bool { return !c.Known() || c.Left() >= n }

// spend counts a call, if calls of the kind are counted.
func (c Count) spend() Count {
	if c.Known() {
		c.Spent++
	}
	return c
}

// reserve is how many Query calls are kept for each result that is still to come. It is the platform's own proportion of
// Query to Mutation: one call fetches the result, and one in two files may need a second.
const reserve = 1.5

// Counts is what the record of the budget says. It is a value: its methods make the changed one, and are pure.
type Counts struct {
	Mutation Count `json:"mutation"`
	Query    Count `json:"query"`

	// Uploading are the jobs for which a media record was created and that may not be on the await queue yet. With those
	// on that queue they are the results that are still to come.
	Uploading []queue.JobKey `json:"uploading,omitempty"`

	// By is a different one for each change: whoever writes has to be able to tell its own from another's.
	By string `json:"by"`
}

// Known reports whether calls of any kind are counted.
func (c Counts) Known() bool { return c.Mutation.Known() || c.Query.Known() }

// coversUpload reports whether one more file can be uploaded and its result fetched, while so many are awaited.
func (c Counts) coversUpload(awaiting int) bool {
	results := awaiting + len(c.Uploading) + 1
	return c.Mutation.has(1) && c.Query.has(int(math.Ceil(reserve*float64(results))))
}

// create counts the create of a record for a job, while so many are awaited.
func (c Counts) create(job queue.JobKey, awaiting int) (Counts, error) {
	again := slices.Contains(c.Uploading, job) // what it takes to fetch its result is kept already
	if !c.Mutation.has(1) || !again && !c.coversUpload(awaiting) {
		return c, fmt.Errorf("%w for another file: %s", ErrSpent, c.left(awaiting))
	}
	c.Mutation = c.Mutation.spend()
	if c.Query.Known() && !again {
		c.Uploading = append(slices.Clip(c.Uploading), job)
	}
	return c, nil
}

// query counts a poll or a list page, while so many are awaited. One that may be in vain must leave a call for each.
func (c Counts) query(certain bool, awaiting int) (Counts, error) {
	switch {
	case !c.Query.has(1):
		return c, fmt.Errorf("%w: %s", ErrSpent, c.left(awaiting))
	case !certain && c.tight(awaiting):
		return c, ErrReserved
	}
	c.Query = c.Query.spend()
	return c, nil
}

// left says for a person what is left, and what for.
func (c Counts) left(awaiting int) string {
	var parts []string
	if c.Mutation.Known() {
		parts = append(parts, fmt.Sprintf("%d of %d Mutation calls are left", c.Mutation.Left(), c.Mutation.Granted))
	}
	if c.Query.Known() {
		parts = append(parts, fmt.Sprintf("%d of %d Query calls are left, of which each of %d results that are still to come keeps %.1f",
			c.Query.Left(), c.Query.Granted, awaiting+len(c.Uploading), reserve))
	}
	return strings.Join(parts, ", and ")
}

// tight reports whether only one Query call is left for each result.
func (c Counts) tight(awaiting int) bool {
	return c.Query.Known() && c.Query.Left() <= awaiting+len(c.Uploading)
}

// without drops jobs that are not being uploaded any more.
func (c Counts) without(gone func(queue.JobKey) bool) Counts {
	c.Uploading = slices.DeleteFunc(slices.Clone(c.Uploading), gone)
	return c
}

// files is how many more files the rest will do; false: not known.
func (c Counts) files(awaiting int) (int, bool) {
	switch results := int(float64(c.Query.Left())/reserve) - awaiting - len(c.Uploading); {
	case !c.Known():
		return 0, false
	case !c.Query.Known():
		return c.Mutation.Left(), true
	case !c.Mutation.Known():
		return max(results, 0), true
	default:
		return max(min(results, c.Mutation.Left()), 0), true
	}
}

// renewed counts from zero again.
func (c Counts) renewed() Counts {
	c.Mutation.Spent, c.Query.Spent = 0, 0
	return c
}
