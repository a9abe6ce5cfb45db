package pace

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A simulation of workers and a platform in fake time. It makes calls as a worker does, by the steps of the package
// comment, and counts them.
type simulation struct {
	// The setting.
	rng      *rand.Rand
	latency  func(*rand.Rand, float64) time.Duration // of the result, at a part of the run
	arrivals []time.Duration
	rate     float64 // calls per second, of the cluster
	page     int     // 0: the list is off
	workers  int
	start    time.Time // its phase decides where the grid lies

	// The state.
	now     time.Duration
	events  events
	order   int
	media   []*medium // in the order of upload
	procs   []*proc
	free    time.Duration // when the rate lets the next call through
	awaited int

	// The outcome.
	gets, pages int
	lags        []time.Duration
	closest     time.Duration // between two asks for one medium
}

const (
	gathering = 100 * time.Millisecond
	roundTrip = 50 * time.Millisecond
)

type medium struct {
	uploaded, ready time.Duration
	asked           time.Duration // age at the last ask in vain
	lastAsk         time.Duration
	everAsked       bool
	fetched         bool
}

type proc struct {
	s       *simulation
	learned Learned
	due     []*medium // gathered
	line    []func() bool
	pumping bool
	left    int
	view    map[*medium]bool // what the last pages said
	viewAt  time.Duration
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *simulation) at(t time.Duration, do func()) {
	s.order++
	heap.Push(&s.events, event{max(t, s.now), s.order, do})
}

func (s *simulation) run() {
	s.closest = math.MaxInt64
	for range max(1, s.workers) {
		s.procs = append(s.procs, &proc{s: s, view: map[*medium]bool{}})
	}
	for i, t := range s.arrivals {
		s.at(t, func() {
			m := &medium{uploaded: s.now}
			m.ready = s.now + s.latency(s.rng, float64(i)/float64(len(s.arrivals)))
			s.media = append(s.media, m)
			s.awaited++
			s.procs[0].schedule(m)
		})
	}
	for s.events.Len() > 0 {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
}

func (s *simulation) crowd() Crowd {
	return Crowd{Awaited: s.awaited, Workers: s.workers, Page: s.page, First: DefaultFirst}
}

func (p *proc) age(m *medium) time.Duration { return p.s.now - m.uploaded }

func (p *proc) next(m *medium) Step {
	c := p.s.crowd()
	c.Due = p.left
	return c.Next(p.learned.Times(), p.learned.Thrift.Alpha(), m.asked)
}

// schedule gives the medium back until it is due; any worker may get it then.
func (p *proc) schedule(m *medium) {
	s := p.s
	at := p.next(m).At(s.start.Add(m.uploaded)).Sub(s.start)
	s.at(at, func() { s.procs[s.rng.IntN(len(s.procs))].take(m) })
}

func (p *proc) take(m *medium) {
	p.due = append(p.due, m)
	if len(p.due) == 1 {
		p.s.at(p.s.now+gathering, p.ask)
	}
}

// ask asks about all that were gathered.
func (p *proc) ask() {
	var wanted []*medium
	for _, m := range p.due {
		finished, seen := p.view[m]
		if !seen || p.viewAt-m.uploaded <= m.asked || p.s.now-p.viewAt > p.next(m).Grid/2 {
			wanted = append(wanted, m)
		} else if p.told(m, finished, p.viewAt) {
			p.schedule(m)
		}
	}
	p.due = nil
	if Choose(p.s.crowd().Pages(), p.chances(wanted)) == ByList {
		p.sweep(wanted, 0)
		return
	}
	for _, m := range wanted {
		p.single(m)
	}
}

func (p *proc) chances(ms []*medium) []float64 {
	var cs []float64
	for _, m := range ms {
		cs = append(cs, p.learned.Times().DoneSince(m.asked, p.age(m)))
	}
	return cs
}

// told takes note of what a page said of a medium.
func (p *proc) told(m *medium, finished bool, at time.Duration) (again bool) {
	age := at - m.uploaded
	switch {
	case finished:
		p.learned.Found(m.asked, age)
		p.fetch(m)
	case age > m.asked:
		p.learned.Vain(m.asked, age, false)
		m.asked = age
	}
	return !finished
}

func (p *proc) sweep(wanted []*medium, page int) {
	p.call(nil, func() {
		s := p.s
		s.pages++
		at := s.now + roundTrip/2
		from := max(0, len(s.media)-(page+1)*s.page)
		shown := s.media[from:max(0, len(s.media)-page*s.page)]
		s.at(s.now+roundTrip, func() {
			if page == 0 {
				clear(p.view)
			}
			for _, m := range shown {
				p.view[m] = m.ready <= at
			}
			p.viewAt = at
			var left, again []*medium
			for _, m := range wanted {
				if finished, ok := p.view[m]; ok {
					s.asks(m, at)
					if p.told(m, finished, at) {
						again = append(again, m)
					}
				} else {
					left = append(left, m)
				}
			}
			if page == 0 {
				p.left = 0
			}
			p.left += len(again)
			for _, m := range again {
				p.schedule(m)
			}
			if len(shown) == s.page && Choose(1, p.chances(left)) == ByList {
				p.sweep(left, page+1)
				return
			}
			for _, m := range left {
				p.single(m)
			}
		})
	})
}

func (p *proc) single(m *medium) {
	p.call(func() bool {
		if p.next(m).Ripe(p.age(m)) {
			return true
		}
		p.schedule(m)
		return false
	}, func() {
		p.s.asks(m, p.s.now+roundTrip/2)
		p.get(m, false)
	})
}

func (p *proc) fetch(m *medium) { p.call(nil, func() { p.get(m, true) }) }

func (p *proc) get(m *medium, known bool) {
	s := p.s
	s.gets++
	at := s.now + roundTrip/2
	s.at(s.now+roundTrip, func() {
		age := at - m.uploaded
		if m.ready > at {
			p.learned.Vain(m.asked, age, true)
			m.asked = age
			p.schedule(m)
			return
		}
		if !known {
			p.learned.Found(m.asked, age)
		}
		m.fetched = true
		s.awaited--
		s.lags = append(s.lags, at-m.ready)
	})
}

func (s *simulation) asks(m *medium, at time.Duration) {
	if m.everAsked {
		s.closest = min(s.closest, at-m.lastAsk)
	}
	m.everAsked, m.lastAsk = true, at
}

// call stands in line for the rate, and makes the call unless still, asked at its turn, says no.
func (p *proc) call(still func() bool, do func()) {
	p.line = append(p.line, func() bool {
		if still != nil && !still() {
			return false
		}
		p.s.free = p.s.now + time.Duration(float64(time.Second)/p.s.rate)
		do()
		return true
	})
	p.pump()
}

func (p *proc) pump() {
	if p.pumping || len(p.line) == 0 {
		return
	}
	p.pumping = true
	p.s.at(p.s.free, func() {
		p.pumping = false
		for len(p.line) > 0 && p.s.now >= p.s.free {
			head := p.line[0]
			p.line = p.line[1:]
			head()
		}
		p.pump()
	})
}

func (s *simulation) perVerdict() float64 { return float64(s.gets+s.pages) / float64(len(s.media)) }

func (s *simulation) lag(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s.lags))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
