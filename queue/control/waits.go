package control

import (
	"context"
	"maps"
	"slices"
	"time"
)

// A HostEvent is the message on <ns>.events.waiting_for_host: a file can be read by no worker that runs, and waits for one on
// the machine where it is. It is told of the first such file.
type HostEvent struct {
	Host string    `json:"host"`
	File string    `json:"file"` // its URI
	At   time.Time `json:"at"`
}

// Works reports whether somebody works on a machine.
func (c *Cluster) Works(host string) bool {
	return slices.ContainsFunc(c.Workers(), func(m Member) bool { return m.Host == host })
}

// Waiting tells what waits for the workers of single machines, in the order of their names.
func (c *Cluster) Waiting(ctx context.Context) ([]HostStatus, error) {
	waiting, err := c.Queue.Waiting(ctx)
	if err != nil {
		return nil, err
	}
	var list []HostStatus
	for _, host := range slices.Sorted(maps.Keys(waiting)) {
		list = append(list, HostStatus{Host: host, Files: waiting[host], Works: c.Works(host)})
	}
	return list, nil
}

// Await takes note that a file waits for a machine, and says so if nobody works there: once, until somebody does.
func (c *Cluster) Await(host, file string) {
	if c.Works(host) {
		return
	}
	c.mu.Lock()
	_, told := c.awaited[host]
	c.awaited[host] = struct{}{}
	c.mu.Unlock()
	if told {
		return
	}
	c.Log.Warn("files wait for a worker on another machine: none that runs can read them; "+
		"start one there, or set INGEST_STAGE=store where they are taken in", "machine", host, "first", file)
	e := HostEvent{Host: host, File: file, At: now()}
	c.say("waiting_for_host", host+e.At.Format(time.RFC3339Nano), e)
}

// welcome says that somebody works by now where files wait.
func (c *Cluster) welcome() {
	c.mu.Lock()
	var hosts []string
	for host := range c.awaited {
		hosts = append(hosts, host)
	}
	c.mu.Unlock()
	for _, host := range hosts {
		if !c.Works(host) {
			continue
		}
		c.mu.Lock()
		delete(c.awaited, host)
		c.mu.Unlock()
		c.Log.Info("a worker runs on the machine for which files wait", "machine", host)
	}
}
