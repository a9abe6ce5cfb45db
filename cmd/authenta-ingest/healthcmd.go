package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authenta/authenta-ingest/cmd/authenta-ingest/monitor"
)

func healthCommand() *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say whether the daemon on this machine is alive",
		Long: `Ask the daemon at INGEST_HTTP on this machine whether it is alive, or, with
--ready, whether it does its work, and say what is wrong. The exit code is 0 if
it is, else 1.

It is made for container health checks. To start a daemon anew helps if it is
not alive; it does not help against what --ready may tell: that NATS is away,
say. A daemon that is paused is ready, and what it is paused for is told.`,
		Example: `  authenta-ingest health
  authenta-ingest health --ready`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _ := parseSettings() // the other settings are the daemon's business
			client, err := s.monitored()
			if err != nil {
				return &exitError{exitFailure, err}
			}
			well, said, err := askHealth(cmd.Context(), client, ready)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			if !well {
				return &exitError{exitFailure, errors.New(said)}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it does its work, too")
	return cmd
}

// monitored is where the daemon of these settings can be asked.
func (s settings) monitored() (monitor.Client, error) {
	switch {
	case s.HTTP == off:
		return monitor.Client{}, errors.New("INGEST_HTTP=off: the daemon cannot be asked; set it to an address for both, such as 127.0.0.1:8080")
	case !hostPort(s.HTTP) || strings.HasSuffix(s.HTTP, ":0"):
		return monitor.Client{}, fmt.Errorf("INGEST_HTTP=%s: want host:port of the daemon, such as 127.0.0.1:8080", s.HTTP)
	}
	return monitor.Client{Address: s.HTTP}, nil
}

// askHealth returns whether a daemon is as it should be, and what a person is told about it.
func askHealth(ctx context.Context, c monitor.Client, ready bool) (well bool, said string, err error) {
	if ready {
		r, err := c.Readiness(ctx)
		return r.Ready, summary("ready", r.Ready, r.Checks), err
	}
	h, err := c.Health(ctx)
	return h.Healthy, summary("healthy", h.Healthy, h.Checks), err
}

// summary is whether something holds, and a line for each check that failed.
func summary(what string, holds bool, checks []monitor.Check) string {
	if !holds {
		what = "not " + what
	}
	lines := []string{what}
	for _, c := range checks {
		if !c.OK {
			lines = append(lines, c.Name+": "+oneLine(c.Message))
		}
	}
	return strings.Join(lines, "\n")
}
