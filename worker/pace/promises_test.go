package pace

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// shapes are how long results take; part is how much of the run is over when the file arrives.
var shapes = []struct {
	name    string
	latency func(*rand.Rand, float64) time.Duration
}{
	{"constant 60 s", func(*rand.Rand, float64) time.Duration { return time.Minute }},
	{"uniform 15-25 s", func(r *rand.Rand, _ float64) time.Duration { return seconds(15 + 10*r.Float64()) }},
	{"log-normal 20 s", func(r *rand.Rand, _ float64) time.Duration { return seconds(20 * math.Exp(r.NormFloat64())) }},
	{"bimodal 5/120 s", func(r *rand.Rand, _ float64) time.Duration {
		if r.Float64() < 0.8 {
			return 5 * time.Second
		}
		return 2 * time.Minute
	}},
	{"drifting 20-60 s", func(_ *rand.Rand, part float64) time.Duration { return seconds(20 + 40*part) }},
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func every(d time.Duration, n int) []time.Duration {
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = time.Duration(i) * d
	}
	return at
}

// patterns are the arrivals, and the calls per second that the cluster may make.
var patterns = []struct {
	name     string
	arrivals []time.Duration
	rate     float64
}{
	{"200 at once", every(0, 200), 50},
	{"200 at 5/s", every(200*time.Millisecond, 200), 50},
	{"5, one a minute", every(time.Minute, 5), 10},
	{"300, one in 20 s", every(20*time.Second, 300), 10},
}

// seeds is how many runs of each kind there are: each draws other latencies and has the grid lie elsewhere.
const seeds = 4

func simulate(shape, pattern, page, workers int, seed uint64) *simulation {
	s := &simulation{
		rng:      rand.New(rand.NewPCG(seed, 3)),
		latency:  shapes[shape].latency,
		arrivals: patterns[pattern].arrivals,
		rate:     patterns[pattern].rate,
		page:     page,
		workers:  workers,
		start:    time.Unix(1_000_000_000, int64(seed)*1_370_000_000),
	}
	s.run()
	return s
}

// TestTheMainPromiseIsNotLuck looks at many more places of the grid. Where a burst's last results come between two looks
// of ever fewer, the lag may be longer: in 8 of 200 runs of the 200 at once, and 1 of 200 of those at 5/s, when this was
// written.
func TestTheMainPromiseIsNotLuck(t *testing.T) {
	t.Parallel()
	const runs, mayBeLate = 20, 3
	for j := range 2 {
		row, late := tableRow{}, 0
		for seed := range uint64(runs) {
			s := simulate(1, j, 100, 1, seed)
			row.add(s)
			if s.perVerdict() > 1.2 {
				t.Errorf("%s, seed %d: %.3f calls per verdict", patterns[j].name, seed, s.perVerdict())
			}
			if s.lag(0.95) > 4700*time.Millisecond {
				late++
			}
		}
		t.Logf("%s: %s; p95 above 4.7 s in %d of %d", patterns[j].name, row, late, runs)
		if late > mayBeLate {
			t.Errorf("%s: a p95 lag above 4.7 s in %d of %d runs", patterns[j].name, late, runs)
		}
	}
}

// bounds returns the most calls per verdict and the greatest 95th percentile of the lag in every run; 0: any.
//
// Five files that know nothing of each other bring a credit of 1.75 calls. The first costs two (at 4 and 16 s), and
// where its result does not say how long the others take, those asked about beyond it cost one for each quadrupling
// of age: that is the price of finding out. 15 to 25 s lie on both sides of the second ask, which costs a third call in
// 2 runs of 100.
func bounds(shape, pattern string, page int) (calls float64, lag time.Duration) {
	switch {
	case shape == "uniform 15-25 s" && page > 0 && (pattern == "200 at once" || pattern == "200 at 5/s"):
		return 1.2, 4700 * time.Millisecond
	case pattern == "5, one a minute" && (shape == "log-normal 20 s" || shape == "bimodal 5/120 s"):
		return 2, 0
	case pattern == "5, one a minute" && shape == "uniform 15-25 s":
		return 1.6, 0
	}
	return 1.5, 0
}

func TestVerdictsCostNoMoreThanAnAccountAffords(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	fmt.Fprintf(&table, "seeds 0-%d; calls per verdict: mean, most; lag in seconds: means of p50, p95, max, greatest p95\n", seeds-1)
	for i, shape := range shapes {
		for j, pattern := range patterns {
			for _, page := range []int{100, 0} {
				row := tableRow{}
				for seed := range uint64(seeds) {
					s := simulate(i, j, page, 1, seed)
					row.add(s)
					calls, lag := bounds(shape.name, pattern.name, page)
					name := fmt.Sprintf("%s, %s, page %d, seed %d", shape.name, pattern.name, page, seed)
					if len(s.lags) != len(s.arrivals) {
						t.Errorf("%s: %d of %d results fetched", name, len(s.lags), len(s.arrivals))
					}
					if got := s.perVerdict(); got > calls {
						t.Errorf("%s: %.3f calls per verdict, want %.2f at most", name, got, calls)
					}
					if got := s.lag(0.95); lag > 0 && got > lag {
						t.Errorf("%s: a p95 lag of %s, want %s at most", name, got, lag)
					}
					if s.closest < 200*time.Millisecond {
						t.Errorf("%s: a medium was asked about again after %s", name, s.closest)
					}
				}
				fmt.Fprintf(&table, "%-17s %-16s list %-4s %s\n", shape.name, pattern.name, map[bool]string{true: "on", false: "off"}[page > 0], row)
			}
		}
	}
	t.Log(table.String())
}

type tableRow struct {
	runs          float64
	calls, most   float64
	p50, p95, max time.Duration
	worst         time.Duration
}

func (r *tableRow) add(s *simulation) {
	r.runs++
	r.calls += s.perVerdict()
	r.most = max(r.most, s.perVerdict())
	r.p50 += s.lag(0.5)
	r.p95 += s.lag(0.95)
	r.max += s.lag(1)
	r.worst = max(r.worst, s.lag(0.95))
}

func (r tableRow) String() string {
	mean := func(d time.Duration) float64 { return d.Seconds() / r.runs }
	return fmt.Sprintf("%.2f %.2f  %6.1f %6.1f %6.1f %6.1f", r.calls/r.runs, r.most, mean(r.p50), mean(r.p95), mean(r.max), r.worst.Seconds())
}

func TestSeveralWorkersThatLearnAloneStillAffordIt(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{2, 3} {
		for j := range 2 {
			row := tableRow{}
			for seed := range uint64(seeds) {
				s := simulate(1, j, 100, workers, seed)
				row.add(s)
				if len(s.lags) != len(s.arrivals) || s.perVerdict() > 1.5 {
					t.Errorf("%d workers, %s, seed %d: %.2f calls per verdict, %d results", workers, patterns[j].name, seed, s.perVerdict(), len(s.lags))
				}
			}
			t.Logf("%d workers, %s: %s", workers, patterns[j].name, row)
		}
	}
}

func TestTimesThatBecomeShorterAreNoticed(t *testing.T) {
	t.Parallel()
	s := simulation{
		rng: rand.New(rand.NewPCG(1, 3)), arrivals: every(20*time.Second, 600), rate: 10, page: 100, start: time.Unix(0, 0),
		latency: func(_ *rand.Rand, part float64) time.Duration {
			if part < 0.33 {
				return time.Minute
			}
			return 6 * time.Second
		},
	}
	s.run()
	last := s.lags[len(s.lags)-50:] // in the order they were fetched
	if worst := slices.Max(last); worst > 27*time.Second {
		t.Errorf("400 results after the change from 60 to 6 s the lag is %s, more than half of what it was then", worst)
	}
	t.Logf("%.2f calls per verdict, greatest lag of the last fifty %s", s.perVerdict(), slices.Max(last))
}
