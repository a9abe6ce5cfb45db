package monitor

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A pulse is the last sign of a loop that it turns.
type pulse struct {
	name string
	last atomic.Int64 // when it came, in nanoseconds since the monitor was made; 0: the loop has not begun
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
	return func() { p.last.Store(max(int64(time.Since(m.made)), 1)) }
}

// Health says whether the process's loops turn. It waits for nothing.
func (m *Monitor) Health() Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := Health{Healthy: true, Checks: []Check{}}
	for _, p := range m.pulses {
		c := Check{Name: p.name, OK: true, Vital: true}
		last := p.last.Load()
		still := time.Since(m.made) - time.Duration(last)
		switch {
		case m.stage == stopping:
			c.Message = "stopping"
		case last == 0:
			c.Message = "not begun"
		case still > m.o.Stale:
			c.OK, c.Message = false, fmt.Sprintf("this loop has not turned for %s, which is a defect: start the daemon anew, and report it with the log",
				still.Round(time.Second))
		}
		h.Healthy = h.Healthy && c.OK
		h.Checks = append(h.Checks, c)
	}
	return h
}
