package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/authenta/authenta-ingest/queue/control"
)

// leastEvery keeps 'status --watch' from asking for more than it can be told.
const leastEvery = 100 * time.Millisecond

// A statusQuery is what 'status' was told.
type statusQuery struct {
	json, watch bool
	every       time.Duration
}

func statusCommand() *cobra.Command {
	var o statusQuery
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running daemon does, and what it waits for",
		Long: `Show what the daemons that share a queue do: how much is queued, what is paused
and why, what is left of counted quotas, who works, and which files failed
last.

With --watch it is shown again and again, until Ctrl-C; a daemon that goes away
is waited for.`,
		Example: `  authenta-ingest status
  authenta-ingest status --watch --every 10s
  authenta-ingest status --json | jq .uploads.paused`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cmd.Flags().Changed("every") && !o.watch:
				return &exitError{exitUsage, errors.New("--every is for --watch: say that, too")}
			case o.every < leastEvery:
				return &exitError{exitUsage, fmt.Errorf("--every %s: want %s or more", o.every, leastEvery)}
			}
			return ask(cmd, func(ctx context.Context, r control.Remote) error {
				if o.watch {
					return o.watchStatus(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), r)
				}
				s, err := r.Status(ctx)
				if err != nil {
					return err
				}
				return printStatus(cmd.OutOrStdout(), s, o.json)
			})
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print it as a line of JSON")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "show it again and again, until Ctrl-C")
	cmd.Flags().DurationVar(&o.every, "every", 2*time.Second, "with --watch, how long until it is shown again, such as `10s`")
	return cmd
}

// printStatus prints a status as a line of JSON or for a person.
func printStatus(w io.Writer, s control.Status, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	return writeStatus(w, s)
}

// watchStatus shows the status again and again until ctx ends. The first answer has to come; later, who does not answer is waited
// for.
func (o statusQuery) watchStatus(ctx context.Context, out, errOut io.Writer, r control.Remote) error {
	show := o.shower(out, errOut)
	defer show.end()
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for asked := false; ; asked = true {
		s, err := r.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			err = show.status(s)
		case asked:
			err = show.silence(err)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// A shower shows one status after the other.
type shower interface {
	status(control.Status) error
	silence(error) error // nobody answered
	end()
}

func (o statusQuery) shower(out, errOut io.Writer) shower {
	if f, ok := out.(*os.File); ok && !o.json && isTerminal(f) {
		return &screen{out: f, every: o.every}
	}
	return &series{out: out, err: errOut, json: o.json}
}

// A series shows one status below the other.
type series struct {
	out, err io.Writer
	json     bool
	told     string // of a silence
}

func (b *series) status(s control.Status) error {
	b.told = ""
	if b.json {
		return printStatus(b.out, s, true)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "at             %s\n", clock(s.At))
	if err := writeStatus(&text, s); err != nil {
		return err
	}
	fmt.Fprintln(&text)
	_, err := text.WriteTo(b.out)
	return err
}

// silence tells of it once.
func (b *series) silence(why error) error {
	if b.told == why.Error() {
		return nil
	}
	b.told = why.Error()
	_, err := fmt.Fprintf(b.err, "authenta-ingest: %s; waiting\n", why)
	return err
}

func (b *series) end() {}

// A screen shows a status in the place of the one before.
type screen struct {
	out   *os.File
	every time.Duration
	drawn bool
	last  []string // the lines of the last status
	at    time.Time
}

func (s *screen) status(now control.Status) error {
	var text strings.Builder
	if err := writeStatus(&text, now); err != nil {
		return err
	}
	s.last, s.at = strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n"), now.At
	return s.draw(fmt.Sprintf("%s, every %s, until Ctrl-C", clock(now.At), s.every))
}

func (s *screen) silence(why error) error {
	return s.draw(fmt.Sprintf("NO ANSWER (%s); waiting. How it was at %s:", oneLine(why.Error()), clock(s.at)))
}

func (s *screen) draw(head string) error {
	columns, rows, err := term.GetSize(int(s.out.Fd()))
	if err != nil {
		return err
	}
	begin := home
	if !s.drawn {
		s.drawn, begin = true, hideCursor+clearScreen+home
	}
	_, err = io.WriteString(s.out, begin+frame(append([]string{head, ""}, s.last...), columns, rows))
	return err
}

func (s *screen) end() {
	if s.drawn {
		_, _ = io.WriteString(s.out, showCursor) // a terminal that is gone needs none
	}
}

// What a terminal is told.
const (
	home        = "\x1b[H"
	clearScreen = "\x1b[2J"
	clearLine   = "\x1b[K" // what is right of here
	clearBelow  = "\x1b[J"
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
)

// frame is what draws lines over those before, as far as they fit on a screen.
func frame(lines []string, columns, rows int) string {
	if over := len(lines) - (rows - 1); over > 0 && rows > 2 {
		lines = append(lines[:rows-2:rows-2], fmt.Sprintf("… and %d more lines", over+1))
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(cut(line, columns) + clearLine + "\n")
	}
	return b.String() + clearBelow
}

// cut leaves of a line what fits into so many columns.
func cut(line string, columns int) string {
	if width(line) <= columns {
		return line
	}
	kept, used, state := 0, 0, -1
	for rest := line; rest != ""; {
		cluster, after, w, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if used += w; used > columns-1 {
			break
		}
		kept += len(cluster)
		rest, state = after, next
	}
	return line[:kept] + "…"
}
