package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/cmd/authenta-ingest/monitor"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
	"github.com/authenta/authenta-ingest/watcher"
	"github.com/authenta/authenta-ingest/watcher/fetch"
	"github.com/authenta/authenta-ingest/watcher/room"
	"github.com/authenta/authenta-ingest/watcher/subject"
	"github.com/authenta/authenta-ingest/worker"
)

// runOptions are the flags of 'run'.
type runOptions struct {
	sandbox bool
	once    bool
	json    bool
	resume  bool
}

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [DIR...]",
		Short: "Watch folders and have what arrives in them judged",
		Long: `Watch the given folders and those of INGEST_DIRS, have every image and video
that arrives in them judged, and publish the verdicts on NATS and on standard
output. What comes on the NATS subjects of INGEST_SUBJECTS, and by 'submit', is
judged, too.

With INGEST_ROLE=watcher files are only taken in, for workers elsewhere; with
INGEST_ROLE=worker no folders are watched, and what others have taken in is
judged. They share the NATS server of NATS_URL.

With --sandbox no account is needed: a simulated platform runs inside the
process. Its verdicts mean nothing, and what it judged is kept apart from the
real state.

It runs until it is stopped (Ctrl-C, or SIGTERM), and goes on where it stopped
when it is started again.`,
		Example: `  authenta-ingest run --sandbox ~/inbox
  authenta-ingest run /srv/inbox /srv/more
  authenta-ingest run --once ~/inbox`,
		ValidArgsFunction: folders,
		RunE: func(cmd *cobra.Command, dirs []string) error {
			s, mistakes := readSettings()
			for _, dir := range dirs {
				mistakes.folder(dir)
			}
			s.Dirs = append(s.Dirs, dirs...)
			s.checkRole(o, mistakes)
			if err := mistakes.err(); err != nil {
				return err
			}
			log := newLog(cmd.ErrOrStderr(), s.LogLevel)
			for _, name := range unknown() {
				log.Warn(noSetting(name))
			}
			return run(cmd.Context(), s, o, cmd.OutOrStdout(), cmd.ErrOrStderr(), log)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.sandbox, "sandbox", false, "use a simulated platform inside the process")
	f.BoolVar(&o.once, "once", false, "deal with what is there, wait until all of it is judged or has failed, and end")
	f.BoolVar(&o.json, "json", false, "print each verdict as a line of JSON")
	f.BoolVar(&o.resume, "resume", false, "go on at once, whatever work was paused for")
	return cmd
}

// sandboxState is the state folder for the simulated platform, below that for the real one.
func sandboxState(dir string) string { return filepath.Join(dir, "sandbox") }

// sameFolder reports whether two paths lead to one folder. One that does not exist is none.
func sameFolder(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// onStep is called before and after every durable step. Tests kill the process there.
var onStep func(point string)

// run builds the parts, lets them work until ctx ends or --once is done, and takes them down in the reverse order.
func run(ctx context.Context, s settings, o runOptions, stdout, stderr io.Writer, log *slog.Logger) (err error) {
	numbers := newTelemetry()
	health, err := openMonitor(s, o.once, numbers.handler(log), log)
	if err != nil {
		return &exitError{exitFailure, err}
	}
	defer health.Close()
	defer context.AfterFunc(ctx, health.Stopping)()
	defer startTracing(s, log)()
	health.Starting("connecting to NATS")
	makeTempDir(log)
	states := s.StateDir
	if o.sandbox { // its jobs and verdicts stay apart from the real ones
		s.StateDir = sandboxState(s.StateDir)
	}
	numbers.early(s, health)
	broker, err := openBroker(ctx, s, numbers, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() {
		if closing := broker.close(); closing != nil && err == nil {
			err = &exitError{exitFailure, closing}
		}
	}()
	if o.sandbox {
		simulated, err := insideSandbox(&s)
		if err != nil {
			return &exitError{exitFailure, err}
		}
		defer simulated.close()
	}
	client, err := newClient(s, broker, numbers)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	platform := client.BaseURL()
	if o.sandbox {
		platform = "sandbox" // wherever it listens this time
	}
	health.Starting("preparing the store")
	q, err := openQueue(ctx, s, platform, broker, numbers, log)
	if err != nil {
		return stopped(ctx, err)
	}
	d, err := newDaemon(s, q, client, append(s.plan().Targets(s.Dirs...), states), numbers, health, log)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if s.Role.Watches() {
		taker, err := newTaker(ctx, s, q, d.room, numbers, log)
		if err != nil {
			return stopped(ctx, err)
		}
		d.sources = append(d.sources, taker)
	}
	if o.resume {
		if err := errors.Join(d.cluster.Polls.Resume(ctx), d.cluster.Uploads.Resume(ctx)); err != nil {
			return stopped(ctx, err)
		}
	}
	d.broker, d.report = broker, newReport(q, o, stdout, stderr, log)
	d.introduce(s, platform)
	return d.run(ctx, o.once)
}

// newClient makes the client of the platform, which sends nothing to the broker, whatever upload URLs it is given.
func newClient(s settings, b *broker, numbers *telemetry) (*authenta.Client, error) {
	return authenta.New(authenta.Options{
		BaseURL: s.URL, Credentials: s.keys().read, UserAgent: "authenta-ingest/" + version(),
		Forbidden: natsAddresses(b.listens), Observe: worker.Calls(numbers),
	})
}

// introduce says in the log what the process begins to do.
func (d *daemon) introduce(s settings, platform string) {
	d.log.Info(d.doing(), "folders", strings.Join(s.Dirs, ", "), "subjects", strings.Join(s.Subjects, ", "), "role", s.Role, "platform", platform, "nats", d.broker.address)
	if s.Role == control.RoleWatcher && s.Stage == stageOff {
		d.log.Info("no worker but those on this machine may be able to read what is in these folders: "+
			"let others see them under the same paths, or set INGEST_STAGE=store", "machine", s.filesAt())
	}
}

// openQueue opens the queue, and finds out what was lost of it before anything is done with it.
func openQueue(ctx context.Context, s settings, platform string, b *broker, numbers *telemetry, log *slog.Logger) (*queue.Queue, error) {
	q, err := queue.Open(ctx, b.conn, queue.Options{
		Namespace: queue.Namespace(s.Namespace), Platform: platform, Replicas: s.Replicas, StageBytes: s.StageBytes.bytes,
		InFlight: s.InFlight, ResultTTL: s.ResultTTL, Room: b.room, Log: log, Step: onStep,
		Metrics: numbers, Models: models(slices.Concat(s.ModelImage, s.ModelVideo)),
	})
	if err != nil {
		return nil, fmt.Errorf("prepare NATS: %w", err)
	}
	return q, q.Persist(ctx, func(ctx context.Context) error { return b.recover(ctx, q, log) })
}

// newDaemon makes the parts that work on a queue, as far as they are this process's. exclude are folders that are not media's.
func newDaemon(s settings, q *queue.Queue, client *authenta.Client, exclude []string, numbers *telemetry, health *monitor.Monitor, log *slog.Logger) (*daemon, error) {
	d := &daemon{queue: q, room: room.New(q, log), monitor: health, subjects: len(s.Subjects) > 0, log: log}
	var dirs []string
	if s.Role.Watches() && len(s.Dirs) > 0 {
		watch, err := newWatcher(s, q, d.room, exclude, numbers, health.Pulse("watcher"), log)
		if err != nil {
			return nil, err
		}
		d.sources, d.watcher, dirs = append(d.sources, watch), watch, watch.Dirs
	}
	d.cluster = control.New(control.Options{
		Queue: q, MutationRate: s.MutationRate, QueryRate: s.QueryRate,
		MutationQuota: s.MutationQuota, QueryQuota: s.QueryQuota, Version: version(),
		Role: s.Role, Host: s.machine(), Boot: s.boot(), Dirs: dirs, Log: log, Metrics: numbers, Beat: health.Pulse("cluster"),
	})
	if s.Role.Works() {
		d.worker = worker.New(worker.Options{
			Queue: q, Client: client, Cluster: d.cluster, Host: s.filesAt(), Credentials: s.keys().read, Uploads: s.Uploads,
			InFlight: s.InFlight, PollTimeout: s.PollTimeout, Grace: s.Drain * 2 / 3, Log: log,
		})
	}
	return d, nil
}

func newWatcher(s settings, q *queue.Queue, r *room.Room, exclude []string, numbers *telemetry, beat func(), log *slog.Logger) (*watcher.Watcher, error) {
	files, err := s.filter()
	if err != nil {
		return nil, err
	}
	return watcher.New(watcher.Options{
		Queue: q, Dirs: s.Dirs, Exclude: exclude, Models: s.models(),
		Settle: s.Settle, Rescan: s.Rescan, Filter: files, After: s.plan(), Poll: s.PollDirs, Stage: s.Stage == stageStore,
		FollowSymlinks: s.FollowSymlinks, Host: s.Host, Machine: s.filesAt(), Room: r, Log: log, Metrics: numbers, Beat: beat,
	})
}

// newTaker has the subjects captured, and makes what takes in the media that they bring.
func newTaker(ctx context.Context, s settings, q *queue.Queue, r *room.Room, numbers *telemetry, log *slog.Logger) (*subject.Taker, error) {
	f, err := fetch.New(fetch.Options{Hosts: s.URLHosts, Private: s.URLPrivate, MaxSize: s.MaxSize.bytes})
	if err != nil {
		return nil, err
	}
	taker := subject.Options{
		Queue: q, Models: s.models(), Fetch: f, Roots: slices.Concat(s.Dirs, s.Roots), MaxSize: s.MaxSize.bytes,
		Host: s.filesAt(), Stage: s.Stage == stageStore, Room: r, Grace: s.Drain * 2 / 3, Log: log, Metrics: numbers,
	}
	roots, err := subject.Roots(taker.Roots)
	if err != nil {
		return nil, err
	}
	if taker.Intake, err = q.Intake(ctx, s.filesAt(), queue.Named{Subjects: s.Subjects, Roots: roots}); err != nil {
		return nil, err
	}
	return subject.New(taker)
}

// insideSandbox starts a simulated platform, which remembers across restarts, and points the settings to it.
func insideSandbox(s *settings) (*sandboxServer, error) {
	o := sandbox.Options{
		ClientID: "sandbox-id", ClientSecret: "sandbox-secret",
		Credits: sandbox.Unlimited, MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited,
		Latency: 2 * time.Second, Journal: filepath.Join(s.StateDir, "platform.jsonl"),
	}
	if err := makeDir(s.StateDir); err != nil {
		return nil, err
	}
	platform, err := startSandbox(sandboxAddr, o) // the usual address, so that upload URLs survive a restart
	if err != nil {
		platform, err = startSandbox("127.0.0.1:0", o)
	}
	if err != nil {
		return nil, err
	}
	s.URL = platform.url
	s.ClientID, s.ClientSecret, s.APIKey = o.ClientID, o.ClientSecret, ""
	s.ClientIDFile, s.ClientSecretFile, s.APIKeyFile = "", "", ""
	return platform, nil
}

// stopped turns an error that a signal caused into a clean end.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return &exitError{exitFailure, err}
}

// A daemon is the parts at work.
type daemon struct {
	queue    *queue.Queue
	cluster  *control.Cluster
	worker   *worker.Worker   // nil: it only takes files in
	sources  []source         // none: it only works
	watcher  *watcher.Watcher // of the sources; nil: no folders are watched
	subjects bool             // messages bring files in, too
	room     *room.Room
	report   *report
	broker   *broker
	monitor  *monitor.Monitor
	offers   offers
	log      *slog.Logger
}

// errOnceDone ends the parts when --once has nothing left to wait for.
var errOnceDone = errors.New("done")

func (d *daemon) run(ctx context.Context, once bool) error {
	var from queue.Position
	err := d.queue.Persist(ctx, func(ctx context.Context) (err error) {
		from, err = d.queue.End(ctx)
		return err
	})
	if err != nil {
		return stopped(ctx, err)
	}
	// What the parts need to finish what they have in hand outlives them: the readers of what they publish, and this
	// process's place in the cluster, which others would take.
	outlasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	base, outlasting := errgroup.WithContext(outlasting)
	base.Go(func() error { return d.report.run(outlasting, from) })
	base.Go(func() error { return d.cluster.Run(outlasting) })
	base.Go(func() error {
		return d.broker.run(outlasting, embedded.Care{Redeliver: d.redeliver, Damaged: d.queue.Suspect})
	})

	d.monitor.Working(d.probes())
	parts, working := errgroup.WithContext(ctx)
	defer context.AfterFunc(working, d.monitor.Stopping)() // loops end at once, and what is in hand may take long
	part := func(name string, run func(context.Context) error) {
		parts.Go(func() error {
			if err := run(working); err != nil || working.Err() != nil {
				return err
			}
			return fmt.Errorf("%s stopped by itself", name)
		})
	}
	if d.worker != nil {
		part("worker", d.worker.Run)
	}
	for _, s := range d.sources {
		part("watcher", s.Run)
	}
	part("upkeep", d.upkeep)
	part("offers", func(ctx context.Context) error { return d.offer(ctx, once) })
	part("report, cluster or broker", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-outlasting.Done():
			return base.Wait()
		}
	})
	if once {
		part("once", d.untilDone)
	}
	err = parts.Wait()
	d.report.catchUp(outlasting)
	stop()
	baseErr := base.Wait()
	switch exit, ok := errors.AsType[*exitError](err); {
	case errors.Is(err, errOnceDone):
		return d.report.conclude(nil, d.leftovers())
	case ok:
		return d.report.conclude(exit, d.leftovers())
	case err != nil:
		return &exitError{exitFailure, err}
	case baseErr != nil:
		return &exitError{exitFailure, baseErr}
	}
	return nil
}

// doing is what the process does, for the log.
func (d *daemon) doing() string {
	if len(d.sources) == 0 {
		return "working"
	}
	return "watching"
}

func (d *daemon) leftovers() (l leftovers) {
	for _, s := range d.sources {
		_, undone := s.Owing()
		l.undone += undone
		l.unread += s.Unread()
	}
	return l
}
