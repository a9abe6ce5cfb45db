package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/subject"
)

// A submission is what 'submit' was told.
type submission struct {
	name, model string
	meta        []string // KEY=VALUE
	wait, json  bool
}

func submitCommand() *cobra.Command {
	var o submission
	cmd := &cobra.Command{
		Use:   "submit FILE|URI...",
		Short: "Hand files to a running daemon",
		Long: `Hand files to the daemons that take files in at this NATS server, wherever they
run, and print the id of each: its answer has it, too. A FILE is copied to
them, and may be altered or deleted then. A URI is one that they can follow:

  file:///srv/inbox/clip.mp4     in a folder that they watch, or one of INGEST_ROOTS
  nats-object://bucket/clip.mp4  in an object store of this NATS
  https://example.com/clip.mp4   at a host of INGEST_URL_HOSTS

What is handed in is safe, even if no daemon runs at the moment. With --wait
the answers are printed instead of the ids, when they come; a file that could
not be judged makes it end with exit code 3.`,
		Example: `  authenta-ingest submit clip.mp4 cat.jpg
  authenta-ingest submit --wait --meta case=17 clip.mp4`,
		ValidArgsFunction: files,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return &exitError{exitUsage, err}
			}
			return o.run(cmd, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.wait, "wait", false, "wait for the answers, and print them")
	f.BoolVar(&o.json, "json", false, "with --wait, print each answer as a line of JSON")
	f.StringVar(&o.name, "name", "", "the file's `NAME`, if it is not the end of its path")
	f.StringVar(&o.model, "model", "", "the model that is to judge, such as `DF-1`; those of the settings if nothing is said")
	f.StringArrayVar(&o.meta, "meta", nil, "what the answer is to bring back, such as case=17, as `KEY=VALUE`; may be given more than once")
	completeFlag(cmd, "model", anyModel)
	return cmd
}

// isURI tells an address from a path.
func isURI(arg string) bool { return followable(arg) || strings.Contains(arg, "://") }

// followable reports whether an address is of a kind that can be followed.
func followable(address string) bool {
	return slices.ContainsFunc([]string{"file:", "nats-object:", "https:"}, func(scheme string) bool {
		return strings.HasPrefix(strings.ToLower(address), scheme)
	})
}

// shown is a file or an address as it is printed, without what may be secret in it.
func shown(arg string) string {
	if isURI(arg) {
		arg = subject.Shown(arg)
	}
	return legible(arg)
}

// check finds every mistake in what is to be submitted, before any of it is.
func (o submission) check(args []string) error {
	var mistakes []error
	switch {
	case len(args) == 0:
		mistakes = append(mistakes, errors.New("submit: name files, or addresses of some"))
	case len(args) > 1 && o.name != "":
		mistakes = append(mistakes, fmt.Errorf("--name is for one file, and there are %d", len(args)))
	}
	if o.json && !o.wait {
		mistakes = append(mistakes, errors.New("--json is for answers: say --wait, too"))
	}
	if o.model != "" && !queue.Model(o.model).Valid() {
		mistakes = append(mistakes, fmt.Errorf("--model %q: want a model such as DF-1", o.model))
	}
	for _, m := range o.meta {
		if key, _, has := strings.Cut(m, "="); !has || key == "" {
			mistakes = append(mistakes, fmt.Errorf("--meta %q: want KEY=VALUE, such as case=17", m))
		}
	}
	for _, arg := range args {
		if err := checkArgument(arg); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	return errors.Join(mistakes...)
}

// checkArgument says what is wrong with a file or an address, as far as that can be seen from here.
func checkArgument(arg string) error {
	if isURI(arg) {
		return checkAddress(arg)
	}
	info, err := os.Stat(arg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist: name a file of this machine, or an address as 'authenta-ingest submit --help' shows them", shown(arg))
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder: name the files in it, or have it watched ('authenta-ingest run %s')", arg, arg)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", arg)
	}
	f, err := os.Open(arg)
	if err != nil {
		return err
	}
	return f.Close()
}

// checkAddress says why an address cannot be followed by anybody.
func checkAddress(uri string) (err error) {
	switch scheme, _, _ := strings.Cut(strings.ToLower(uri), ":"); {
	case scheme == "file":
		_, err = queue.FilePath(uri)
	case scheme == "nats-object":
		_, _, err = queue.ObjectName(uri)
	case scheme != "https" || subject.Shown(uri) == subject.Shown(""): // or it is no URL
		err = fmt.Errorf("%s: cannot be followed: want file:///…, nats-object://bucket/name or https://…", shown(uri))
	}
	return err
}

func (o submission) run(cmd *cobra.Command, args []string) error {
	log := slog.New(slog.DiscardHandler)
	return withNATS(cmd, log, func(ctx context.Context, s settings, conn *queue.Conn) error {
		q, err := queue.Attach(conn, queue.Options{
			Namespace: queue.Namespace(s.Namespace), Replicas: s.Replicas, StageBytes: s.StageBytes.bytes, Log: log,
		})
		if err != nil {
			return err
		}
		var from queue.Position
		if o.wait {
			if from, err = endOf(ctx, q); err != nil {
				return err
			}
		}
		ids, err := o.handIn(ctx, q, cmd.OutOrStdout(), args)
		if err == nil && o.wait {
			return o.await(ctx, q, from, ids, cmd.OutOrStdout())
		}
		return err
	})
}

// handIn hands files in, one after the other, and returns their drops. After an error, what was handed in before stays so.
func (o submission) handIn(ctx context.Context, q *queue.Queue, stdout io.Writer, args []string) ([]queue.DropID, error) {
	var ids []queue.DropID
	for _, arg := range args {
		id, err := o.handInOne(ctx, q, arg)
		if err != nil {
			err = fmt.Errorf("submit %s: %w (%d of %d were handed in)", shown(arg), err, len(ids), len(args))
			if o.wait && len(ids) > 0 { // they have not been printed
				err = fmt.Errorf("%w\nhanded in, and not waited for: %s", err, list(ids))
			}
			return ids, err
		}
		if ids = append(ids, id); !o.wait {
			fmt.Fprintf(stdout, "%s  %s\n", id, shown(arg))
		}
	}
	return ids, nil
}

func (o submission) handInOne(ctx context.Context, q *queue.Queue, arg string) (queue.DropID, error) {
	uri, name := arg, o.name
	if !isURI(arg) {
		f, err := os.Open(arg)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if uri, err = q.PutIn(ctx, f); err != nil {
			return "", err
		}
		if name == "" {
			name = filepath.Base(arg)
		}
	}
	meta := map[string]string{}
	for _, m := range o.meta {
		key, value, _ := strings.Cut(m, "=")
		meta[key] = value
	}
	data, err := json.Marshal(map[string]any{"uri": uri, "name": name, "model": o.model, "meta": meta})
	if err != nil {
		return "", err
	}
	id, err := q.HandIn(ctx, callersTrace().Header(), data)
	switch {
	case err != nil && ctx.Err() != nil && !queue.NotHandedIn(err):
		err = errors.New("stopped; this one may have been handed in, or not")
	case uri != arg && queue.NotHandedIn(err):
		err = errors.Join(err, q.TakeBack(context.WithoutCancel(ctx), uri))
	}
	return id, err
}

// mostListed is how many drops a line names.
const mostListed = 20

// list names drops, or as many as a person reads.
func list(ids []queue.DropID) string {
	var b strings.Builder
	for i, id := range ids {
		if i == mostListed {
			fmt.Fprintf(&b, " and %d more", len(ids)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(id))
	}
	return b.String()
}

// await prints answers until every drop has its own, under every model.
func (o submission) await(ctx context.Context, q *queue.Queue, from queue.Position, ids []queue.DropID, stdout io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a := &answers{out: stdout, json: o.json, had: map[queue.DropID]bool{}, open: map[queue.DropID]bool{}, complete: stop}
	for _, id := range ids {
		a.open[id] = true
	}
	err := q.Follow(ctx, from, queue.Reader{
		Verdict: func(v queue.Verdict, raw []byte, _ uint64) {
			a.take(v.Head, raw, func() string { return a.columns.verdict(v) }, false)
		},
		Failure: func(f queue.Failure, raw []byte, _ uint64) {
			a.take(f.Head, raw, func() string { return a.columns.failure(f) }, true)
		},
	})
	switch {
	case err != nil:
		return err
	case len(a.open) > 0:
		return fmt.Errorf("stopped waiting; answers that are still to come, on the streams of verdicts and failures: %s", list(slices.Sorted(maps.Keys(a.open))))
	case a.failed:
		return &exitError{code: exitFailed}
	}
	return nil
}

// answers are those that 'submit' waits for. They come from two goroutines.
type answers struct {
	out      io.Writer
	json     bool
	complete func()

	mu      sync.Mutex
	columns answerColumns
	open    map[queue.DropID]bool // waited for
	had     map[queue.DropID]bool
	failed  bool
}

// take prints an answer if it is waited for. What it tells of other models is waited for, too.
func (a *answers) take(h queue.Head, raw []byte, line func() string, failed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := func(id queue.DropID) bool { return a.open[id] || a.had[id] }
	if a.had[h.ID] || !known(h.ID) && !slices.ContainsFunc(h.With, known) {
		return
	}
	a.had[h.ID], a.failed = true, a.failed || failed
	delete(a.open, h.ID)
	for _, id := range h.With {
		if !a.had[id] {
			a.open[id] = true
		}
	}
	if a.json {
		fmt.Fprintf(a.out, "%s\n", raw)
	} else {
		fmt.Fprintln(a.out, line())
	}
	if len(a.open) == 0 {
		a.complete()
	}
}
