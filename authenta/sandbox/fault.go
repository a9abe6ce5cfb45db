package sandbox

import "net/http"

// A Fault is something that goes wrong with some calls.
type Fault struct {
	Op    Op      // which calls
	Do    Effect  // what happens to them
	Rate  float64 // the share of them that it happens to, up to 1; 0: all
	Times int     // how often it happens at most; 0: always
}

// An armedFault is an active Fault and what is left of its Times.
type armedFault struct {
	Fault
	left int
}

// Faults replaces the active faults; without arguments, there are none. Where several strike the same call, the first
// is outermost: it decides whether the others happen.
func (p *Platform) Faults(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
	for _, f := range faults {
		p.faults = append(p.faults, &armedFault{Fault: f, left: f.Times})
	}
}

// Seed returns what Options.Seed was or was picked as: a test that throws dice prints it.
func (p *Platform) Seed() uint64 { return p.opts.Seed }

// afflict returns serve with the faults that strike this call around it.
func (p *Platform) afflict(op Op, serve http.HandlerFunc) http.HandlerFunc {
	struck := p.strike(op)
	for i := len(struck) - 1; i >= 0; i-- {
		next, do := serve, struck[i]
		serve = func(w http.ResponseWriter, r *http.Request) { do(w, r, next) }
	}
	return serve
}

// strike throws the dice for one call.
func (p *Platform) strike(op Op) []Effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	var struck []Effect
	for _, f := range p.faults {
		if f.Op != op && f.Op != OpAny || f.Times > 0 && f.left == 0 || f.Rate > 0 && p.dice.Float64() >= f.Rate {
			continue
		}
		f.left--
		struck = append(struck, f.Do)
	}
	return struck
}
