package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

func pauseCommand() *cobra.Command {
	var p control.PauseRequest
	var d time.Duration
	cmd := &cobra.Command{
		Use:   "pause [uploads|polls|all]",
		Short: "Pause a running daemon, and all that work on the same queue",
		Long: `Pause uploads, polls (the questions for results), or both if nothing is said,
for all daemons that work on the same queue. Files are still taken in, and
wait.

While polls are paused nothing is uploaded either: what cannot be fetched is
not paid for. A pause outlives a restart. It ends after --for, or with
'resume'.`,
		Example: `  authenta-ingest pause --for 1h --reason "the bill is being checked"
  authenta-ingest pause uploads`,
		Args:      oneOf(gateNames, true),
		ValidArgs: gateNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if d < 0 {
				return &exitError{exitUsage, fmt.Errorf("--for %s: want more than nothing", d)}
			}
			if d > 0 {
				p.For = d.String()
			}
			p.Gates = gatesOf(args)
			return ask(cmd, func(ctx context.Context, r control.Remote) error {
				s, err := r.Pause(ctx, p)
				if err != nil {
					return err
				}
				return printStatus(cmd.OutOrStdout(), s, false)
			})
		},
	}
	cmd.Flags().DurationVar(&d, "for", 0, "for how long, such as `1h`; until 'resume' if nothing is said")
	cmd.Flags().StringVar(&p.Message, "reason", "", "`WHY` it is paused, for those who ask for the status")
	return cmd
}

func resumeCommand() *cobra.Command {
	var p control.ResumeRequest
	cmd := &cobra.Command{
		Use:   "resume [uploads|polls|all]",
		Short: "Go on at once, whatever the reason for a pause",
		Long: `Go on with uploads, polls (the questions for results), or both if nothing is
said, for all daemons that work on the same queue: after a pause by hand, or
when a quota was raised or credits were bought and the next try is still far
off.

With --renewed, calls that are counted against AUTHENTA_MUTATION_QUOTA and
AUTHENTA_QUERY_QUOTA are counted from zero again.`,
		Example: `  authenta-ingest resume
  authenta-ingest resume polls
  authenta-ingest resume --renewed`,
		Args:      oneOf(gateNames, true),
		ValidArgs: gateNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Gates = gatesOf(args)
			return ask(cmd, func(ctx context.Context, r control.Remote) error {
				s, err := r.Resume(ctx, p)
				if err != nil {
					return err
				}
				return printStatus(cmd.OutOrStdout(), s, false)
			})
		},
	}
	cmd.Flags().BoolVar(&p.Renewed, "renewed", false, "the platform has granted the quotas anew: count from zero")
	return cmd
}

func retryCommand() *cobra.Command {
	var p control.RetryRequest
	cmd := &cobra.Command{
		Use:   "retry [KEY... | --all]",
		Short: "Try files again that could not be judged",
		Long: `Have failed files go on where they stopped: one whose result did not come in
time is asked about again, and nothing is paid twice. A KEY is the key that
'status' shows, the beginning of one (6 characters or more), or the id of a
failure message.

--all takes every failure that may end differently; not those files that the
platform has refused. With --reverify the file is uploaded, and paid for,
again.

The answer is a new message; its field retry_of names the failure.`,
		Example: `  authenta-ingest retry 5f2a1c09b7d3
  authenta-ingest retry --all`,
		ValidArgsFunction: lastFailures,
		RunE: func(cmd *cobra.Command, names []string) error {
			if p.Names = names; p.All == (len(names) > 0) {
				return &exitError{exitUsage, errors.New("retry: name the failures to retry, or say --all ('authenta-ingest status' shows the last ones)")}
			}
			return ask(cmd, func(ctx context.Context, r control.Remote) error { return retry(ctx, cmd.OutOrStdout(), r, p) })
		},
	}
	cmd.Flags().BoolVar(&p.All, "all", false, "everything that failed and may end differently")
	cmd.Flags().BoolVar(&p.Reverify, "reverify", false, "begin anew: upload the files again, and pay for them again")
	return cmd
}

// retry asks for as much as one request does, until all is done, and says what became of it.
func retry(ctx context.Context, w io.Writer, r control.Remote, p control.RetryRequest) error {
	retried, refused := 0, 0
	for {
		reply, err := r.Retry(ctx, p)
		if err != nil {
			return err
		}
		for _, j := range reply.Retried {
			fmt.Fprintf(w, "retried      %s  %s\n", j.Job.Short(), legible(j.Name))
		}
		for _, j := range reply.Refused {
			fmt.Fprintf(w, "not retried  %s: %s\n", legible(j.Name), oneLine(j.Why))
		}
		retried, refused = retried+len(reply.Retried), refused+len(reply.Refused)
		if p.From, p.To = reply.Next, reply.To; p.From == 0 {
			break
		}
	}
	switch {
	case refused > 0:
		return fmt.Errorf("%d retried, %d not", retried, refused)
	case retried == 0:
		fmt.Fprintln(w, "nothing to retry")
	}
	return nil
}

var gateNames = []string{control.OfUploads, control.OfPolls, control.OfAll}

func gatesOf(args []string) string {
	if len(args) == 0 {
		return control.OfAll
	}
	return args[0]
}

// ask connects to the NATS of a running daemon and lets do ask it.
func ask(cmd *cobra.Command, do func(context.Context, control.Remote) error) error {
	return withNATS(cmd, slog.New(slog.DiscardHandler), func(ctx context.Context, s settings, conn *queue.Conn) error {
		return do(ctx, control.Remote{Conn: conn.Conn, Namespace: queue.Namespace(s.Namespace)})
	})
}

// withNATS connects to the NATS of a running daemon, and logs what becomes of the connection. An error of do that says nothing
// of the exit code is a failure.
func withNATS(cmd *cobra.Command, log *slog.Logger, do func(context.Context, settings, *queue.Conn) error) error {
	s, _ := parseSettings() // a daemon can be asked though its folders are gone, and the like
	mistakes := &mistakes{}
	s.checkNATS(mistakes)
	if err := mistakes.err(); err != nil {
		return err
	}
	if s.NATSURL == "" && s.NATSListen == embedded.Off {
		return &exitError{exitUsage, errors.New("the daemon's NATS does not listen (INGEST_NATS_LISTEN=off): let it listen on a loopback address, or set NATS_URL")}
	}
	ctx := cmd.Context()
	conn, err := s.dial(ctx, log)
	if err == nil {
		defer conn.Close()
		err = do(ctx, s, conn)
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("stopped before there was an answer")
	}
	if _, said := errors.AsType[*exitError](err); err != nil && !said {
		return &exitError{exitFailure, err}
	}
	return err
}

// dialTime is how long a command waits for NATS.
const dialTime = 5 * time.Second

// dial connects to the daemon's NATS: the external one, or where the embedded one listens.
func (s settings) dial(ctx context.Context, log *slog.Logger) (*queue.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTime, fmt.Errorf("no answer within %s", dialTime))
	defer cancel()
	if s.NATSURL != "" {
		return queue.Dial(ctx, s.server(), log)
	}
	conn, err := queue.Connect("nats://"+s.NATSListen, log, nats.Token(s.NATSToken))
	if errors.Is(err, nats.ErrAuthorization) {
		return nil, fmt.Errorf("the daemon at INGEST_NATS_LISTEN=%s wants another token: set INGEST_NATS_TOKEN to that of the daemon", s.NATSListen)
	}
	if err != nil {
		return nil, fmt.Errorf("no daemon can be asked at INGEST_NATS_LISTEN=%s: is one running? (%w)\n"+
			"start one with 'authenta-ingest run', or set INGEST_NATS_LISTEN to where it listens, or NATS_URL to the NATS server that it uses", s.NATSListen, err)
	}
	return conn, nil
}
