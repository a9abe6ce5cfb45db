package pace

import (
	"math"
	"time"
)

// A Crowd is what else has to be known to say when to ask about one medium. Its zero value has one worker and no list.
type Crowd struct {
	Awaited int           // media whose results are awaited in the whole cluster, found ones that are not fetched yet among them
	Due     int           // of those, the ones that this process's last look at the list left unfinished; 0: not known
	Workers int           // processes in the cluster, each of which asks on its own
	Page    int           // media on a page of the list; 0: the list does not help
	First   time.Duration // age at the first ask when nothing is known; default DefaultFirst
	Tight   bool          // the Query reserve suffices for the verdicts only
}

const (
	// DefaultFirst is the age at the first ask when nothing is known: with a growth by four it finds both the images
	// that take seconds and the videos that take minutes within a few calls.
	DefaultFirst = 4 * time.Second
	// Longest is the longest time between two asks for one medium.
	Longest = 10 * time.Minute

	// pagesPerVerdict is what a verdict may cost beyond its own call while a crowd is awaited. With what a cold start takes,
	// 200 verdicts stay below 1.2 calls each; more makes them quicker (see the table of TestVerdictsCostNoMoreThanAnAccountAffords).
	pagesPerVerdict = 0.12
	// early is the part of a crowd that may be finished at its first ask; the lag of so few is not in the 95th percentile.
	early = 0.05
	// nearly is when hardly any are left: a look at the list later than that could as well be a call for each.
	nearly = 0.9
	// certain is how likely a result has to be there for a call that the Query reserve does not hold. It is more than
	// what a debtor needs, since such a call in vain costs somebody's verdict.
	certain = 0.98
	// leastGrowth and mostGrowth bound by how much the age grows from ask to ask where nothing is known. mostGrowth finds a
	// result of an hour with six asks; leastGrowth reaches from DefaultFirst to a minute with 13 looks, a third of
	// what 200 verdicts may cost, and so at a lag of a quarter.
	leastGrowth, mostGrowth = 1.25, 4.0
)

// A Step is when a medium is to be asked about next.
type Step struct {
	Age  time.Duration // no earlier than at this age
	Grid time.Duration // at an instant that is a multiple of this, so that it is due with the others; 0: at any
}

// At returns the instant at which a medium that was uploaded then is due.
func (s Step) At(uploaded time.Time) time.Time { return AlignUp(uploaded.Add(s.Age), s.Grid) }

// Ripe reports whether it is time at that age, or so nearly that it is not worth putting off.
func (s Step) Ripe(age time.Duration) bool { return s.Age <= age+age/32 }

// Next returns when to ask about a medium that was last asked about, in vain, at the age asked; 0: never. A call for it
// alone is made when its result is there with the chance alpha.
func (c Crowd) Next(t *Times, alpha float64, asked time.Duration) Step {
	asked = max(0, asked)
	s, ok := c.together(t, asked)
	if !ok {
		s = Step{Age: c.alone(t, alpha, asked)}
	}
	soonest := max(c.first()/8, asked/16) // within less than a bin there is nothing new to learn
	s.Age = asked + min(max(soonest, s.Age-asked), Longest-s.Grid)
	return s
}

// alone returns the age at which the result is there with the chance alpha, as far as is known.
func (c Crowd) alone(t *Times, alpha float64, asked time.Duration) time.Duration {
	edge := max(asked, t.Edge())
	switch {
	case c.Tight:
		if edge == 0 {
			asked = c.first()
		}
		return t.Quantile(max(alpha, certain), asked)
	case edge == 0:
		return c.first()
	}
	age := t.Quantile(alpha, asked)
	if age > edge { // nobody knows what is there: one goes ahead for all
		growth := min(mostGrowth, max(leastGrowth, 1+c.yield(1, c.Awaited)))
		age = min(age, time.Duration(float64(edge)*growth))
	}
	return age
}

// together returns when a look at the list is due that tells of this medium among others. It returns false if there are
// too few of them to pay for it.
func (c Crowd) together(t *Times, asked time.Duration) (Step, bool) {
	least := c.yield(c.Pages(), c.Awaited)
	if c.Page <= 0 || c.Tight || least > nearly {
		return Step{}, false
	}
	if asked == 0 && t.Edge() == 0 {
		return Step{c.first(), Grid(c.first() / 4)}, true
	}
	tau := c.spacing(t, asked)
	if asked == 0 {
		return Step{t.Quantile(min(early, least), 0), Grid(tau)}, true
	}
	due := c.Due
	if due == 0 {
		due = c.Awaited
	}
	part := float64(c.Pages()) / (pagesPerVerdict * float64(due))
	if !t.cold() {
		if 2*due <= c.Awaited || part > nearly { // a stream: others become due, too
			part = nearly
		}
		tau = min(tau, t.Quantile(part, asked)-asked)
	}
	g := Grid(tau)
	return Step{asked + g/4, g}, true // the next instant, even if the last look was a little late
}

// yield returns the part of so many media that has to be found finished for calls, made by each worker, to be paid.
func (c Crowd) yield(calls, media int) float64 {
	return float64(calls*max(1, c.Workers)) / (pagesPerVerdict * float64(max(1, media)))
}

// spacing returns the time between two looks at the list that is paid for by the verdicts of a steady stream: of those
// awaited, as many come in the mean time of one.
func (c Crowd) spacing(t *Times, asked time.Duration) time.Duration {
	reach := float64(max(t.Mean(), asked))
	part := c.yield(c.Pages(), c.Awaited)
	if t.cold() {
		part = max(part, leastGrowth-1)
	}
	return time.Duration(reach * part)
}

// Pages returns how many pages of the list the crowd fills; 0: the list does not help.
func (c Crowd) Pages() int {
	if c.Page <= 0 {
		return 0
	}
	return max(1, (c.Awaited+c.Page-1)/c.Page)
}

func (c Crowd) first() time.Duration {
	if c.First <= 0 {
		return DefaultFirst
	}
	return c.First
}

// finest and coarsest bound the grid: a look at the list takes about as long as the finest, and a medium that waits for
// the coarsest is still asked about within Longest.
const finest, coarsest = time.Second / 2, 256 * time.Second

// Grid returns the power of two of seconds that is nearest to tau, within half a second and some minutes. Grids of
// several sizes meet, in whatever order and process they are chosen.
func Grid(tau time.Duration) time.Duration {
	g := finest
	for g < coarsest && float64(g)*math.Sqrt2 < float64(tau) {
		g *= 2
	}
	return g
}

// AlignUp returns the first multiple of grid that is not before t. All processes find the same ones, as far as their
// clocks agree.
func AlignUp(t time.Time, grid time.Duration) time.Time {
	down := t.Truncate(grid)
	if down.Before(t) && grid > 0 {
		return down.Add(grid)
	}
	return down
}
