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
	toScan *hints // folders; shared

	scans   uint32              // whole ones so far
	absence error               // why it is not there; nil: it is
	place   place               // where it was when it was last there
	polled  map[string]struct{} // folders that send no events
	trouble map[string]error    // what could not be read when it was last tried
	links   map[string]struct{} // links to folders that the last whole scan knew of

	lost   atomic.Bool             // events were, since the last safety scan; shared
	missed atomic.Int32            // files in a row that only a safety scan has found; shared
	silent atomic.Bool             // it sends no events, whatever the system says; shared
	unread atomic.Int64            // len(trouble); shared
	shown  atomic.Pointer[showing] // see show; shared
}

// A place is where in the file systems a root is.
type place struct {
	dirID
	mount   uint64
	mounted bool // a file system begins there
}

func newRoot(w *Watcher, index int, path string) *root {
	return &root{
		Watcher: w, index: index, path: path, toScan: newHints(),
		polled: map[string]struct{}{}, trouble: map[string]error{}, links: map[string]struct{}{},
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
		r.show()
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
			if r.moved() || r.unheard() {
				r.scanWhole(ctx, false)
			}
		case <-r.toScan.more:
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
	dirs, all := r.toScan.take()
	if all || r.moved() || r.unheard() {
		r.scanWhole(ctx, false)
		return
	}
	for dir := range dirs {
		r.scanPart(ctx, dir)
	}
}

// arrive takes up the root as it is now, and reports whether it is there. If it is not, its files are waited for: they are
// not gone.
func (r *root) arrive(ctx context.Context) bool {
	now, err := placeOf(r.path)
	if err == nil && r.place.mounted && !now.mounted {
		err = errors.New("nothing is mounted there any more")
	}
	was := r.absence
	r.absence = err
	if was != nil || err != nil {
		r.show()
	}
	switch {
	case err != nil && was == nil:
		r.Log.Warn("a watched folder is not there; waiting for it", "folder", r.path, "error", err)
		r.tell(ctx, "folder_missing", err)
	case err == nil && was != nil:
		r.Log.Info("a watched folder is there again", "folder", r.path)
		r.tell(ctx, "folder_back", nil)
	}
	if err != nil {
		return false
	}
	if was != nil || now != r.place {
		r.events.forgetBelow(r.path) // the watches were of what was there before
	}
	r.place = now
	return true
}

// moved reports whether the root is not what it was when it was last scanned.
func (r *root) moved() bool {
	now, err := placeOf(r.path)
	if r.absence != nil {
		return err == nil && (now.mounted || !r.place.mounted)
	}
	return err != nil || now != r.place
}

// unheard reports whether the root is neither watched nor polled any more: it was moved away and back.
func (r *root) unheard() bool {
	_, polled := r.polled[r.path]
	return r.absence == nil && !polled && !r.events.watches(r.path)
}

func placeOf(path string) (place, error) {
	st, err := stat(path)
	if err == nil && !isFolder(&st) {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return place{}, err
	}
	p := place{dirID: dirIDOf(&st), mount: mountID(path)}
	if up, err := stat(filepath.Dir(path)); err == nil {
		p.mounted = up.Dev != st.Dev
	}
	return p, nil
}

// foundByHint notes that events tell of new files.
func (r *root) foundByHint() {
	r.missed.Store(0)
	if r.silent.Swap(false) {
		r.Log.Info("events tell of new files in a watched folder again", "folder", r.path)
		r.toScan.addAll()
	}
}

// foundByScan notes that a safety scan has found a file of which an event should have told.
func (r *root) foundByScan(path string) {
	if r.missed.Add(1) >= maxMissed && r.Poll != PollNever && !r.silent.Swap(true) {
		r.Log.Warn("events do not tell of new files in a watched folder; it is polled from now on",
			"folder", r.path, "found", path, "every", r.pollEvery)
		r.toScan.addAll()
	}
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

// target returns where a link leads, if links are followed and that is in the root.
func (r *root) target(path string) (string, bool) {
	if !r.FollowSymlinks {
		return "", false
	}
	to, err := filepath.EvalSymlinks(path)
	return to, err == nil && below(to, r.path)
}

// tellTime is how long an event may take to publish.
const tellTime = time.Second

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
