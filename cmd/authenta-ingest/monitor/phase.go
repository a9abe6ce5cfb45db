package monitor

// Phases are all that a process passes through, in order.
var Phases = []string{"starting", "working", "stopping"}

// Phase is how far the process is, one of Phases.
func (m *Monitor) Phase() string {
	at, _, _ := m.now()
	return Phases[at]
}
