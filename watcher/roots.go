package watcher

import "fmt"

// A Mode is how a watcher learns what happens in a folder.
type Mode string

// The modes.
const (
	ModeEvents  Mode = "events"  // the system tells it; safety scans make sure
	ModePolling Mode = "polling" // some folder in it, or all of it, is read over and over
	ModeMissing Mode = "missing" // the folder is not there, and is waited for; its files are not gone
)

// A RootState is how it is with a watched folder.
type RootState struct {
	Path   string // absolute
	Mode   Mode
	Why    string // for a person: why it is not ModeEvents; else empty
	Unread int    // files and folders in it that could not be looked at when they were last tried
}

// Roots tells of the watched folders, in the order of the options, each once. It may be called at any time, and waits for
// nothing. Until a folder was looked at for the first time, it is taken to be there.
func (w *Watcher) Roots() []RootState {
	states := make([]RootState, len(w.roots))
	for i, r := range w.roots {
		states[i] = RootState{Path: r.path, Mode: ModeEvents, Unread: int(r.unread.Load())}
		if s := r.shown.Load(); s != nil {
			states[i].Mode, states[i].Why = s.mode, s.why
		}
	}
	return states
}

// A showing is the part of a root's state that others see.
type showing struct {
	mode Mode
	why  string
}

// show has others see the root as it is now.
func (r *root) show() {
	s := showing{mode: ModeEvents}
	switch {
	case r.absence != nil:
		s = showing{ModeMissing, r.absence.Error()}
	case len(r.polled) > 0:
		s = showing{ModePolling, r.whyPolled()}
	}
	r.shown.Store(&s)
}

// whyPolled says for a person why folders of the root are polled.
func (r *root) whyPolled() string {
	refusal := r.events.refusal(r.path)
	switch {
	case r.Poll.always():
		return fmt.Sprintf("INGEST_POLL_DIRS=%s", r.Poll)
	case refusal != nil:
		return "some folders cannot be watched for events: " + advice(refusal)
	case r.silent.Load():
		return "events do not tell of new files in it"
	}
	return "it is on a network or FUSE mount, whose events do not tell what others write, or has one in it"
}
