package sandbox

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"time"
)

// A Grant raises what the account has left. In each field, a count is added, Unlimited lifts the limit and None takes
// away what is left.
type Grant struct {
	Credits       int `json:"credits,omitempty"`
	MutationQuota int `json:"mutationQuota,omitempty"`
	QueryQuota    int `json:"queryQuota,omitempty"`
}

// A balance is what is left of something counted, or Unlimited.
type balance int

func (b balance) empty() bool { return b == 0 }

func (b *balance) take() bool {
	if *b > 0 {
		*b--
		return true
	}
	return *b == Unlimited
}

func (b *balance) grant(n int) {
	switch {
	case n == Unlimited:
		*b = Unlimited
	case n == None:
		*b = 0
	case n > 0 && *b != Unlimited:
		*b += balance(n)
	}
}

// state is everything that outlives a restart. It changes by apply and by nothing else, so that replaying a journal
// rebuilds it.
type state struct {
	latency func(object) time.Duration
	delay   time.Duration // Options.EventDelay

	signer                   signer // nil until opened
	credits, mutation, query balance
	created                  int // media ever created
	media                    map[string]*media
	order                    []*media // oldest first
	waiting                  []*run   // for credits, oldest first
	ledger                   Ledger
}

// media is one media record.
type media struct {
	createRequest
	mid       string
	serial    int // its place among all that were ever created
	createdAt time.Time
	run       *run // the latest that was started; nil: none
}

// A run is one processing of one complete object. It is paid for when it starts.
type run struct {
	media  *media
	object object
	putAt  time.Time

	seenAt time.Time // when the platform learns of the object
	doneAt time.Time // when the result is there
}

// An object is what is kept of uploaded bytes.
type object struct {
	SHA256  string  `json:"sha256"`
	Size    int64   `json:"size"`
	Outcome Outcome `json:"outcome"`
}

// share is a number from 0 to 1 that any content has an even chance of.
func (o object) share() float64 {
	sum, err := hex.DecodeString(o.SHA256)
	if err != nil || len(sum) < 4 {
		return 0
	}
	return float64(binary.BigEndian.Uint32(sum[len(sum)-4:])) / math.MaxUint32
}

func newState(o Options) *state {
	return &state{
		latency: func(c object) time.Duration {
			return o.Latency + time.Duration(float64(o.LatencyPerMB)*float64(c.Size)/1e6) + time.Duration(float64(o.Spread)*c.share())
		},
		delay:    o.EventDelay,
		credits:  balance(o.Credits),
		mutation: balance(o.MutationQuota),
		query:    balance(o.QueryQuota),
		media:    map[string]*media{},
		ledger:   newLedger(),
	}
}

// apply makes one change. It fails on nothing: what an event needed was checked before it was made, or read.
func (s *state) apply(e event) {
	switch e.Kind {
	case opened:
		s.signer = e.Key
	case called:
		s.ledger.called(e.Op, e.Status)
	case consumed:
		s.consume(e.Op)
	case created:
		s.create(e.MID, *e.Create, e.At)
	case deleted:
		s.delete(e.MID)
	case putBegun:
		s.ledger.PutsBegun++
	case putCompleted:
		s.complete(e.MID, *e.Object, e.At)
	case granted:
		s.grant(*e.Grant, e.At)
	}
}

// quota is the counter that an operation is counted on.
func (s *state) quota(op Op) *balance {
	if op.isQuery() {
		return &s.query
	}
	return &s.mutation
}

func (s *state) consume(op Op) {
	s.quota(op).take()
	if op.isQuery() {
		s.ledger.Query++
	} else {
		s.ledger.Mutation++
	}
}

func (s *state) create(mid string, c createRequest, at time.Time) {
	m := &media{createRequest: c, mid: mid, serial: s.created, createdAt: at}
	s.created++
	s.ledger.Creates++
	s.media[mid] = m
	s.order = append(s.order, m)
}

func (s *state) delete(mid string) {
	m := s.media[mid]
	if m == nil { // only in a journal that somebody else has written
		return
	}
	delete(s.media, mid)
	i, _ := slices.BinarySearchFunc(s.order, m.serial, func(m *media, serial int) int { return cmp.Compare(m.serial, serial) })
	s.order = slices.Delete(s.order, i, i+1)
	s.waiting = slices.DeleteFunc(s.waiting, func(r *run) bool { return r.media == m })
}

// complete takes note of an object. The object of a deleted record is kept by the storage and of no interest to the
// platform.
func (s *state) complete(mid string, o object, at time.Time) {
	s.ledger.PutsCompleted++
	m := s.media[mid]
	if m == nil {
		return
	}
	s.ledger.uploaded(o.SHA256, mid)
	s.waiting = append(s.waiting, &run{media: m, object: o, putAt: at})
	s.startWaiting(at)
}

func (s *state) grant(g Grant, at time.Time) {
	s.credits.grant(g.Credits)
	s.mutation.grant(g.MutationQuota)
	s.query.grant(g.QueryQuota)
	s.startWaiting(at)
}

// startWaiting starts as many of the waiting runs as there are credits for.
func (s *state) startWaiting(at time.Time) {
	for len(s.waiting) > 0 && s.credits.take() {
		r := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.ledger.paid(r.object.SHA256)
		r.seenAt = r.putAt.Add(s.delay)
		if earlier := r.media.run; earlier != nil && earlier.seenAt.Before(r.seenAt) {
			r.seenAt = earlier.seenAt // a repeated PUT does not hide the first
		}
		r.doneAt = at.Add(s.latency(r.object))
		r.media.run = r
		s.ledger.finished(r.object.SHA256, r.doneAt)
	}
}
