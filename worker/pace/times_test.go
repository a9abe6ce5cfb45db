package pace

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// within1Bin reports whether two ages are at most as far apart as the ends of a bin.
func within1Bin(a, b time.Duration) bool {
	return math.Abs(position(a)-position(b)) <= 1
}

func TestPositionsAndAgesAreInverse(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{0, time.Microsecond, shortest, 20 * time.Millisecond, time.Second, time.Hour, 4 * time.Hour} {
		if back := ageAt(position(age)); (back - age).Abs() > age/1e6+1 {
			t.Errorf("%s becomes %s", age, back)
		}
	}
	if p := position(math.MaxInt64); p != bins {
		t.Errorf("the longest age lies at %v of %d bins", p, bins)
	}
	if p := position(-time.Hour); p != 0 {
		t.Errorf("a negative age lies at %v", p)
	}
}

func TestNothingKnown(t *testing.T) {
	t.Parallel()
	var empty Times
	if empty.Done(time.Hour) != 0 || empty.Mean() != 0 || empty.Edge() != 0 || empty.Results() != 0 {
		t.Errorf("an empty class claims to know: done %v, mean %s, edge %s", empty.Done(time.Hour), empty.Mean(), empty.Edge())
	}
}

func TestOneResultIsSpreadOverTheLastTwoDoublings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lo, hi, from time.Duration }{
		{0, time.Minute, 15 * time.Second},
		{20 * time.Second, time.Minute, 20 * time.Second},
		{time.Second, time.Minute, 15 * time.Second},
	} {
		var x Times
		x.Found(c.lo, c.hi) // even if the ask at lo was noted elsewhere
		if p := x.Done(c.from); p > 0.05 {
			t.Errorf("(%s, %s]: %.2f done at %s", c.lo, c.hi, p, c.from)
		}
		middle := time.Duration(math.Sqrt(float64(c.from) * float64(c.hi)))
		if p := x.Done(middle); math.Abs(p-0.5) > 0.05 {
			t.Errorf("(%s, %s]: %.2f done at %s, in the middle", c.lo, c.hi, p, middle)
		}
		if p := x.Done(c.hi + c.hi/8); p < 0.99 {
			t.Errorf("(%s, %s]: %.2f done at the end", c.lo, c.hi, p)
		}
	}
}

func TestSomeAskedInVainTellThatFewAreDone(t *testing.T) {
	t.Parallel()
	var x Times
	for range 3 {
		x.Vain(0, 10*time.Second)
	}
	if x.Done(9*time.Second) != 0 || !within1Bin(x.Edge(), 10*time.Second) {
		t.Errorf("nobody was finished at 10 s, but %.2f are done, and the edge is %s", x.Done(9*time.Second), x.Edge())
	}
	x.Found(0, 10*time.Second)
	if p := x.Done(10 * time.Second); math.Abs(p-0.25) > 0.05 {
		t.Errorf("one of four was finished at 10 s, but %.2f are done", p)
	}
}

func TestLearnedTimesComeNearTheTruth(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var x Times
	for range 300 { // each asked about every 2 s until found
		truth := seconds(15 + 10*rng.Float64())
		lo := time.Duration(0)
		for hi := 2 * time.Second; ; hi += 2 * time.Second {
			if hi >= truth {
				x.Found(lo, hi)
				break
			}
			x.Vain(lo, hi)
			lo = hi
		}
	}
	for _, c := range []struct{ p, want float64 }{{0.1, 16}, {0.5, 20}, {0.9, 24}} {
		if got := x.Quantile(c.p, 0); math.Abs(got.Seconds()-c.want) > 1.5 {
			t.Errorf("the %v quantile is %s, want %v s", c.p, got, c.want)
		}
	}
	if got := x.Quantile(0.5, 20*time.Second); math.Abs(got.Seconds()-22.5) > 1.5 {
		t.Errorf("half of those that take more than 20 s are done at %s", got)
	}
	if m := x.Mean().Seconds(); math.Abs(m-20) > 1.5 {
		t.Errorf("the mean is %v s", m)
	}
	if n := x.asked[0]; n > memory+1e-6 {
		t.Errorf("%v asks are remembered, more than %d", n, memory)
	}
}

func TestQuantileAndDoneSinceAreInverse(t *testing.T) {
	t.Parallel()
	var x Times
	for _, d := range []time.Duration{3, 5, 9, 20, 70} {
		x.Found(d*time.Second/2, d*time.Second)
		x.Vain(0, d*time.Second/2)
	}
	for _, asked := range []time.Duration{0, time.Second, 10 * time.Second, 100 * time.Second} {
		for _, p := range []float64{0.01, 0.3, 0.6, 0.97} {
			age := x.Quantile(p, asked)
			if age < asked {
				t.Errorf("the %v quantile after %s is %s", p, asked, age)
			}
			if got := x.DoneSince(asked, age); math.Abs(got-p) > 1e-3 {
				t.Errorf("the %v quantile after %s is %s, where %v are done", p, asked, age, got)
			}
		}
	}
}

func TestTablesOfSeveralProcessesAddUp(t *testing.T) {
	t.Parallel()
	var one, a, b Learned
	for i := range 40 {
		d := seconds(10 + float64(i))
		for _, l := range []*Learned{&one, []*Learned{&a, &b}[i%2]} {
			l.Vain(0, d-2*time.Second, false)
			l.Found(d-2*time.Second, d)
		}
	}
	var record Times
	for _, l := range []*Learned{&a, &b} {
		news := l.Take()
		l.GiveBack(&news) // the write failed
		news = l.Take()
		record.Add(&news)
	}
	a.Load(&record)
	for _, p := range []float64{0.1, 0.5, 0.9} {
		if got, want := a.Times().Quantile(p, 0), one.Times().Quantile(p, 0); !within1Bin(got, want) {
			t.Errorf("the %v quantile of two processes is %s, of one %s", p, got, want)
		}
	}
	if again := a.Take(); again != (Times{}) {
		t.Error("what was added to the record is news still")
	}
}

func TestTimesKeepOverJSON(t *testing.T) {
	t.Parallel()
	var x Times
	for i := range 500 {
		d := seconds(5 + 10*math.Abs(math.Sin(float64(i))))
		x.Vain(0, d/2)
		x.Found(d/2, d)
	}
	data, err := json.Marshal(&x)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 2000 {
		t.Errorf("a record of %d bytes", len(data))
	}
	var y Times
	if err := json.Unmarshal(data, &y); err != nil {
		t.Fatal(err)
	}
	for _, p := range []float64{0.05, 0.5, 0.97} {
		if a, b := x.Quantile(p, 0), y.Quantile(p, 0); math.Abs(float64(a-b)) > 0.01*float64(a) {
			t.Errorf("the %v quantile becomes %s from %s", p, b, a)
		}
	}
}

func TestRecordOfTimes(t *testing.T) {
	t.Parallel()
	var x Times
	x.Vain(0, 4*time.Second)
	x.Vain(4*time.Second, 16*time.Second)
	x.Found(16*time.Second, 20*time.Second)
	data, err := json.Marshal(&x)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/times.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(data) + "\n"; got != string(golden) {
		t.Errorf("the record is now\n%sand was\n%s", got, golden)
	}
}

func TestImpossibleRecordsAreRefused(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		``, `[]`, `{}`, `{"v":2,"bins":[]}`,
		`{"v":1,"bins":[[0,-1,1]]}`, `{"v":1,"bins":[[0,0,-1]]}`, `{"v":1,"bins":[[0,1e300,1]]}`, `{"v":1,"bins":[[0,0,1e9]]}`,
		`{"v":1,"bins":[[161,0,1]]}`, `{"v":1,"bins":[[-1,0,1]]}`, `{"v":1,"bins":[[1.5,0,1]]}`, `{"v":1,"bins":[[1e300,0,1]]}`,
		`{"v":1,"bins":[[5,0,1],[5,0,1]]}`, `{"v":1,"bins":[[5,0,1],[4,0,1]]}`, `{"v":1,"bins":[["5",0,1]]}`,
	} {
		var x Times
		x.Found(time.Second, 2*time.Second)
		before := x
		if err := json.Unmarshal([]byte(data), &x); err == nil {
			t.Errorf("%s is taken", data)
		}
		if x != before {
			t.Errorf("%s is refused, but has changed the times", data)
		}
	}
}

// FuzzTimes reads what others wrote: whatever is taken has to be usable, and to keep when written again.
func FuzzTimes(f *testing.F) {
	f.Add([]byte(`{"v":1,"bins":[[40,0.5,1],[41,0.5,0.5],[42,0,0]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var x Times
		if json.Unmarshal(data, &x) != nil {
			return
		}
		use := func(x *Times) {
			for _, n := range slices.Concat(x.found[:], x.asked[:]) {
				if !(n >= 0 && n <= memory+1e-6) {
					t.Fatalf("it has the number %v", n)
				}
			}
			for _, asked := range []time.Duration{0, time.Second, time.Hour, 10 * time.Hour} {
				if p := x.DoneSince(asked, asked+time.Minute); !(p >= 0 && p <= 1) {
					t.Fatalf("a chance of %v", p)
				}
				for _, page := range []int{0, 100} {
					s := Crowd{Awaited: 300, Page: page}.Next(x, 0.6, asked)
					if s.Age <= asked || s.Age > asked+Longest {
						t.Fatalf("asked at %s, next at %s", asked, s.Age)
					}
				}
			}
			if m := x.Mean(); m < 0 || m > 5*time.Hour {
				t.Fatalf("a mean of %s", m)
			}
		}
		use(&x)
		again, err := json.Marshal(&x)
		if err != nil {
			t.Fatal(err)
		}
		var y Times
		if err := json.Unmarshal(again, &y); err != nil {
			t.Fatalf("what it wrote itself is refused: %v\n%s", err, again)
		}
		y.Vain(0, time.Minute)
		y.Found(time.Second, time.Minute)
		y.Add(&x)
		use(&y)
	})
}
