package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/authenta/authenta-ingest/cmd/authenta-ingest/monitor"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/watcher"
)

// probes are how the monitor asks a daemon at work.
func (d *daemon) probes() monitor.Probes {
	return monitor.Probes{
		Checks: d.checks,
		Status: func(ctx context.Context) (any, error) { return d.cluster.Status(ctx) },
	}
}

// checks are what readiness depends on, and what keeps the daemon from some of its work.
func (d *daemon) checks(ctx context.Context) []monitor.Check {
	away, full := d.away(), d.broker.room()
	uploads, polls := d.cluster.Gates()
	found := []monitor.Check{
		check("broker", away), check("uploads", paused(uploads)), check("polls", paused(polls)),
	}
	// An embedded NATS whose disk is full may take nothing at all. That is said of the disk, and ends when there is room.
	found[0].Vital = full == nil
	if d.cluster.Self.Role.Watches() {
		found = append(found, check("intake", d.closed(ctx, away)))
	}
	if d.broker.server != nil {
		found = append(found, check("disk", full))
	}
	if d.watcher != nil {
		found = append(found, folderChecks(d.watcher.Roots(), !d.subjects)...)
	}
	return found
}

// folderChecks are the checks of the watched folders, each under its own name. alone: nothing but them brings files in, so that the
// process is of no use while all of them are missing.
func folderChecks(roots []watcher.RootState, alone bool) []monitor.Check {
	missing := 0
	var found []monitor.Check
	for _, r := range roots {
		c := monitor.Check{Name: "folder " + r.Path, OK: r.Mode != watcher.ModeMissing && r.Unread == 0}
		switch {
		case r.Mode == watcher.ModeMissing:
			missing++
			c.Message = fmt.Sprintf("it is not there (%s): mount it, or make it again; it is waited for, and its files are not taken for gone", r.Why)
		case r.Unread > 0:
			c.Message = fmt.Sprintf("%d files or folders in it could not be read: the log names them; mostly it is their permissions", r.Unread)
		case r.Mode == watcher.ModePolling:
			c.Message = "it is read over and over: " + r.Why
		}
		c.Message = oneLine(c.Message)
		found = append(found, c)
	}
	for i := range found {
		found[i].Vital = alone && missing == len(roots)
	}
	return found
}

// check is one that readiness does not depend on.
func check(name string, err error) monitor.Check {
	c := monitor.Check{Name: name, OK: err == nil}
	if err != nil {
		c.Message = oneLine(err.Error())
	}
	return c
}

// away returns why NATS does not serve this process; nil: it does.
func (d *daemon) away() error {
	switch conn := d.broker.conn; {
	case !conn.IsConnected():
		return fmt.Errorf("NATS (%s) is away: %w; work goes on by itself when it is back", d.broker.address, cmp.Or(conn.LastError(), errors.New("no connection")))
	case !d.cluster.Here():
		return fmt.Errorf("NATS (%s) is connected, but has taken nothing from this process for some seconds: "+
			"its log may say why; work goes on by itself when it does", d.broker.address)
	}
	return nil
}

// roomTime is how long NATS may take to say whether there is room: short against when it counts as away.
const roomTime = 2 * time.Second

// closed returns why no files are taken in; nil: they are. away is why NATS cannot be asked.
func (d *daemon) closed(ctx context.Context, away error) error {
	if away != nil {
		return errors.New("no files are taken in while NATS is away; they wait in their folders")
	}
	ctx, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	err := d.queue.Room(ctx)
	if errors.Is(err, queue.ErrFull) {
		return fmt.Errorf("no files are taken in until there is room: %w", err)
	}
	return err
}

// paused returns why calls of a kind are not made, until when, and what to do about it; nil: they are made.
func paused(g control.GateStatus) error {
	if !g.Paused {
		return nil
	}
	why := "paused " + strings.TrimPrefix(gateLine(g, time.Now()), "PAUSED ")
	if todo := remedy(g.State); todo != "" {
		why += ": " + todo
	}
	return errors.New(why)
}

// remedy is what a person can do about a gate that is closed; empty: something else.
func remedy(s control.State) string {
	const then = "; work then goes on at the next try, or at once with 'authenta-ingest resume'"
	switch s.Why {
	case control.Quota:
		return "have the platform grant more calls" + then
	case control.Credits:
		return "buy credits" + then
	case control.Unauthenticated:
		return "set keys that are valid; those in files are tried as soon as they change"
	case control.Forbidden:
		return "have the platform grant the key this permission" + then
	case control.Spent:
		return "set AUTHENTA_MUTATION_QUOTA and AUTHENTA_QUERY_QUOTA to what is granted, or, if it was granted anew, count from zero with " +
			"'authenta-ingest resume --renewed'"
	case control.Throttled, control.Outage:
		return "work goes on by itself"
	}
	if s.Hold != nil {
		return "'authenta-ingest resume' ends it"
	}
	return ""
}
