package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/authenta/authenta-ingest/queue"
)

// A report tells the person at the terminal, or the program behind the pipe, what became of the files. It reads the
// streams, so that it tells nothing that is not safe.
type report struct {
	queue *queue.Queue
	once  bool
	json  bool
	out   io.Writer // verdicts, and nothing else
	err   io.Writer // the rest
	log   *slog.Logger

	mu       sync.Mutex
	columns  answerColumns
	read     queue.Position
	outcomes map[queue.Outcome]int
	reasons  map[queue.Reason]int
	queued   queue.Depths             // as of the last look
	bar      *progressbar.ProgressBar // nil: none
}

func newReport(q *queue.Queue, o runOptions, stdout, stderr io.Writer, log *slog.Logger) *report {
	r := &report{
		queue: q, once: o.once, json: o.json, out: stdout, err: stderr, log: log,
		outcomes: map[queue.Outcome]int{}, reasons: map[queue.Reason]int{},
	}
	if o.once && isTerminal(stderr) {
		r.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(stderr), progressbar.OptionSetDescription("files"),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
	}
	return r
}

// run reports until ctx ends.
func (r *report) run(ctx context.Context, from queue.Position) error {
	r.mu.Lock()
	r.read = from
	r.mu.Unlock()
	return r.queue.Follow(ctx, from, queue.Reader{Verdict: r.verdict, Failure: r.failure})
}

func (r *report) verdict(v queue.Verdict, raw []byte, sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read.Verdicts = sequence
	r.outcomes[v.Outcome]++
	r.clearBar()
	if r.json {
		fmt.Fprintf(r.out, "%s\n", raw)
		return
	}
	fmt.Fprintln(r.out, r.columns.verdict(v))
}

func (r *report) failure(f queue.Failure, _ []byte, sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read.Failures = sequence
	r.reasons[f.Reason]++
	r.clearBar()
	r.log.Warn("not judged", "file", path(f.Head), "reason", f.Reason, "why", f.Message)
}

// path is a file as the person who dropped it knows it.
func path(h queue.Head) string {
	switch u, err := url.Parse(h.URI); {
	case err != nil:
		return h.URI
	case u.Scheme == "file":
		return u.Path
	case u.Scheme != "https": // the address tells a person less than the name
		return h.Name
	}
	return h.URI
}

// progress notes what is on the queue, and moves the bar.
func (r *report) progress(n queue.Depths) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queued = n; r.bar == nil {
		return
	}
	ended := r.judged() + r.failed()
	r.bar.ChangeMax(max(1, ended+n.Upload+n.Await))
	_ = r.bar.Set(ended) // it cannot be drawn: nothing is lost
}

func (r *report) clearBar() {
	if r.bar != nil {
		_ = r.bar.Clear()
	}
}

func (r *report) judged() int {
	n := 0
	for _, k := range r.outcomes {
		n += k
	}
	return n
}

func (r *report) failed() int {
	n := 0
	for _, k := range r.reasons {
		n += k
	}
	return n
}

// catchUp waits until everything that is on the streams now is reported, but not for long: it can be read there.
func (r *report) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	end, err := r.queue.End(ctx)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for err == nil && !r.has(end) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *report) has(p queue.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read.Verdicts >= p.Verdicts && r.read.Failures >= p.Failures
}

// leftovers are what --once could not do, and that no message on the streams tells of.
type leftovers struct {
	unread int // files and folders that could not be looked at
	undone int // files with which nothing could be done after they were judged
}

// conclude prints the summary of --once, and returns how the program ends. left is what could not be done besides.
func (r *report) conclude(paused *exitError, left leftovers) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clearBar()
	table := tabwriter.NewWriter(r.err, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\nOUTCOME\tFILES\n")
	for _, outcome := range slices.Sorted(maps.Keys(r.outcomes)) {
		fmt.Fprintf(table, "%s\t%d\n", outcome, r.outcomes[outcome])
	}
	for _, reason := range slices.Sorted(maps.Keys(r.reasons)) {
		fmt.Fprintf(table, "failed: %s\t%d\n", reason, r.reasons[reason])
	}
	if left.unread > 0 {
		fmt.Fprintf(table, "files and folders that cannot be read\t%d\n", left.unread)
	}
	if left.undone > 0 {
		fmt.Fprintf(table, "files that could not be moved, deleted or given a sidecar\t%d\n", left.undone)
	}
	queued := r.queued.Upload + r.queued.Await
	if paused != nil { // which says it
		queued = 0
	}
	if queued > 0 {
		fmt.Fprintf(table, "on the queue, for workers\t%d\n", queued)
	}
	if r.judged()+r.failed()+left.unread+queued == 0 && paused == nil {
		fmt.Fprintf(table, "nothing new\t0\n")
	}
	if err := table.Flush(); err != nil {
		return &exitError{exitFailure, err}
	}
	switch {
	case paused != nil:
		return paused
	case r.failed()+left.unread+left.undone > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

// makeDir makes a folder that only this user reads.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state folder (INGEST_STATE_DIR): %w: set it to a folder that this user may write to", err)
	}
	return nil
}
