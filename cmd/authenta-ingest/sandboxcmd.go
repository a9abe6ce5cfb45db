package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// sandboxAddr is where the simulated platform listens if nothing else is said.
const sandboxAddr = "127.0.0.1:9090"

func sandboxCommand() *cobra.Command {
	var addr string
	o := sandbox.Options{}
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run the simulated platform alone",
		Long: `Run the simulated platform alone, for trying out what talks to it, and print
the settings with which 'run' uses it.

It behaves like Authenta's Media API: keys, quotas, credits, signed upload URLs
and all. Its verdicts are computed from the bytes of a file and mean nothing.`,
		Example: `  authenta-ingest sandbox
  authenta-ingest sandbox --addr 127.0.0.1:9191 --credits 10 --latency 20s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, _, err := net.SplitHostPort(addr)
			if err != nil {
				err = fmt.Errorf("--addr %q: want host:port, such as %s", addr, sandboxAddr)
			}
			if err := errors.Join(err, o.Check()); err != nil {
				return &exitError{exitUsage, err}
			}
			s, err := startSandbox(addr, o)
			if err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "AUTHENTA_URL=%s\nAUTHENTA_CLIENT_ID=%s\nAUTHENTA_CLIENT_SECRET=%s\n",
				s.url, o.ClientID, o.ClientSecret)
			return s.wait(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&addr, "addr", sandboxAddr, "`HOST:PORT` to listen on")
	f.StringVar(&o.ClientID, "client-id", "sandbox-id", "key pair: `ID`")
	f.StringVar(&o.ClientSecret, "client-secret", "sandbox-secret", "key pair: `SECRET`")
	f.IntVar(&o.Credits, "credits", sandbox.Unlimited, "files that can be paid for, as a `NUMBER` (-1: no limit)")
	f.IntVar(&o.MutationQuota, "mutation-quota", sandbox.Unlimited, "uploads and deletions granted, as a `NUMBER` (-1: no limit)")
	f.IntVar(&o.QueryQuota, "query-quota", sandbox.Unlimited, "questions for results granted, as a `NUMBER` (-1: no limit)")
	f.DurationVar(&o.Latency, "latency", 2*time.Second, "`TIME` from upload to result")
	f.DurationVar(&o.Spread, "spread", 0, "longer for some files, by up to this `TIME`")
	f.StringVar(&o.Journal, "journal", "", "`FILE` in which it remembers what it was sent, across restarts")
	completeFlag(cmd, "journal", files)
	return cmd
}

// A sandboxServer is a simulated platform that is being served.
type sandboxServer struct {
	platform *sandbox.Platform
	server   *http.Server
	url      string
	done     chan error
}

func startSandbox(addr string, o sandbox.Options) (*sandboxServer, error) {
	platform, err := sandbox.New(o)
	if err != nil {
		return nil, fmt.Errorf("start the simulated platform: %w", err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the simulated platform: %w: choose another address", err), platform.Close())
	}
	s := &sandboxServer{
		platform: platform,
		server:   &http.Server{Handler: platform, ReadHeaderTimeout: 10 * time.Second},
		url:      "http://" + l.Addr().String(),
		done:     make(chan error, 1),
	}
	go func() { s.done <- s.server.Serve(l) }()
	return s, nil
}

// wait serves until ctx ends.
func (s *sandboxServer) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return s.close()
	case err := <-s.done:
		return &exitError{exitFailure, errors.Join(err, s.platform.Close())}
	}
}

// close ends the platform and whoever is connected to it.
func (s *sandboxServer) close() error {
	err := s.server.Close()
	<-s.done
	return errors.Join(err, s.platform.Close())
}
