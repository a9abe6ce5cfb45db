package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/cmd/authenta-ingest/monitor"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/watcher"
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

func TestFoldersMatterForReadinessOnlyIfAllAreMissingAndNothingElseBringsFiles(t *testing.T) {
	there := watcher.RootState{Path: "/a", Mode: watcher.ModeEvents}
	gone := watcher.RootState{Path: "/b", Mode: watcher.ModeMissing, Why: "no such file"}
	for name, c := range map[string]struct {
		roots []watcher.RootState
		alone bool
		ready bool
	}{
		"all there":                    {[]watcher.RootState{there, there}, true, true},
		"one missing":                  {[]watcher.RootState{there, gone}, true, true},
		"all missing":                  {[]watcher.RootState{gone, gone}, true, false},
		"all missing, but for subject": {[]watcher.RootState{gone, gone}, false, true},
	} {
		ready := !slices.ContainsFunc(folderChecks(c.roots, c.alone), func(c monitor.Check) bool { return c.Vital && !c.OK })
		if ready != c.ready {
			t.Errorf("%s: ready: %v, want %v", name, ready, c.ready)
		}
	}
	said := folderChecks([]watcher.RootState{gone, {Path: "/c", Mode: watcher.ModePolling, Why: "NFS"}, {Path: "/d", Mode: watcher.ModePolling, Why: "NFS", Unread: 3}}, true)
	for i, want := range []string{"not there (no such file): mount it", "read over and over: NFS", "3 files or folders in it could not be read"} {
		if !strings.Contains(said[i].Message, want) || said[i].OK != (i == 1) {
			t.Errorf("%+v, want %q", said[i], want)
		}
	}
}
