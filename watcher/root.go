package watcher

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pollShare bounds the time that polling takes: one part in so many.
	pollShare = 10
	// checkEvery is how often it is looked whether a root is there, and the same.
	checkEvery = 2 * time.Second
	// maxMissed is how many files in a row only a safety scan may find, until events are not trusted any more.
	maxMissed = 3
)

// A root is a watched folder. What is not said to be shared belongs to the goroutine of run.
type root struct {
	*Watcher
	index  int
	path   string
	unseen *hints // folders to scan; shared

	scans   uint32 // whole ones so far
	polled  map[string]struct{}
	missing bool
	place   place            // where it was when it was last there
	trouble map[string]error // what could not be read when it was last tried
	lost    atomic.Bool      // events were, since the last whole scan; shared
	missed  atomic.Int32     // files in a row that only a safety scan has found; shared
	unheard atomic.Bool      // it sends no events, whatever the system says; shared
	unread  atomic.Int64     // len(trouble); shared
}

// A place is where in the file systems a root is.
type place struct {
	dirID
	mounted bool // a file system begins there
}

func newRoot(w *Watcher, index int, path string) *root {
	return &root{
		Watcher: w, index: index, path: path, unseen: newHints(),
		polled: map[string]struct{}{}, trouble: map[string]error{},
	}
}

// run scans the root at the start and from time to time, and parts of it when asked to, until ctx ends.
func (r *root) run(ctx context.Context) error {
	for _, ready := range []chan struct{}{r.files.loaded, r.debts.ready} {
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
		}
	}
	r.scanWhole(ctx, false)
	if ctx.Err() == nil {
		r.scanned()
	}
	rescan, poll := time.NewTimer(r.rescanIn()), time.NewTimer(r.pollIn(0))
	check := time.NewTicker(checkEvery)
	defer rescan.Stop()
	defer poll.Stop()
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rescan.C:
			r.scanWhole(ctx, true)
			rescan.Reset(r.rescanIn())
		case <-poll.C:
			began := time.Now()
			r.poll(ctx)
			poll.Reset(r.pollIn(time.Since(began)))
		case <-check.C:
			if r.moved() {
				r.scanWhole(ctx, false)
			}
		case <-r.unseen.more:
			r.scanParts(ctx)
		}
	}
}

// rescanIn spreads the scans of several roots and watchers.
func (r *root) rescanIn() time.Duration {
	return r.Rescan*3/4 + rand.N(r.Rescan/2+1)
}

// pollIn is when to poll next, after a poll that took a while.
func (r *root) pollIn(took time.Duration) time.Duration {
	return max(r.pollEvery, took*(pollShare-1))
}

// scanParts scans the folders that were asked for.
func (r *root) scanParts(ctx context.Context) {
	dirs, all := r.unseen.take()
	if all {
		r.scanWhole(ctx, false)
		return
	}
	for dir := range dirs {
		r.scanPart(ctx, dir)
	}
}

// there finds out whether the root is there. If it is not, its files are waited for: they are not gone.
func (r *root) there(ctx context.Context) bool {
	now, err := placeOf(r.path)
	if err == nil && r.place.mounted && !now.mounted {
		err = errors.New("nothing is mounted there any more")
	}
	if err != nil {
		if !r.missing {
			r.Log.Warn("a watched folder is not there; waiting for it", "folder", r.path, "error", err)
			r.tell(ctx, "folder_missing", err)
		}
		r.missing = true
		return false
	}
	if r.missing {
		r.Log.Info("a watched folder is there again", "folder", r.path)
		r.tell(ctx, "folder_back", nil)
	}
	if r.missing || now != r.place {
		r.events.forgetAll(r.path) // the watches were of what was there before
	}
	r.missing, r.place = false, now
	return true
}

// moved reports whether the root is another folder than when it was last looked at, or is there again.
func (r *root) moved() bool {
	now, err := placeOf(r.path)
	switch {
	case r.missing:
		return err == nil && (now.mounted || !r.place.mounted)
	case err != nil:
		return true
	}
	return now != r.place
}

func placeOf(path string) (place, error) {
	st, err := stat(path)
	if err == nil && !isFolder(&st) {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return place{}, err
	}
	p := place{dirID: dirIDOf(&st)}
	if up, err := stat(filepath.Dir(path)); err == nil {
		p.mounted = up.Dev != st.Dev
	}
	return p, nil
}

// foundByHint notes that events tell of new files.
func (r *root) foundByHint() { r.missed.Store(0) }

// foundByScan notes that a safety scan has found a file of which an event should have told.
func (r *root) foundByScan(path string) {
	if r.missed.Add(1) == maxMissed && !r.unheard.Swap(true) {
		r.Log.Warn("events do not tell of new files in a watched folder; it is polled from now on",
			"folder", r.path, "found", path, "every", r.pollEvery)
		r.unseen.addAll()
	}
}

// sendsEvents reports whether a folder's changes will be heard of. If they are not, it is polled, unless the settings say never.
func (r *root) sendsEvents(path string, st *unix.Stat_t, remote bool) bool {
	if r.Poll.always() || remote || r.unheard.Load() {
		return false
	}
	return r.events.watch(path, dirIDOf(st))
}

// rel is a path below the root, as the filter has it.
func (r *root) rel(path string) string {
	return strings.TrimPrefix(path[len(r.path):], "/")
}

// entered reports whether a folder below the root is ours to look into.
func (r *root) entered(path string) bool {
	return !r.leftOut(path) && r.rootOf(path) == r && r.Filter.Folder(r.rel(path))
}

// counts reports whether a path is that of a file for us, by its name and place.
func (r *root) counts(path string) bool {
	return r.Filter.File(r.rel(path)) && !r.leftOut(path)
}

func (r *root) leftOut(path string) bool {
	return slices.ContainsFunc(r.Exclude, func(dir string) bool { return below(path, dir) })
}

// admits reports whether a file counts by its size, and by its marker, if it has to have one.
func (r *root) admits(g sighting) bool {
	if !r.Filter.Size(g.version.Size) {
		return false
	}
	marker := r.Filter.Marker(g.path)
	if marker == "" {
		return true
	}
	_, err := lstat(marker)
	return err == nil
}

// tell publishes what became of the root.
func (r *root) tell(ctx context.Context, kind string, why error) {
	e := rootEvent{At: time.Now().UTC(), Folder: r.path}
	if why != nil {
		e.Message = why.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if err := r.Queue.Event(ctx, kind, kind+r.path+e.At.Format(time.RFC3339Nano), e); err != nil {
		r.Log.Debug("an event is not published", "kind", kind, "error", err)
	}
}

// A rootEvent is the message on <ns>.events.folder_missing and <ns>.events.folder_back.
type rootEvent struct {
	At      time.Time `json:"at"`
	Folder  string    `json:"folder"`
	Message string    `json:"message,omitempty"`
}
