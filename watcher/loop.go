package watcher

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// backlog is how many complete files may wait for the intake before scans have to wait: some pages of names.
	backlog = 1024
	// maxSettling is how many files may be waited for at a time, in some 20 MB; more are found by the next scan.
	maxSettling = 1 << 16
	// turnEvery is how often the loop turns if nothing happens, to show that it does.
	turnEvery = 5 * time.Second
)

// loop decides what is complete, and hands it to the intake, until ctx ends.
func (w *Watcher) loop(ctx context.Context) error {
	t := newTriage(w.Settle, w.lookAgain, w.Log)
	t.settled = w.metrics.settled
	timer := time.NewTimer(w.Settle) // for the next file to settle
	defer timer.Stop()
	turn := time.NewTicker(turnEvery)
	defer turn.Stop()
	first, caught := w.firstScan, w.caught // nil once closed
	for {
		w.Beat()
		t.settle()
		if first == nil && caught != nil && t.idle() && len(w.found) == 0 {
			close(caught)
			caught = nil
		}
		if at, ok := t.settling.next(); ok {
			timer.Reset(time.Until(at))
		}
		found, hints, ready, next := w.found, w.hints.more, w.ready, sighting{}
		if len(t.ready) >= backlog || t.waiting() >= maxSettling {
			found, hints = nil, nil
		}
		if len(t.ready) > 0 {
			next = t.ready[0]
		} else {
			ready = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-turn.C:
		case <-first:
			first = nil
		case g := <-found:
			w.sighted(t, g)
		case <-hints:
			w.lookAtHints(t)
		case ready <- next:
			t.ready = t.ready[1:]
		case r := <-w.results:
			t.done(r)
		}
	}
}

// sighted takes note of what a scan has found, perhaps a while ago.
func (w *Watcher) sighted(t *triage, g sighting) {
	was := w.files.of(g.path, g.version)
	if !was.done && t.see(g) && g.missed && !was.ever {
		w.rootOf(g.path).foundByScan(g.path)
	}
}

// lookAtHints looks at the paths that events have named.
func (w *Watcher) lookAtHints(t *triage) {
	paths, all := w.hints.take()
	if all {
		w.lostEvents()
	}
	for path := range paths {
		w.Beat() // a slow disk is no loop that stands still
		r := w.rootOf(path)
		if r == nil {
			continue
		}
		if g, ok := r.look(path); ok {
			w.hinted(t, r, g)
		}
	}
}

func (w *Watcher) hinted(t *triage, r *root, g sighting) {
	was := w.files.of(g.path, g.version)
	if was.done {
		return
	}
	if !was.ever {
		r.foundByHint()
	}
	t.hint(g)
}

// A triage sorts sightings into files that may still be written, and files that are complete. Only the loop touches it.
type triage struct {
	settling *settling
	ready    []sighting // complete, and not yet handed to the intake
	taken    map[string]taking
	look     func(sighting) (sighting, bool) // what its path is now
	settled  func(after time.Duration)       // told of each file that is complete, but for those that are tried again
	clock    clock
	began    time.Time
	log      *slog.Logger
}

// A taking is a file that is ready, or with the intake.
type taking struct {
	version queue.FileID
	touched bool // another version was seen since
}

func newTriage(settle time.Duration, look func(sighting) (sighting, bool), log *slog.Logger) *triage {
	return &triage{
		settling: newSettling(settle), taken: map[string]taking{}, look: look, log: log, settled: func(time.Duration) {},
		clock: clock{settle: settle}, began: time.Now(),
	}
}

// see takes note of what a path is now, and reports whether it is news.
func (t *triage) see(g sighting) bool {
	if now, ok := t.taken[g.path]; ok {
		now.touched = now.touched || !now.version.Same(g.version)
		t.taken[g.path] = now
		return false
	}
	now := time.Now()
	trusted := t.clock.trusted(now.Round(0), now.Sub(t.began)) && !g.remote
	switch t.settling.see(g, now, trusted) {
	case settled:
		t.settled(0)
		t.complete(g)
	case unchanged:
		return false
	case changing:
		t.warn(g.path, now)
	}
	return true
}

// hint is see for a file of which an event has told: even if nothing is seen of it, something was done to it.
func (t *triage) hint(g sighting) {
	if !t.see(g) {
		t.settling.touch(g.path, time.Now())
	}
}

// slowly is how long a file may go on changing until somebody is told of it.
const slowly = 10 * time.Minute

// warn tells, once, of a file that never settles.
func (t *triage) warn(path string, now time.Time) {
	if since, ok := t.settling.slow(path, now, slowly); ok {
		t.log.Warn("a file has been changing for long, and is waited for", "file", path, "since", since)
	}
}

func (t *triage) complete(g sighting) {
	t.taken[g.path] = taking{version: g.version}
	t.ready = append(t.ready, g)
}

// settle moves on the files that have settled by now.
func (t *triage) settle() {
	for g, ok := t.settling.due(time.Now()); ok; g, ok = t.settling.due(time.Now()) {
		now, exists := t.look(g)
		if exists && !now.version.Same(g.version) { // and no event told of it
			t.settling.wait(now, time.Now())
			t.warn(g.path, time.Now())
			continue
		}
		first := t.settling.forget(g.path)
		if exists {
			if g.tries == 0 {
				t.settled(time.Since(first))
			}
			t.complete(g)
		}
	}
}

// done takes a file back from the intake. If it was not dealt with, or touched meanwhile, it has to settle again.
func (t *triage) done(r result) {
	touched := t.taken[r.path].touched
	delete(t.taken, r.path)
	if !touched && !r.again {
		return
	}
	if touched {
		r.tries = 0
	}
	if g, ok := t.look(r.sighting); ok {
		t.settling.wait(g, time.Now())
	}
}

// waiting is how many files it has.
func (t *triage) waiting() int { return t.settling.len() + len(t.taken) }

// idle reports whether no file is waited for.
func (t *triage) idle() bool { return t.waiting() == 0 }

// look returns what the path of an event is now; false: no file that counts. A folder is scanned.
func (r *root) look(path string) (sighting, bool) {
	if file, ok := r.Filter.Marked(path); ok { // the marker has come
		path = file
	}
	st, err := lstat(path)
	switch {
	case err != nil:
	case isFolder(&st):
		if path == r.path || r.entered(path) {
			r.toScan.add(path)
		}
	case isLink(&st):
		if r.FollowSymlinks && (r.counts(path) || r.entered(path)) {
			r.toScan.add(filepath.Dir(path))
		}
	case isRegular(&st) && r.counts(path):
		g := sighting{path: path, version: queue.FileIDOf(&st)}
		return g, r.admits(g)
	}
	return sighting{}, false
}

// lookAgain returns what the path of a sighting is now; false: no file that counts. What is on another machine is looked at
// by the intake: that may take long, and the loop is for all.
func (w *Watcher) lookAgain(g sighting) (sighting, bool) {
	if g.remote {
		return g, true
	}
	w.Beat() // it may be one of very many
	r := w.rootOf(g.path)
	st, err := lstat(g.path)
	if err == nil && isLink(&st) {
		if _, ok := r.target(g.path); ok {
			st, err = stat(g.path)
		}
	}
	if err != nil || !isRegular(&st) {
		return g, false
	}
	g.version = queue.FileIDOf(&st)
	return g, r.admits(g)
}

// lookRemote looks at a file on another machine, and reports whether it still is what it was. It is opened for that, because
// what its file system says of it may be a minute old until then. If it is not, the sighting becomes what it is now.
func (w *Watcher) lookRemote(g *sighting) (same, there bool) {
	f, err := w.openFile(g.path)
	if err != nil {
		return true, !isGone(err) // reading it will fail as well, and say why
	}
	defer f.Close()
	id, regular, err := queue.FileIDOfOpen(f)
	if err != nil || !regular {
		return false, false
	}
	same = id.Same(g.version)
	g.version = id
	return same, w.rootOf(g.path).admits(*g)
}

// openFile opens a file to read it. A pipe in its place would be waited for, and a link lead to anywhere.
func (w *Watcher) openFile(path string) (*os.File, error) {
	flags := os.O_RDONLY | syscall.O_NONBLOCK
	if !w.FollowSymlinks {
		flags |= syscall.O_NOFOLLOW
	}
	return os.OpenFile(path, flags, 0)
}
