package monitor

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// lookEvery is how often it is looked at whether a process that starts is ready by now.
	lookEvery = time.Second
	// tellEvery is how often it is looked at whether something else is to be told than before.
	tellEvery = 10 * time.Second
	// extension is for how long systemd is asked to wait on; it is asked again in good time.
	extension = 3 * tellEvery
	// closing is how long a process may take to end when its time to drain is over.
	closing = 30 * time.Second
	// hangUp is how long systemd may take to read what is the last that it is told.
	hangUp = time.Second
)

// Notify tells systemd how the process is, until Close: that it is ready, what it does, that it is alive, as often as systemd
// wants to know, and that it stops. A start that takes long is waited for, and a stop for as long as it may take to drain. If
// it is not systemd that has started the process, or it does not want to know, nothing is done.
func (m *Monitor) Notify(drain time.Duration) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.o.Log.Warn("systemd will not be told that the process is alive", "error", err)
	}
	if every > 0 {
		m.notifiers.Go(func() { m.watchdog(min(every/2, aliveEvery)) })
	}
	n := notifier{m: m, drain: drain}
	m.notifiers.Go(n.run)
}

// aliveEvery is how often systemd is told so at least: a loop that stood still for a while and turns again is to be seen in time.
const aliveEvery = 10 * time.Second

// watchdog tells systemd that the process is alive, as long as it is.
func (m *Monitor) watchdog(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for was := true; ; {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		h := m.Health()
		if h.Healthy {
			m.notify(daemon.SdNotifyWatchdog)
		} else if was {
			m.o.Log.Error("systemd is not told any more that the process is alive: it will start it anew", "why", failing(h.Checks))
		}
		was = h.Healthy
	}
}

// notify sends systemd some lines.
func (m *Monitor) notify(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		m.unheard.Do(func() { m.o.Log.Warn("systemd cannot be told how the process is", "error", err) })
	}
}

// A notifier tells systemd what a process does. Only its goroutine touches it.
type notifier struct {
	m     *Monitor
	drain time.Duration

	ready    bool      // it was said that the process is ready
	stopping time.Time // when it was said that it stops; zero: it was not
	status   string    // what was said last
	extended time.Time // when systemd was last asked to wait on
}

func (n *notifier) run() {
	for {
		n.tell()
		wait := tellEvery
		if !n.ready {
			wait = lookEvery
		}
		select {
		case <-n.m.ctx.Done():
			n.tell() // that it stops, if there was no time to say so
			return
		case <-n.m.changed:
		case <-time.After(wait):
		}
	}
}

// tell says what is news.
func (n *notifier) tell() {
	var lines []string
	r := n.m.Readiness(n.m.ctx)
	at, _, _ := n.m.now()
	switch {
	case at == stopping && n.stopping.IsZero():
		n.stopping = time.Now()
		n.extended = time.Time{}
		lines = append(lines, daemon.SdNotifyStopping)
	case r.Ready && !n.ready:
		n.ready = true
		lines = append(lines, daemon.SdNotifyReady)
	}
	if status := summary(r); status != n.status {
		n.status = status
		lines = append(lines, "STATUS="+status)
	}
	if n.busy() && time.Since(n.extended) >= tellEvery {
		n.extended = time.Now()
		lines = append(lines, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extension.Microseconds()))
	}
	if len(lines) > 0 {
		n.m.notify(lines...)
	}
}

// busy reports whether systemd has to wait on: for the start, or for the end, if that takes no longer than it may.
func (n *notifier) busy() bool {
	if !n.stopping.IsZero() {
		return time.Since(n.stopping) < n.drain+closing
	}
	return !n.ready
}

// summary is what a person is told by one line.
func summary(r Readiness) string {
	switch failing := failing(r.Checks); {
	case !r.Ready && r.Checks[0].Name == daemonCheck && !r.Checks[0].OK:
		return r.Checks[0].Message // it starts or stops
	case !r.Ready:
		return "not ready: " + failing
	case failing != "":
		return "working, but " + failing
	}
	return "working"
}

// failing are the checks that have failed, on one line.
func failing(checks []Check) string {
	var all []string
	for _, c := range checks {
		if !c.OK {
			all = append(all, c.Name+": "+strings.Join(strings.Fields(c.Message), " "))
		}
	}
	return strings.Join(all, "; ")
}
