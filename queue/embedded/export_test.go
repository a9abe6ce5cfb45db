package embedded

import "time"

// What the tests reach into.

const LookEvery = lookEvery

// Disk is the disk of a server's folder, as a test says it is.
func (s *Server) Disk(free, total func() uint64) {
	s.disk.stat = func(string) (uint64, uint64, error) { return free(), total(), nil }
}

// Jumps feeds readings of the two clocks, in time since some moment, and returns what was noticed after each.
func Jumps(mono, wall []time.Duration) []time.Duration {
	var c clock
	var jumps []time.Duration
	for i, at := 0, time.Now(); i < len(mono); i++ {
		jumps = append(jumps, c.jumped(at.Add(mono[i]), at.Round(0).Add(wall[i])))
	}
	return jumps
}
