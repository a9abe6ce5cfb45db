package watcher

import (
	"context"
	"os"
	"time"
)

// backlog is how many complete files may wait for the intake before scans have to wait: some pages of names.
const backlog = 1024

// loop decides what is complete. It alone knows the settling files and those that the intake has.
func (w *Watcher) loop(ctx context.Context, firstScan <-chan struct{}) error {
	s := newSettling(w.Settle)
	var (
		ready   []sighting                 // complete, and not yet taken by the intake
		taken   = map[string]bool{}        // with the intake; true: something was seen of it meanwhile
		timer   = time.NewTimer(time.Hour) // for the next file to settle
		caught  = w.caught                 // nil once closed
		scanned = firstScan                // nil once closed
	)
	defer timer.Stop()
	see := func(g sighting) {
		if _, ok := taken[g.path]; ok {
			taken[g.path] = true
		} else if s.see(g, time.Now()) {
			taken[g.path] = false
			ready = append(ready, g)
		}
	}
	for {
		for g, ok := s.pop(time.Now()); ok; g, ok = s.pop(time.Now()) {
			if now, ok := look(g.path); ok && now.version.same(g.version) {
				taken[g.path] = false
				ready = append(ready, g)
			} else if ok {
				see(now)
			}
		}
		if scanned == nil && caught != nil && s.empty() && len(taken) == 0 && len(w.found) == 0 {
			close(caught)
			caught = nil
		}
		var (
			found = w.found
			out   chan<- sighting
			head  sighting
		)
		if len(ready) > 0 {
			out, head = w.ready, ready[0]
		}
		if len(ready) >= backlog {
			found = nil
		}
		if at, ok := s.next(); ok {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-scanned:
			scanned = nil
		case g := <-found:
			see(g)
		case <-w.hints.more:
			for path := range w.hints.take() {
				if g, ok := look(path); ok {
					see(g)
				}
			}
		case out <- head:
			ready = ready[1:]
		case r := <-w.results:
			touched := taken[r.path]
			delete(taken, r.path)
			if touched || r.again {
				if g, ok := look(r.path); ok {
					s.wait(g, time.Now())
				}
			}
		}
	}
}

// look returns what a path is now; false: no regular file.
func look(path string) (sighting, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return sighting{}, false
	}
	return sighting{path: path, version: versionOf(info)}, true
}
