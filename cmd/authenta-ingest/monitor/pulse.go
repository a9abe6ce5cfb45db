package monitor

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A pulse is the last sign of a loop that it turns.
type pulse struct {
	name string
	last atomic.Pointer[time.Time] // nil: the loop has not begun
}

// Health says whether a process is alive.
type Health struct {
	Healthy bool    `json:"healthy"`
	Checks  []Check `json:"checks"`
}

// Pulse returns what a loop has to call each time that it turns, which has to be well within Options.Stale. A loop that has
// begun and does so no longer makes the process unhealthy, until the process is stopping.
func (m *Monitor) Pulse(name string) func() {
	p := &pulse{name: name}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pulses = append(m.pulses, p)
	return func() {
		now := time.Now()
		p.last.Store(&now)
	}
}

// Health says whether the process's loops turn. It waits for nothing.
func (m *Monitor) Health() Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := Health{Healthy: true, Checks: []Check{}}
	for _, p := range m.pulses {
		c := Check{Name: p.name, OK: true, Message: "turns", Vital: true}
		last := p.last.Load()
		switch {
		case m.stage == stopping:
			c.Message = "stopping"
		case last == nil:
			c.Message = "not begun"
		case time.Since(*last) > m.o.Stale:
			c.OK, c.Message = false, fmt.Sprintf("it has not turned for %s: start the daemon anew, and report it with the log",
				time.Since(*last).Round(time.Second))
		}
		h.Healthy = h.Healthy && c.OK
		h.Checks = append(h.Checks, c)
	}
	return h
}
