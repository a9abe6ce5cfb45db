package watcher

import (
	"context"
	"os"
	"time"
)

// backlog is how many complete files may wait for the intake before scans have to wait: some pages of names.
const backlog = 1024

// loop decides what is complete, and hands it to the intake, until ctx ends.
func (w *Watcher) loop(ctx context.Context, firstScan <-chan struct{}) error {
	t := newTriage(w.Settle)
	timer := time.NewTimer(w.Settle) // for the next file to settle
	defer timer.Stop()
	caught := w.caught // nil once closed
	for {
		t.settle()
		if firstScan == nil && caught != nil && t.idle() && len(w.found) == 0 {
			close(caught)
			caught = nil
		}
		if at, ok := t.settling.next(); ok {
			timer.Reset(time.Until(at))
		}
		found, ready, next := w.found, w.ready, sighting{}
		if len(t.ready) >= backlog {
			found = nil
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
		case <-firstScan:
			firstScan = nil
		case g := <-found:
			t.see(g)
		case <-w.hints.more:
			for path := range w.hints.take() {
				if g, ok := look(path); ok {
					t.see(g)
				}
			}
		case ready <- next:
			t.ready = t.ready[1:]
		case r := <-w.results:
			t.done(r)
		}
	}
}

// A triage sorts sightings into files that may still be written, and files that are complete. Only the loop touches it.
type triage struct {
	settling *settling
	ready    []sighting // complete, and not yet handed to the intake
	taken    map[string]taking
}

// A taking is a file that is ready, or with the intake.
type taking struct {
	version version
	touched bool // another version was seen since
}

func newTriage(settle time.Duration) *triage {
	return &triage{settling: newSettling(settle), taken: map[string]taking{}}
}

// see takes note of what a path is now.
func (t *triage) see(g sighting) {
	if now, ok := t.taken[g.path]; ok {
		now.touched = now.touched || !now.version.same(g.version)
		t.taken[g.path] = now
	} else if t.settling.see(g, time.Now()) {
		t.complete(g)
	}
}

func (t *triage) complete(g sighting) {
	t.taken[g.path] = taking{version: g.version}
	t.ready = append(t.ready, g)
}

// settle moves on the files that have settled by now.
func (t *triage) settle() {
	for g, ok := t.settling.pop(time.Now()); ok; g, ok = t.settling.pop(time.Now()) {
		switch now, exists := look(g.path); {
		case exists && now.version.same(g.version):
			t.complete(g)
		case exists: // altered, and no event told of it
			t.see(now)
		}
	}
}

// done takes a file back from the intake. If it was not dealt with, or touched meanwhile, it has to settle again.
func (t *triage) done(r result) {
	touched := t.taken[r.path].touched
	delete(t.taken, r.path)
	if touched || r.again {
		if g, ok := look(r.path); ok {
			t.settling.wait(g, time.Now())
		}
	}
}

// idle reports whether no file is waited for.
func (t *triage) idle() bool { return t.settling.empty() && len(t.taken) == 0 }

// look returns what a path is now; false: no regular file.
func look(path string) (sighting, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return sighting{}, false
	}
	return sighting{path: path, version: versionOf(info)}, true
}
