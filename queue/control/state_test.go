package control

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestTheSameAnswerDoublesTheWaitUpToTheCap(t *testing.T) {
	t.Parallel()
	const s, m, h = time.Second, time.Minute, time.Hour
	for why, want := range map[Why][]time.Duration{
		Quota:           {m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, h, h},
		Credits:         {m, 2 * m},
		Unauthenticated: {m, 2 * m},
		Forbidden:       {m, 2 * m},
		Throttled:       {10 * s, 20 * s, 40 * s},
		Outage:          {2 * s, 4 * s, 8 * s, 16 * s, 32 * s, m, m},
	} {
		var state State
		for i, wait := range want {
			state = state.refused(Refusal{Call: Create, Why: why}, "a", noon, 0)
			if state.Wait != wait || !state.Until.Equal(noon.Add(wait)) || !state.Since.Equal(noon) || state.Probes != i {
				t.Errorf("%s, answer %d: %+v, want to wait %s", why, i+1, state, wait)
			}
			state = state.probed("b", noon)
		}
	}
}

func TestJitterLengthensTheWaitAndDoesNotAddUp(t *testing.T) {
	t.Parallel()
	var state State
	for _, wait := range []time.Duration{time.Minute, 2 * time.Minute} {
		state = state.refused(Refusal{Call: Create, Why: Quota}, "a", noon, 0.1)
		if want := noon.Add(wait * 11 / 10); !state.Until.Equal(want) {
			t.Errorf("until %s, want %s", state.Until, want)
		}
	}
}

func TestAnotherReasonStartsAnew(t *testing.T) {
	t.Parallel()
	state := State{}.refused(Refusal{Call: Create, Why: Quota}, "a", noon, 0)
	state = state.refused(Refusal{Call: Create, Why: Quota}, "a", noon, 0)
	later := noon.Add(time.Hour)
	state = state.probed("a", later).refused(Refusal{Call: Create, Why: Credits, Code: "U007", Message: "no"}, "a", later, 0)
	want := State{
		Why: Credits, Code: "U007", Message: "no", Call: Create, Since: later, At: later,
		Until: later.Add(time.Minute), Wait: time.Minute, Probes: 1, By: "a",
	}
	if state != want {
		t.Errorf("%+v\nwant %+v", state, want)
	}
}

func TestWhatThePlatformAsksForIsObeyed(t *testing.T) {
	t.Parallel()
	for _, asked := range []time.Duration{7 * time.Second, time.Second, time.Hour} {
		state := State{}.refused(Refusal{Call: Query, Why: Throttled, RetryAfter: asked}, "a", noon, 0)
		if !state.Until.Equal(noon.Add(asked)) {
			t.Errorf("until %s, asked for %s", state.Until, asked)
		}
	}
}

func TestWhatIsSpentIsNotProbed(t *testing.T) {
	t.Parallel()
	if s := (State{}).refused(Refusal{Call: Create, Why: Spent}, "a", noon, 0.1); !s.Until.IsZero() || s.Wait != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAHoldAndAClosureEndForThemselves(t *testing.T) {
	t.Parallel()
	closed := State{}.refused(Refusal{Call: Create, Why: Quota}, "a", noon, 0)
	both := closed.held("maintenance", "b", noon, time.Hour)
	if s := both.opened("", "c", noon); s.Closed() || s.Hold == nil || s.Hold.Message != "maintenance" {
		t.Errorf("opened: %+v", s)
	}
	if s := both.lifted("c", noon); s.Hold != nil || s.Why != Quota || !s.Until.Equal(closed.Until) {
		t.Errorf("lifted: %+v", s)
	}
	if s := both.refused(Refusal{Call: Create, Why: Credits}, "c", noon, 0); s.Hold == nil {
		t.Errorf("refused: %+v", s)
	}
}

func TestATimeInARecordIsNeverLongerThanItMeant(t *testing.T) {
	t.Parallel()
	s := State{At: noon, Until: noon.Add(time.Hour)}
	for _, c := range []struct {
		name  string
		here  time.Time
		fresh bool
		want  time.Duration
	}{
		{"heard at once", noon, true, time.Hour},
		{"heard at once, by a clock a day ahead", noon.Add(24 * time.Hour), true, time.Hour},
		{"heard at once, by a clock a day behind", noon.Add(-24 * time.Hour), true, time.Hour},
		{"read after a restart", noon.Add(20 * time.Minute), false, 40 * time.Minute},
		{"read when it is over", noon.Add(2 * time.Hour), false, 0},
		{"read by a clock that was set back", noon.Add(-5 * time.Hour), false, time.Hour},
	} {
		if got := s.left(s.Until, c.here, c.fresh); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTheRefusedKeysStayNotedWhenOthersOpenTheGate(t *testing.T) {
	t.Parallel()
	closed := State{}.refused(Refusal{Call: Create, Why: Unauthenticated, Keys: "old"}, "a", noon, 0)
	if s := closed.opened("new", "b", noon); s.Refused != "old" {
		t.Errorf("opened with other keys: %+v", s)
	}
	if s := closed.opened("old", "b", noon); s.Refused != "" {
		t.Errorf("opened with the same keys: %+v", s)
	}
}
