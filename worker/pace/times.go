package pace

import (
	"math"
	"time"
)

const (
	// perOctave bins double the age: a bin is 9 % wide, so what is known to a bin costs a lag of 9 % at most.
	perOctave = 8
	// shortest is the end of the first bin: 2^-6 s = 15.6 ms, less than any answer takes over a network.
	shortest = time.Second / 64
	// bins reach from there to 2^14 s = 4.5 h, many times the platform's longest time-out (30 min).
	bins = 1 + 20*perOctave
	// memory is how many asks are remembered: enough for a 97 % quantile, few enough to follow a day's changes.
	memory = 200
	// unknown is the part of all asks below which those of a bin tell nothing: one of memory, or the far end of a
	// single one that was spread.
	unknown = 0.005
	// beyond is the chance that a result comes within a bin of which nothing is known. It belongs to a distribution
	// whose rest is halved twice with each doubling of age: asking at its 60 % quantile makes the age grow by half.
	beyond = 0.159 // 1 - 2^(-2/perOctave)
	// leak is the share of a result's weight that is spread as if nothing were known, so that times which have become
	// shorter are noticed: what is found at the first ask does not say so.
	leak = 0.02
)

// Times is what was learned about how long the results of one class of media take. The zero value knows nothing.
//
// It is a life table: for each of a row of ages, how many were asked about beyond it, and how many of them were found
// finished there. Unlike a histogram of results it is not misled while the slow ones are still awaited, and every ask
// adds to it on its own: tables that several processes filled are simply added up.
type Times struct {
	found [bins]float64 // results
	asked [bins]float64 // media known to have come so far, and to have passed the bin or ended in it; or a part of it
	most  float64       // of asked
	last  int           // the last bin that is known
}

// position returns where an age lies: the whole part is its bin, the fraction how far into it.
func position(age time.Duration) float64 {
	switch {
	case age <= 0:
		return 0
	case age <= shortest:
		return float64(age) / float64(shortest)
	}
	return min(bins, 1+perOctave*math.Log2(float64(age)/float64(shortest)))
}

// ageAt is the inverse of position.
func ageAt(position float64) time.Duration {
	if position <= 1 {
		return time.Duration(max(0, position) * float64(shortest))
	}
	return time.Duration(float64(shortest) * math.Exp2((position-1)/perOctave))
}

// span calls visit for each bin between two positions, with the part of it that lies between them, until visit
// returns false.
func span(from, to float64, visit func(bin int, u, v float64) bool) {
	for b := int(from); b < bins && float64(b) < to; b++ {
		u, v := max(0, from-float64(b)), min(1, to-float64(b))
		if v > u && !visit(b, u, v) {
			return
		}
	}
}

// Vain notes an ask at the age hi that found no result, after one at the age lo; 0: there was none.
func (t *Times) Vain(lo, hi time.Duration) {
	span(position(lo), position(hi), func(b int, u, v float64) bool {
		t.asked[b] += v - u
		return true
	})
	t.forget()
}

// Found notes an ask at the age hi that found the result, after one in vain at the age lo; 0: there was none.
func (t *Times) Found(lo, hi time.Duration) {
	e := t.result(lo, hi)
	t.Add(&e)
}

// result returns the table of one result. When between lo and hi it came is not known: it is spread over that time
// in proportion to what t knows of it, or else evenly over the last two doublings of age.
func (t *Times) result(lo, hi time.Duration) Times {
	const least = 1.0 / 64 // of a bin, should lo and hi be the same
	to := max(position(hi), least)
	from := max(0, min(position(lo), to-least))
	even := max(from, to-2*perOctave)

	var e Times
	known := t.chances(&e.found, from, to)
	share := leak
	if known < 1e-6 {
		share, known = 1, 1
	}
	rest := 1.0
	span(from, to, func(b int, u, v float64) bool {
		e.found[b] *= (1 - share) / known
		if in := min(v, to-float64(b)) - max(u, even-float64(b)); in > 0 {
			e.found[b] += share * in / (to - even)
		}
		e.asked[b] = e.found[b] + max(0, rest-e.found[b])*(v-u)
		rest -= e.found[b]
		return true
	})
	return e
}

// chances sets, for each bin between two positions, the chance that a result comes in it which has not come before from.
// It returns their sum. Bins of which nothing is known have none.
func (t *Times) chances(chance *[bins]float64, from, to float64) (sum float64) {
	tail := t.tail()
	alive := 1.0
	span(from, to, func(b int, u, v float64) bool {
		if t.known(b) {
			chance[b] = alive * within(t.hazard(b, tail), u, v)
			alive -= chance[b]
		}
		return true
	})
	return 1 - alive
}

// Add adds what another table knows.
func (t *Times) Add(o *Times) {
	for b := range bins {
		t.found[b] += o.found[b]
		t.asked[b] += o.asked[b]
	}
	t.forget()
}

// forget makes room for what comes next, by taking from all that is known alike, and keeps most and last.
func (t *Times) forget() {
	t.most, t.last = 0, 0
	for _, n := range t.asked {
		t.most = max(t.most, n)
	}
	for b := range bins {
		if t.most > memory {
			t.found[b] *= memory / t.most
			t.asked[b] *= memory / t.most
		}
	}
	t.most = min(t.most, memory)
	for b := range bins {
		if t.known(b) {
			t.last = b
		}
	}
}

func (t *Times) known(b int) bool { return t.asked[b] > unknown*t.most }

// Results returns how many results it knows of; old ones count for less and less.
func (t *Times) Results() float64 {
	n := 0.0
	for _, f := range t.found {
		n += f
	}
	return n
}

// cold reports whether no result was ever found.
func (t *Times) cold() bool { return t.Results() < 0.5 }

// Edge returns the age up to which anything is known: nobody has asked beyond it.
func (t *Times) Edge() time.Duration {
	switch {
	case t.most == 0:
		return 0
	case t.found[t.last] > 0:
		return ageAt(float64(t.last + 1))
	}
	return ageAt(float64(t.last) + min(1, t.asked[t.last]))
}

// hazard returns the chance that a result which has not come before a bin comes in it; tail is that of the bins beyond
// the edge.
func (t *Times) hazard(b int, tail float64) float64 {
	switch {
	case t.most == 0 || b > t.last:
		return tail
	case !t.known(b):
		return 0 // those that were asked about later had passed it
	}
	return min(1, t.found[b]/t.asked[b])
}

// tail returns the hazard of the bins beyond the edge: that of the last ones before it, because what has begun to come
// goes on coming.
func (t *Times) tail() float64 {
	found, asked := 0.0, 0.0
	for b := t.last; b >= 0 && b > t.last-perOctave/2; b-- {
		found += t.found[b]
		asked += t.asked[b]
	}
	if asked == 0 {
		return beyond
	}
	return max(beyond, min(1, found/asked))
}

// within returns the chance that a result which has not come before u comes before v, both being parts of one bin of
// that hazard; inside a bin all times are alike.
func within(hazard, u, v float64) float64 {
	if hazard <= 0 || u >= 1 {
		return 0
	}
	return min(1, hazard*(v-u)/(1-hazard*u))
}

// Done returns the chance that a result is there at an age.
func (t *Times) Done(age time.Duration) float64 { return t.DoneSince(0, age) }

// DoneSince returns the chance that a result is there at an age, if it was not there at the age asked. It is 0 if nothing
// is known.
func (t *Times) DoneSince(asked, age time.Duration) float64 {
	if t.most == 0 {
		return 0
	}
	tail := t.tail()
	alive := 1.0
	span(position(asked), position(age), func(b int, u, v float64) bool {
		alive *= 1 - within(t.hazard(b, tail), u, v)
		return alive > 0
	})
	return 1 - alive
}

// Quantile returns the age at which a result is there with the chance p, if it was not there at the age asked. It is
// never less than asked. Where nothing is known it supposes the worst that is likely: see beyond.
func (t *Times) Quantile(p float64, asked time.Duration) time.Duration {
	tail := t.tail()
	at, alive := float64(bins), 1.0
	span(position(asked), bins, func(b int, u, v float64) bool {
		h := t.hazard(b, tail)
		done := within(h, u, v)
		if alive*(1-done) > 1-p {
			alive *= 1 - done
			return true
		}
		missing := 1 - (1-p)/alive // of those still awaited, the part to come before the quantile
		at = float64(b) + min(v, u+missing*(1-h*u)/h)
		return false
	})
	return max(asked, ageAt(at))
}

// Mean returns how long a result takes; what is not known to have come is counted at the edge.
func (t *Times) Mean() time.Duration {
	tail := t.tail()
	edge := t.Edge()
	mean, alive := 0.0, 1.0
	span(0, position(edge), func(b int, u, v float64) bool {
		p := alive * within(t.hazard(b, tail), u, v)
		mean += p * float64(ageAt(float64(b)+0.5))
		alive -= p
		return alive > 0
	})
	return time.Duration(mean + alive*float64(edge))
}
