// Package watcher finds new media files in folders and submits them to the queue.
//
// It promises that every complete regular file below its folders is submitted once a version: a file counts when
// nothing about it has changed for the settle time, and a version that was dealt with is not read again, not even
// after a restart. Events are hints; the scan is the truth.
//
// A file that no model takes, or that cannot be read, is refused with a failure message instead. The watcher
// never calls the platform and alters no file.
package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
)

// Options configure a watcher. Every field without a default must be set.
type Options struct {
	Queue   *queue.Queue
	Dirs    []string      // folders to watch, with all below them
	Exclude []string      // folders below them that are not ours to read, such as the state folder
	Images  []queue.Model // what judges images
	Videos  []queue.Model // what judges videos
	Settle  time.Duration // a file is complete when nothing about it changed for this long; default 5s
	Rescan  time.Duration // between safety scans, give or take a quarter; default 5m
	Log     *slog.Logger  // default slog.Default()
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
	return o
}

// A Watcher watches folders. New starts nothing; Run does all.
type Watcher struct {
	Options
	room    *room
	found   chan sighting // from scans to the loop; bounded, so that a scan waits for the intake
	hints   *hints        // from events to the loop
	ready   chan sighting // from the loop to the intake
	results chan result   // from the intake to the loop
	unseen  *hints        // folders to scan, because they are new or events were lost
	buffers chan []byte   // one a file that is being read
	caught  chan struct{} // closed when the first scan's files are dealt with
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
	return &Watcher{
		Options: o,
		room:    &room{queue: o.Queue, log: o.Log},
		found:   make(chan sighting, 64),
		hints:   newHints(),
		ready:   make(chan sighting),
		results: make(chan result),
		unseen:  newHints(),
		buffers: newBuffers(),
		caught:  make(chan struct{}),
	}, nil
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

// absolute returns the folders' own paths: a link to one would not be walked. A folder need not exist.
func absolute(dirs []string) ([]string, error) {
	out := make([]string, 0, len(dirs))
	for _, d := range dirs {
		abs, err := filepath.Abs(d)
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", d, err)
		}
		out = append(out, resolve(abs))
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

// Run watches until ctx ends, and then returns nil.
func (w *Watcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	firstScan := make(chan struct{})
	watch := newFolderEvents(w)
	g.Go(func() error { return watch.run(ctx) })
	g.Go(func() error { return w.scanning(ctx, watch, firstScan) })
	g.Go(func() error { return w.loop(ctx, firstScan) })
	g.Go(func() error { return w.intake(ctx) })
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watcher: %w", err)
	}
	return nil
}

// rescanIn spreads the scans of several watchers.
func (w *Watcher) rescanIn() time.Duration {
	return w.Rescan*3/4 + rand.N(w.Rescan/2+1)
}
