package watcher

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scanning scans all folders at the start and from time to time, and single ones when asked to.
func (w *Watcher) scanning(ctx context.Context, watch *folderEvents, first chan<- struct{}) error {
	w.scanAll(ctx, watch)
	if ctx.Err() == nil {
		close(first)
	}
	timer := time.NewTimer(w.rescanIn())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			w.scanAll(ctx, watch)
			timer.Reset(w.rescanIn())
		case <-w.unseen.more:
			for dir := range w.unseen.take() {
				w.scan(ctx, watch, dir)
			}
		}
	}
}

func (w *Watcher) scanAll(ctx context.Context, watch *folderEvents) {
	for _, dir := range w.Dirs {
		w.scan(ctx, watch, dir)
	}
}

// scan walks a folder. Each folder in it is watched before it is read, so that what is written meanwhile is seen by
// one or the other.
func (w *Watcher) scan(ctx context.Context, watch *folderEvents, dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		switch {
		case err != nil:
			if !errors.Is(err, fs.ErrNotExist) { // what is gone again is no news
				w.Log.Warn("cannot be read, and is left out for now", "path", path, "error", err)
			}
			return nil
		case w.leftOut(path, d.IsDir()):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			watch.add(path)
		case d.Type().IsRegular():
			w.sight(ctx, path)
		}
		return nil
	})
	if err != nil {
		w.Log.Warn("a folder was not scanned to its end", "path", dir, "error", err)
	}
}

// sight sends what a path is now to the loop, which may have to wait for the intake first.
func (w *Watcher) sight(ctx context.Context, path string) {
	g, ok := look(path)
	if !ok {
		return
	}
	select {
	case w.found <- g:
	case <-ctx.Done():
	}
}

// leftOut reports whether a path is not ours to look at.
func (w *Watcher) leftOut(path string, folder bool) bool {
	counts := w.Filter.File
	if folder {
		counts = w.Filter.Folder
	}
	return slices.Contains(w.Exclude, path) || !counts(w.below(path))
}

// below is a path relative to the watched folder it lies in.
func (w *Watcher) below(path string) string {
	for _, dir := range w.Dirs {
		if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/")); ok && (rest == "" || rest[0] == '/') {
			return strings.TrimPrefix(rest, "/")
		}
	}
	return path
}
