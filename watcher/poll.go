package watcher

import (
	"errors"
	"time"
)

// A Poll says which folders are read over and over, because the system's events cannot tell what happens in them: what
// another machine writes to a network share makes none. Above zero it is the time between two readings of every folder.
type Poll time.Duration

const (
	PollAuto  Poll = 0  // those on network and FUSE mounts, and those whose events prove to be missing
	PollNever Poll = -1 // none
)

// fastestPoll keeps a large share from being read without a pause.
const fastestPoll = Poll(time.Second)

// ParsePoll reads what String writes: auto, never, or an interval of at least a second. The error is what was wanted.
func ParsePoll(text string) (Poll, error) {
	switch text {
	case "auto":
		return PollAuto, nil
	case "never":
		return PollNever, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || Poll(d) < fastestPoll {
		return 0, errors.New("auto, never, or an interval of 1s or more, such as 30s")
	}
	return Poll(d), nil
}

// UnmarshalText is ParsePoll.
func (p *Poll) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePoll(string(text))
	return err
}

func (p Poll) String() string {
	switch p {
	case PollAuto:
		return "auto"
	case PollNever:
		return "never"
	}
	return time.Duration(p).String()
}

// every is the time between two readings of a folder that sends no events: if the settings do not say, it is short against
// how long a result takes, and long against reading a folder.
func (p Poll) every() time.Duration {
	if p.always() {
		return time.Duration(p)
	}
	return 10 * time.Second
}

// always reports whether all folders are polled.
func (p Poll) always() bool { return p > 0 }
