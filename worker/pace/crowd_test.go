package pace

import (
	"slices"
	"testing"
	"time"
)

const debtor = 0.97

func TestColdAsksGrowByFour(t *testing.T) {
	t.Parallel()
	for _, first := range []time.Duration{0, 4 * time.Second, 20 * time.Millisecond} {
		var x Times
		c := Crowd{Awaited: 1, First: first}
		asked, want := time.Duration(0), c.first()
		for range 12 {
			age := c.Next(&x, debtor, asked).Age
			if want-asked > Longest {
				want = asked + Longest
			}
			if (age - want).Abs() > want/1000 {
				t.Fatalf("first %s: asked at %s, next at %s, want %s", first, asked, age, want)
			}
			x.Vain(asked, age)
			asked, want = age, 4*age
		}
	}
}

func TestALoneMediumIsAskedAboutAtAQuantile(t *testing.T) {
	t.Parallel()
	x := uniform()
	c := Crowd{Awaited: 1, Page: 100}
	for _, alpha := range []float64{0.6, 0.97} {
		s := c.Next(x, alpha, 0)
		if want := x.Quantile(alpha, 0); s.Age != want || s.Grid != 0 {
			t.Errorf("alpha %v: %+v, want %s", alpha, s, want)
		}
	}
	if s := c.Next(x, 0.6, 2*time.Minute); s.Age <= 2*time.Minute || s.Age > 8*time.Minute {
		t.Errorf("beyond all that is known: %s", s.Age)
	}
}

func TestACrowdIsAskedAboutTogether(t *testing.T) {
	t.Parallel()
	x := uniform()
	c := Crowd{Awaited: 100, Page: 100, Workers: 1}
	s := c.Next(x, debtor, 0)
	if s.Grid != 2*time.Second || s.Age < 14*time.Second || s.Age > 17*time.Second { // 20 s / (0.12 * 100) = 1.7 s
		t.Errorf("the first ask: %+v", s)
	}
	base := time.Unix(1_000_000_000, 0)
	for _, late := range []time.Duration{120 * time.Millisecond, 700 * time.Millisecond} {
		s = Crowd{Awaited: 100, Due: 20, Page: 100}.Next(x, debtor, 18*time.Second+late)
		if at := s.At(base).Sub(base); at != 20*time.Second {
			t.Errorf("a look at the list %s after the instant: the next one is at %s", late, at)
		}
	}
	for name, other := range map[string]Crowd{
		"the list is off":   {Awaited: 100},
		"few are awaited":   {Awaited: 9, Page: 100},
		"the reserve lacks": {Awaited: 100, Page: 100, Tight: true},
		"many workers":      {Awaited: 100, Page: 100, Workers: 12},
	} {
		if s := other.Next(x, debtor, 0); s.Grid != 0 {
			t.Errorf("%s, and yet %+v", name, s)
		}
	}
}

func TestATightReserveWaitsForCertainty(t *testing.T) {
	t.Parallel()
	x := uniform()
	for _, asked := range []time.Duration{0, 20 * time.Second} {
		s := Crowd{Awaited: 100, Page: 100, Tight: true}.Next(x, 0.6, asked)
		if p := x.DoneSince(asked, s.Age); p < 0.979 {
			t.Errorf("asked at %s, next at %s, where only %.3f are done", asked, s.Age, p)
		}
	}
	if s := (Crowd{Tight: true}).Next(&Times{}, 0.6, 0); s.Age < 4*DefaultFirst {
		t.Errorf("nothing is known, and it asks at %s", s.Age)
	}
}

func TestNextIsAlwaysLaterAndNeverTooLate(t *testing.T) {
	t.Parallel()
	var stuck Times
	for range 50 {
		stuck.Vain(0, 3*time.Hour)
	}
	for name, x := range map[string]*Times{"nothing": {}, "uniform": uniform(), "stuck": &stuck} {
		for _, awaited := range []int{0, 1, 100, 100_000} {
			for _, page := range []int{0, 100} {
				for _, asked := range []time.Duration{-time.Second, 0, time.Millisecond, time.Second, time.Minute, time.Hour, 100 * time.Hour} {
					c := Crowd{Awaited: awaited, Due: awaited / 3, Page: page, Workers: 3}
					s := c.Next(x, 0.6, asked)
					asked := max(0, asked)
					at := s.At(time.Unix(1_000_000_000, 123)).Sub(time.Unix(1_000_000_000, 123))
					if least := asked + min(max(DefaultFirst/8, asked/16), Longest-s.Grid); s.Age < least || at > asked+Longest {
						t.Errorf("%s known, %d awaited, page %d, asked at %s: next %+v, at %s", name, awaited, page, asked, s, at)
					}
				}
			}
		}
	}
}

func TestGridIsThePowerOfTwoNearestToTheSpacing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tau, want time.Duration }{
		{-time.Second, finest}, {0, finest}, {600 * time.Millisecond, finest},
		{time.Second, time.Second}, {1400 * time.Millisecond, time.Second}, {1500 * time.Millisecond, 2 * time.Second},
		{5 * time.Second, 4 * time.Second}, {6 * time.Second, 8 * time.Second}, {1000 * time.Hour, coarsest},
	} {
		if got := Grid(c.tau); got != c.want {
			t.Errorf("Grid(%s) is %s, want %s", c.tau, got, c.want)
		}
	}
}

func TestAlignUp(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return time.Unix(1_000_000_000, 0).Add(seconds(s)) }
	for _, c := range []struct {
		t, want float64
		grid    time.Duration
	}{
		{0.3, 0.3, 0}, {0, 0, time.Second}, {0.3, 1, time.Second}, {0.3, 0.5, finest}, {1, 2, 2 * time.Second}, {2, 2, 2 * time.Second},
	} {
		if got := AlignUp(at(c.t), c.grid); !got.Equal(at(c.want)) {
			t.Errorf("%v s, grid %s: %s, want %v s", c.t, c.grid, got.Sub(at(0)), c.want)
		}
	}
	elsewhere := time.FixedZone("east", 5*3600+1800)
	if a, b := AlignUp(at(0.3), coarsest), AlignUp(at(0.3).In(elsewhere), coarsest); !a.Equal(b) {
		t.Errorf("the grid depends on the zone: %s, %s", a, b)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pages   int
		chances []float64
		want    Way
	}{
		{1, nil, Singly},
		{1, []float64{0.2}, Singly},
		{1, []float64{0, 0}, ByList},
		{1, []float64{0.5, 0.5}, Singly},
		{1, []float64{0.4, 0.5}, ByList},
		{1, []float64{0.95, 0.95, 0.95, 0.95, 0.95}, Singly},
		{2, []float64{0.5, 0.5, 0.5}, Singly},
		{0, []float64{0, 0, 0}, Singly},
	} {
		if got := Choose(c.pages, c.chances); got != c.want {
			t.Errorf("%d pages, %v: %v, want %v", c.pages, c.chances, got, c.want)
		}
	}
}

func TestThrift(t *testing.T) {
	t.Parallel()
	var a Thrift
	steps := []struct {
		do   func()
		n    int
		want float64
	}{
		{a.Found, 0, 0.97}, {a.Found, 3, 0.97 - 0.37*1.05/2}, {a.Found, 100, 0.60}, {a.Vain, 1, 0.60}, {a.Vain, 1, 0.785},
		{a.Vain, 100, 0.97}, {a.Found, 8, 0.97}, {a.Found, 7, 0.60},
	}
	for i, s := range steps {
		for range s.n {
			s.do()
		}
		if got := a.Alpha(); got < s.want-1e-3 || got > s.want+0.08 {
			t.Errorf("step %d: alpha %.3f, want about %.3f", i, got, s.want)
		}
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size int64
		want string
	}{
		{-1, "DF-1.lt1MB"}, {0, "DF-1.lt1MB"}, {999_999, "DF-1.lt1MB"}, {1_000_000, "DF-1.lt10MB"},
		{99_999_999, "DF-1.lt100MB"}, {100_000_000, "DF-1.larger"},
	} {
		if got := ClassOf("DF-1", c.size).String(); got != c.want {
			t.Errorf("%d bytes: %s, want %s", c.size, got, c.want)
		}
	}
	got := Class{"DF-1", Below10MB}.Fallbacks()
	want := []Class{{"DF-1", Below100MB}, {"DF-1", Below1MB}, {"DF-1", Larger}}
	if !slices.Equal(got, want) {
		t.Errorf("in place of 10 MB: %v, want %v", got, want)
	}
}

// uniform knows results after 15 to 25 s.
func uniform() *Times {
	var x Times
	for i := range 200 {
		age := seconds(15 + float64(i%100)/10)
		x.Vain(0, age)
		x.Found(age, age+200*time.Millisecond)
	}
	return &x
}

func BenchmarkNext(b *testing.B) {
	x := uniform()
	c := Crowd{Awaited: 1000, Due: 100, Page: 100, Workers: 3}
	b.Run("lone", func(b *testing.B) {
		for b.Loop() {
			Crowd{Awaited: 1}.Next(x, 0.8, 0)
		}
	})
	b.Run("crowd", func(b *testing.B) {
		for b.Loop() {
			c.Next(x, 0.8, 20*time.Second)
		}
	})
	b.Run("unknown", func(b *testing.B) {
		for b.Loop() {
			c.Next(x, 0.97, 10*time.Minute)
		}
	})
}
