package worker

import (
	"testing"
	"time"
)

func TestNextPollIsHalfTheAgeWithinItsBounds(t *testing.T) {
	t.Parallel()
	const first = 2 * time.Second
	for _, c := range []struct{ age, want time.Duration }{
		{-time.Hour, first + time.Hour}, // a clock that was set back
		{0, first},
		{500 * time.Millisecond, first - 500*time.Millisecond},
		{first - 1, 1},
		{first, first},
		{4 * time.Second, 2 * time.Second},
		{10 * time.Second, 5 * time.Second},
		{time.Minute, 30 * time.Second},
		{4 * time.Minute, 2 * time.Minute},
		{time.Hour, 2 * time.Minute},
		{1000 * time.Hour, 2 * time.Minute},
	} {
		if got := nextPoll(c.age, first); got != c.want {
			t.Errorf("at the age of %s: %s, want %s", c.age, got, c.want)
		}
	}
}

func TestTheLagOfAResultIsAThirdOfItsTimeAndAtMostTwoMinutes(t *testing.T) {
	t.Parallel()
	const first = 2 * time.Second
	for _, result := range []time.Duration{2 * time.Second, 20 * time.Second, time.Minute, 30 * time.Minute} {
		polls, age := 0, time.Duration(0)
		for {
			age += nextPoll(age, first)
			polls++
			if age >= result {
				break
			}
		}
		lag := age - result
		t.Logf("a result after %s: %d polls, found %s late", result, polls, lag.Round(10*time.Millisecond))
		if lag > max(first, min(result/2, longestPause)) {
			t.Errorf("a result after %s is found %s late", result, lag)
		}
		if polls > 30 {
			t.Errorf("a result after %s takes %d polls", result, polls)
		}
	}
}

func TestPollsNeverStandStill(t *testing.T) {
	t.Parallel()
	for _, first := range []time.Duration{time.Millisecond, time.Second, time.Hour} {
		for age := time.Duration(0); age < 3*time.Hour; age += 7 * time.Second {
			if got := nextPoll(age, first); got <= 0 {
				t.Fatalf("first %s, age %s: %s", first, age, got)
			}
		}
	}
}
