package watcher

import (
	"testing"
	"time"
)

func TestAPollIsAutoNeverOrAnIntervalOfASecondOrMore(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Poll{
		"auto": PollAuto, "never": PollNever, "1s": Poll(time.Second), "1m30s": Poll(90 * time.Second), "1h0m0s": Poll(time.Hour),
	} {
		got, err := ParsePoll(text)
		if err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
		var again Poll
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%q is written %q, which is %d, %v", text, got.String(), again, err)
		}
	}
	for _, text := range []string{"", "0", "0s", "999ms", "-1s", "10", "Auto", "always", "1s ", "1x"} {
		if got, err := ParsePoll(text); err == nil {
			t.Errorf("%q is taken as %s", text, got)
		}
	}
	if (Options{}).Poll != PollAuto {
		t.Error("auto is not the default")
	}
}
