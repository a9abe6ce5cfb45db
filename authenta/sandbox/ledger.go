package sandbox

import (
	"maps"
	"slices"
	"time"
)

// A Ledger says what was called and what was paid for, since the journal's beginning.
type Ledger struct {
	Calls           map[Op]map[int]int // by operation and HTTP status; status 0: the connection was cut
	Query, Mutation int                // calls that consumed quota
	Creates         int                // records made
	PutsBegun       int                // PUTs whose headers were accepted
	PutsCompleted   int                // PUTs whose every byte was there
	CreditsSpent    int
	Paid            map[string]int       // by hex SHA-256 of the content: how often its processing was started, and paid for
	Records         map[string][]string  // by hex SHA-256 of the content: the media ids that it was put to
	Finished        map[string]time.Time // by hex SHA-256 of the content: when its first result is there, or will be
}

func newLedger() Ledger {
	return Ledger{Calls: map[Op]map[int]int{}, Paid: map[string]int{}, Records: map[string][]string{}, Finished: map[string]time.Time{}}
}

// PaidTwice returns the contents that were paid for more than once, sorted.
func (l Ledger) PaidTwice() []string {
	var twice []string
	for digest, times := range l.Paid {
		if times > 1 {
			twice = append(twice, digest)
		}
	}
	slices.Sort(twice)
	return twice
}

// Total returns how many calls of one kind were made, whatever the answer.
func (l Ledger) Total(op Op) int {
	total := 0
	for _, n := range l.Calls[op] {
		total += n
	}
	return total
}

func (l *Ledger) called(op Op, status int) {
	if l.Calls[op] == nil {
		l.Calls[op] = map[int]int{}
	}
	l.Calls[op][status]++
}

func (l *Ledger) uploaded(digest, mid string) {
	if !slices.Contains(l.Records[digest], mid) {
		l.Records[digest] = append(l.Records[digest], mid)
	}
}

func (l *Ledger) paid(digest string) {
	l.CreditsSpent++
	l.Paid[digest]++
}

func (l *Ledger) finished(digest string, at time.Time) {
	if _, known := l.Finished[digest]; !known {
		l.Finished[digest] = at
	}
}

func (l Ledger) clone() Ledger {
	l.Calls = maps.Clone(l.Calls)
	for op, byStatus := range l.Calls {
		l.Calls[op] = maps.Clone(byStatus)
	}
	l.Paid, l.Finished = maps.Clone(l.Paid), maps.Clone(l.Finished)
	l.Records = maps.Clone(l.Records)
	for digest, mids := range l.Records {
		l.Records[digest] = slices.Clone(mids)
	}
	return l
}
