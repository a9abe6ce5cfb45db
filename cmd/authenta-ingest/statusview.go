package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// writeStatus writes a status for a person.
func writeStatus(w io.Writer, s control.Status) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, legible(fmt.Sprintf(format, args...)))
	}
	row("platform", "%s", s.Platform)
	row("queued", "%d to upload", s.Queued)
	for i, h := range s.Waiting {
		row(first(i, "waiting"), "%s", waitingLine(h))
	}
	row("in flight", "%d awaiting a result", s.Awaiting)
	row("intake", "%s", intakeLine(s.Intake))
	if s.Messages > 0 {
		row("messages", "%d to take in", s.Messages)
	}
	row("uploads", "%s", gateLine(s.Uploads, s.At))
	row("polls", "%s", gateLine(s.Polls, s.At))
	if b := s.Budget; b != nil {
		row("mutation calls", "%s", countLine(b.Mutation))
		row("query calls", "%s", countLine(b.Query))
		row("the rest will do", "%d more files", b.Files)
	}
	row("rates", "%g creates and %g polls a second, of all workers together", s.Rates.Mutation, s.Rates.Query)
	for i, m := range s.Workers {
		row(first(i, "processes"), "%s  %s  since %s", m, cmp.Or(m.Role, control.RoleAll), clock(m.Since))
	}
	for _, host := range s.Namesakes {
		row("WARNING", "several machines are called %s: files of one fail as unreadable on another; set INGEST_HOST on each to a name of its own", host)
	}
	for i, f := range s.Failures {
		row(first(i, "last failures"), "%s  %s  %s  %s: %s", clock(f.FailedAt), failureKey(f), legible(f.Name), f.Reason, oneLine(f.Message))
	}
	return table.Flush()
}

// waitingLine says what waits for a machine.
func waitingLine(h control.HostStatus) string {
	if h.Works {
		return fmt.Sprintf("%d files for the workers on %s", h.Files, h.Host)
	}
	return fmt.Sprintf("%d files for a worker on %s, where none runs", h.Files, h.Host)
}

// failureKey is what a person may give to 'retry'.
func failureKey(f queue.Failure) string {
	if f.Job() == "" { // nothing can be retried
		return strings.Repeat("-", 12)
	}
	return f.Job().Short()
}

// first is the name of a list's first row; the others have none.
func first(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

// intakeLine says whether files are taken in.
func intakeLine(i control.IntakeStatus) string {
	if i.Paused {
		return "PAUSED" + said(i.Message)
	}
	return goOn
}

// goOn is what is said of what is not paused.
const goOn = "go on"

// gateLine says whether calls of a kind are made, and if not, why and until when.
func gateLine(g control.GateStatus, at time.Time) string {
	if !g.Paused {
		return goOn
	}
	var parts []string
	if g.Hold != nil {
		parts = append(parts, fmt.Sprintf("by hand since %s%s, %s", clock(g.Hold.Since), said(g.Hold.Message), next(g.Hold.Until, at, "until", "until 'resume'")))
	}
	if g.Closed() {
		parts = append(parts, fmt.Sprintf("%s since %s%s, %s", g.Why, clock(g.Since), said(g.Message), next(g.State.Until, at, "next try", "until the count allows more")))
	}
	if g.WaitsFor != "" {
		parts = append(parts, "because "+g.WaitsFor+" are")
	}
	return "PAUSED " + strings.Join(parts, "; ")
}

func said(message string) string {
	if message == "" {
		return ""
	}
	return " (" + oneLine(message) + ")"
}

// next says when something ends.
func next(until, at time.Time, when, never string) string {
	if until.IsZero() {
		return never
	}
	return fmt.Sprintf("%s %s (in %s)", when, clock(until), max(until.Sub(at), 0).Round(time.Second))
}

func countLine(c *control.CountStatus) string {
	if c == nil {
		return "not known"
	}
	return fmt.Sprintf("%d of %d left", c.Left, c.Granted)
}
