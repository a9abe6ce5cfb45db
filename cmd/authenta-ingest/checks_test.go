package main

import (
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/queue/control"
)

func TestEveryPauseIsToldWithWhatToDo(t *testing.T) {
	for _, why := range []control.Why{
		control.Quota, control.Credits, control.Unauthenticated, control.Forbidden, control.Throttled, control.Outage, control.Spent,
	} {
		s := control.State{Why: why}
		err := paused(control.GateStatus{Paused: true, State: s})
		if todo := remedy(s); todo == "" || err == nil || !strings.HasSuffix(err.Error(), todo) || !strings.HasPrefix(err.Error(), "paused "+string(why)) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if err := paused(control.GateStatus{}); err != nil {
		t.Errorf("a gate that is open: %v", err)
	}
	held := control.GateStatus{Paused: true, State: control.State{Hold: &control.Hold{Message: "night"}}}
	if err := paused(held); err == nil || !strings.Contains(err.Error(), "night") || !strings.Contains(err.Error(), "resume' ends it") {
		t.Errorf("held by hand: %v", err)
	}
	if err := paused(control.GateStatus{Paused: true, WaitsFor: "polls"}); err == nil || !strings.Contains(err.Error(), "because polls are") {
		t.Errorf("waits for polls: %v", err)
	}
}
