// Package watcher finds new media files in folders and submits them to the queue.
//
// It promises that every complete regular file below its folders is submitted once a version: a file counts when
// nothing about it has changed for the settle time, and a version that was dealt with is not read again, not even
// after a restart. Events are hints; the scan is the truth.
//
// A file that no model takes, or that cannot be read, is refused with a failure message instead. The watcher
// never calls the platform, and alters no file; whether files stay where they are, once they have their answers, is what
// package after does.
package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/after"
	"github.com/authenta/authenta-ingest/watcher/filter"
	"github.com/authenta/authenta-ingest/watcher/media"
	"github.com/authenta/authenta-ingest/watcher/room"
)

// Options configure a watcher. Every field without a default must be set.
type Options struct {
	Queue   *queue.Queue
	Dirs    []string              // folders to watch, with all below them
	Exclude []string              // folders below them that are not ours to read, such as the state folder
	Models  media.Models          // what judges files
	Settle  time.Duration         // a file is complete when nothing about it changed for this long; default 5s
	Rescan  time.Duration         // between safety scans, give or take a quarter; default 5m
	After   after.Plan            // what is done with a file once its answer is there; default: nothing
	Filter  *filter.Filter        // which files count; nil: all that may be media
	Poll    Poll                  // which folders are read over and over instead of listening for events; default PollAuto
	Room    *room.Room            // shared with others who take files in; default: one of its own
	Log     *slog.Logger          // default slog.Default()
	Metrics prometheus.Registerer // nil: nothing is exported
	Beat    func()                // called by the loop that decides what is complete each time that it turns, every few seconds at least; default: nothing

	Stage          bool   // put the bytes of what is taken in into the staging bucket, for workers that do not see the folders
	FollowSymlinks bool   // take what symbolic links lead to, as far as it is in the watched folder
	Host           string // this machine, where several share the queue and have different files at the same paths; else empty
	Machine        string // this machine, as drops tell it to workers that may not see its files; empty: all workers see them
}

func (o Options) withDefaults() Options {
	if o.Settle == 0 {
		o.Settle = 5 * time.Second
	}
	if o.Rescan == 0 {
		o.Rescan = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Room == nil {
		o.Room = room.New(o.Queue, o.Log)
	}
	if o.Beat == nil {
		o.Beat = func() {}
	}
	return o
}

// A Watcher watches folders. New starts nothing; Run does all.
type Watcher struct {
	Options
	metrics metrics
	files   *known
	roots   []*root
	events  *events
	debts   *debts

	found     chan sighting // from scans to the loop; bounded, so that a scan waits for the intake
	hints     *hints        // from events to the loop
	ready     chan sighting // from the loop to the intake
	results   chan result   // from the intake to the loop
	buffers   buffers
	pollEvery time.Duration // between two looks at a folder that sends no events
	window    int           // new files that a scan puts in order at a time

	unscanned atomic.Int32  // roots that were not scanned yet
	firstScan chan struct{} // closed when there are none
	caught    chan struct{} // closed when the first scan's files are dealt with
}

// New checks that the folders can be watched, and returns a watcher.
func New(o Options) (*Watcher, error) {
	o = o.withDefaults()
	for _, dir := range o.Dirs {
		if err := CheckDir(dir); err != nil {
			return nil, err
		}
	}
	dirs, err := absolute(o.Dirs)
	if err != nil {
		return nil, err
	}
	exclude, err := absolute(o.Exclude)
	if err != nil {
		return nil, err
	}
	o.Dirs, o.Exclude = dirs, exclude
	w := &Watcher{
		Options:   o,
		metrics:   newMetrics(o.Metrics),
		files:     newKnown(o.Queue.Registry(o.Host)),
		found:     make(chan sighting, 64),
		hints:     newHints(),
		ready:     make(chan sighting),
		results:   make(chan result),
		buffers:   newBuffers(),
		firstScan: make(chan struct{}),
		caught:    make(chan struct{}),
		pollEvery: o.Poll.every(),
		window:    window,
	}
	w.debts = newDebts(w)
	w.events = newEvents(o.Log, w.heard, w.lostEvents)
	for i, dir := range dirs {
		w.roots = append(w.roots, newRoot(w, i, dir))
	}
	w.unscanned.Store(int32(len(dirs)))
	if len(dirs) == 0 {
		close(w.firstScan)
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(rootCollector{w})
	}
	return w, nil
}

// CheckDir reports why a folder cannot be watched.
func CheckDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("folder %s does not exist", dir)
	case err != nil:
		return fmt.Errorf("folder %s: %w", dir, err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("folder %s cannot be read: %w", dir, err)
	}
	return d.Close()
}

// absolute returns the folders' own paths, each once: a link to one would not be walked. A folder need not exist.
func absolute(dirs []string) ([]string, error) {
	out := make([]string, 0, len(dirs))
	for _, d := range dirs {
		abs, err := filepath.Abs(d)
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", d, err)
		}
		if path := resolve(abs); !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	return out, nil
}

// resolve follows the links in a path, as far as it exists.
func resolve(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil || path == filepath.Dir(path) {
		return target
	}
	return filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path))
}

// CaughtUp is closed when everything that the first scan found is on the queue, has its answer, or is gone.
func (w *Watcher) CaughtUp() <-chan struct{} { return w.caught }

// Unread is how many files and folders could not be looked at when they were last tried.
func (w *Watcher) Unread() int {
	n := int64(0)
	for _, r := range w.roots {
		n += r.unread.Load()
	}
	return int(n)
}

// Run watches until ctx ends, and then returns nil.
func (w *Watcher) Run(ctx context.Context) error {
	g, working := errgroup.WithContext(ctx)
	w.events.open()
	g.Go(func() error { return w.events.run(working) })
	g.Go(func() error { return w.files.run(working) })
	g.Go(func() error { return w.debts.run(working) })
	for _, r := range w.roots {
		g.Go(func() error { return r.run(working) })
	}
	g.Go(func() error { return w.loop(working) })
	g.Go(func() error { return w.intake(working) })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watcher: %w", err)
	}
	return nil
}

// scanned notes that a root was scanned for the first time.
func (w *Watcher) scanned() {
	if w.unscanned.Add(-1) == 0 {
		close(w.firstScan)
	}
}

// heard takes an event as a hint that something about its path may have changed.
func (w *Watcher) heard(event fsnotify.Event) {
	if event.Op != fsnotify.Remove {
		w.hints.add(event.Name)
	}
}

// lostEvents has every root scanned: anything may have changed.
func (w *Watcher) lostEvents() {
	for _, r := range w.roots {
		r.lost.Store(true)
		r.toScan.addAll()
	}
}

// rootOf returns the root that a path belongs to, the innermost; nil: none.
func (w *Watcher) rootOf(path string) *root {
	var of *root
	for _, r := range w.roots {
		if below(path, r.path) && (of == nil || len(r.path) > len(of.path)) {
			of = r
		}
	}
	return of
}
