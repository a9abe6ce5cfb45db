package monitor

import "context"

// A Check is one thing that was looked at, and what came of it.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"` // for a person: what is wrong and what to do about it; may say more when all is well
	Vital   bool   `json:"-"`       // without it the process is not ready
}

// A Readiness says whether a process does its work, and what keeps it from some of it.
type Readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
}

// daemonCheck is the name of the check that says how far the process is.
const daemonCheck = "daemon"

// Readiness asks the process whether it is ready. It takes no longer than Options.Patience.
func (m *Monitor) Readiness(ctx context.Context) Readiness {
	at, doing, probes := m.now()
	unready := func(message string) Readiness {
		return Readiness{Checks: []Check{{Name: daemonCheck, Message: message, Vital: true}}}
	}
	switch at {
	case starting:
		return unready("starting: " + doing)
	case stopping:
		return unready("stopping: it finishes what it has in hand, and takes nothing new")
	}
	found, err := m.ask(ctx, "checks", func(ctx context.Context) (any, error) { return probes.Checks(ctx), nil })
	if err != nil {
		return unready("the checks cannot be made: " + err.Error())
	}
	r := Readiness{Ready: true, Checks: append([]Check{{Name: daemonCheck, OK: true, Vital: true}}, found.([]Check)...)}
	for _, c := range r.Checks {
		r.Ready = r.Ready && (c.OK || !c.Vital)
	}
	return r
}
