package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/authenta/authenta-ingest/queue"
)

// A verdictQuery is what 'verdicts' was told.
type verdictQuery struct {
	outcomes, models []string
	since            string
	failures         bool
	follow           bool
	json             bool
}

func verdictsCommand() *cobra.Command {
	var o verdictQuery
	cmd := &cobra.Command{
		Use:   "verdicts",
		Short: "Show the verdicts that are kept, and those that come",
		Long: `Show the verdicts that the NATS server keeps, oldest first: those of the last
thirty days, if INGEST_RESULT_TTL does not say otherwise.

With --follow the new ones are shown as they come, until Ctrl-C; with --since
as well, those since then come first. A connection that breaks is waited for.

Times are those of this machine's clock, and what the first column says can be
given to --since.`,
		Example: `  authenta-ingest verdicts --since 7d --outcome fake
  authenta-ingest verdicts --follow --failures
  authenta-ingest verdicts --json | jq -r 'select(.confidence > 0.9) | .uri'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := o.selection(time.Now())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			return o.run(cmd, s)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with those that come; without --since, show only them")
	f.StringVar(&o.since, "since", "", "only those since then: how long ago, such as `90m` or 7d, a day, a time of today, or both")
	f.StringSliceVar(&o.outcomes, "outcome", nil, "only those that say `fake`, real or inconclusive; may be given more than once")
	f.StringSliceVar(&o.models, "model", nil, "only those of a model, such as `DF-1`; may be given more than once")
	f.BoolVar(&o.failures, "failures", false, "the files that could not be judged, too, and why")
	f.BoolVar(&o.json, "json", false, "print each message as it is, one a line")
	completeFlag(cmd, "outcome", words(outcomes...))
	completeFlag(cmd, "model", anyModel)
	return cmd
}

// selection is what is to be shown. The error is every mistake in it.
func (o verdictQuery) selection(now time.Time) (queue.Selection, error) {
	s := queue.Selection{Failures: o.failures, Follow: o.follow}
	var mistakes []error
	for _, name := range o.outcomes {
		outcome := queue.Outcome(strings.ToLower(strings.TrimSpace(name)))
		if !slices.Contains(outcomes, outcome) {
			mistakes = append(mistakes, fmt.Errorf("--outcome %q: want fake, real or inconclusive (--failures shows what could not be judged)", name))
		}
		s.Outcomes = append(s.Outcomes, outcome)
	}
	for _, name := range o.models {
		model := queue.Model(strings.TrimSpace(name))
		if !model.Valid() {
			mistakes = append(mistakes, fmt.Errorf("--model %q: want a model such as DF-1", name))
		}
		s.Models = append(s.Models, model)
	}
	var err error
	if s.Since, err = parseSince(o.since, now); err != nil {
		mistakes = append(mistakes, err)
	}
	return s, errors.Join(mistakes...)
}

func (o verdictQuery) run(cmd *cobra.Command, s queue.Selection) error {
	log := newLog(cmd.ErrOrStderr(), "info") // tells of connections that break and come back
	return withNATS(cmd, log, func(ctx context.Context, settings settings, conn *queue.Conn) error {
		q, err := queue.Attach(conn, queue.Options{Namespace: queue.Namespace(settings.Namespace), Log: log})
		if err != nil {
			return err
		}
		end, err := endOf(ctx, q)
		if err != nil {
			return err
		}
		if s.Follow && s.Since.IsZero() {
			s.Behind = &end
		}
		p := verdictPrinter{out: cmd.OutOrStdout(), json: o.json}
		if err = p.begin(); err == nil {
			err = q.Select(ctx, s, p.print)
		}
		switch {
		case errors.Is(err, syscall.EPIPE): // whoever reads has seen enough
			return nil
		case err == nil && p.printed == 0 && !s.Follow && ctx.Err() == nil:
			fmt.Fprintln(cmd.ErrOrStderr(), "authenta-ingest: "+o.nothing())
		}
		return err
	})
}

// nothing says that there is nothing to show.
func (o verdictQuery) nothing() string {
	if len(o.outcomes)+len(o.models) > 0 || o.since != "" {
		return "no verdict that is kept is one of these"
	}
	return "no verdicts yet"
}

// endOf returns where the streams of answers end now. That there are none is an error that says what to do.
func endOf(ctx context.Context, q *queue.Queue) (queue.Position, error) {
	var end queue.Position
	soon, cancel := context.WithTimeoutCause(ctx, dialTime, fmt.Errorf("no answer within %s", dialTime))
	defer cancel()
	err := q.Persist(soon, func(ctx context.Context) (err error) {
		end, err = q.End(ctx)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return end, fmt.Errorf("no daemon has run at this NATS server in the namespace %s: is that its INGEST_NAMESPACE?", q.Namespace)
	}
	return end, err
}

// A verdictPrinter prints answers as they come.
type verdictPrinter struct {
	out     io.Writer
	json    bool
	columns answerColumns
	printed int
}

// begin prints what stands above a table.
func (p *verdictPrinter) begin() error {
	if p.json {
		return nil
	}
	_, err := fmt.Fprintln(p.out, pad("TIME", len(time.DateTime))+"  "+p.columns.head())
	return err
}

func (p *verdictPrinter) print(t queue.Terminal) error {
	p.printed++
	_, err := fmt.Fprintf(p.out, "%s\n", p.line(t))
	return err
}

func (p *verdictPrinter) line(t queue.Terminal) []byte {
	switch {
	case p.json:
		return singleLine(t.Raw)
	case t.Failure != nil:
		return []byte(clock(t.At) + "  " + p.columns.failure(*t.Failure))
	}
	return []byte(clock(t.At) + "  " + p.columns.verdict(*t.Verdict))
}

// singleLine is a JSON message without what would make it several lines. Ours has nothing like that; others may publish, too.
func singleLine(message []byte) []byte {
	if !bytes.ContainsAny(message, "\n\r") {
		return message
	}
	var one bytes.Buffer
	if json.Compact(&one, message) != nil { // it was read, so it is JSON
		return nil
	}
	return one.Bytes()
}
