package control

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// A Role is what a process does for the cluster.
type Role string

// The roles. A member of a version that knew of none does everything.
const (
	RoleAll     Role = "all"
	RoleWatcher Role = "watcher" // takes files in, and makes no call to the platform
	RoleWorker  Role = "worker"  // has files judged, and takes none in
)

// Valid reports whether the role is one.
func (r Role) Valid() bool { return slices.Contains([]Role{RoleAll, RoleWatcher, RoleWorker}, r) }

// Works reports whether the role is to have files judged: such a process makes calls, and has a share of the rates.
func (r Role) Works() bool { return r != RoleWatcher }

// Watches reports whether the role is to take files in.
func (r Role) Watches() bool { return r != RoleWorker }

// A Member is a process of the cluster.
type Member struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`           // the machine that it is on; processes on one see the same files
	Boot    string    `json:"boot,omitempty"` // tells the machine from others of the same name, see Options.Boot
	PID     int       `json:"pid"`
	Role    Role      `json:"role,omitempty"`
	Dirs    []string  `json:"dirs,omitempty"` // the folders that it watches, absolute
	Version string    `json:"version,omitempty"`
	Since   time.Time `json:"since"`
}

// String is how people tell the member from others.
func (m Member) String() string { return fmt.Sprintf("%s/%d", m.Host, m.PID) }

// event is the kind of an event about the member: worker_joined, watcher_left.
func (m Member) event(what string) string {
	if m.Role.Works() {
		return "worker_" + what
	}
	return "watcher_" + what
}

// Machine is the name of the machine that the process runs on.
func Machine() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// Boot tells this machine from others, whatever they are called, until it is booted anew; empty: nothing here does.
func Boot() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // Linux only
	return strings.TrimSpace(string(id))
}

// Namesakes are the names that more than one machine has now, in order.
func (c *Cluster) Namesakes() []string {
	boots, twice := map[string]string{}, map[string]bool{}
	for _, m := range c.Members() {
		if m.Boot == "" {
			continue
		}
		if other, seen := boots[m.Host]; seen && other != m.Boot {
			twice[m.Host] = true
		}
		boots[m.Host] = m.Boot
	}
	return slices.Sorted(maps.Keys(twice))
}

// tellNamesakes says, once, that another machine has the name of this one. What one has taken in the other is believed to see, too:
// it finds nothing, and the file fails.
func (c *Cluster) tellNamesakes() {
	twice := slices.Contains(c.Namesakes(), c.Self.Host)
	if twice && !c.confused {
		c.Log.Warn("another machine has the same host name: files of one fail as unreadable on the other. "+
			"Set INGEST_HOST on each to a name of its own, and start them again", "name", c.Self.Host)
	}
	c.confused = twice
}

// A sighting is a member, and when its last sign of life came.
type sighting struct {
	Member
	at time.Time
}

// Members lists who is there now, the longest-serving first.
func (c *Cluster) Members() []Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Member, 0, len(c.members))
	for _, m := range c.members {
		list = append(list, m.Member)
	}
	slices.SortFunc(list, func(a, b Member) int { return a.Since.Compare(b.Since) })
	return list
}

// Workers lists those of the members that have files judged, the longest-serving first.
func (c *Cluster) Workers() []Member {
	return slices.DeleteFunc(c.Members(), func(m Member) bool { return !m.Role.Works() })
}

// Leads reports whether this process is the one that does what one has to do for all: the longest-serving, whatever its role.
func (c *Cluster) Leads() bool {
	members := c.Members()
	return len(members) > 0 && members[0].ID == c.Self.ID
}

// Size is how many have files judged now, this process included if it does.
func (c *Cluster) Size() int {
	n := c.others()
	if c.Self.Role.Works() {
		n++
	}
	return n
}

// Alone reports whether no other process has files judged: what is in hand is in this one's.
func (c *Cluster) Alone() bool { return c.others() == 0 }

// others counts the other processes that have files judged.
func (c *Cluster) others() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for id, m := range c.members {
		if id != c.Self.ID && m.Role.Works() {
			n++
		}
	}
	return n
}
