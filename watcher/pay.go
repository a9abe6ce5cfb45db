package watcher

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/after"
)

// pay does what is to be done with a file.
func (d *debts) pay(ctx context.Context, path string) {
	debt, answers := d.begin(path)
	if debt == nil {
		return
	}
	result, err := d.do(ctx, debt.file, answers)
	if err == nil {
		err = d.paid(ctx, debt, answers, result)
	}
	d.end(ctx, path, debt, result, err)
}

// do does it. A panic is an error of its own file.
func (d *debts) do(ctx context.Context, f after.File, answers []after.Answer) (r after.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return d.After.Do(ctx, f, answers)
}

// begin takes a debt that can be paid; nil: none.
func (d *debts) begin(path string) (*debt, []after.Answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	debt := d.open[path]
	if debt == nil || !debt.complete() {
		return nil, nil
	}
	if d.isActing(path) {
		debt.again = true
		return nil, nil
	}
	d.acting[path], debt.again = struct{}{}, false
	answers := make([]after.Answer, len(debt.keys))
	for i, a := range debt.answers {
		answers[i] = after.Answer{Model: debt.keys[i].Model(), Failed: a.Failed, Message: a.Message}
	}
	return debt, answers
}

func (d *debts) isActing(path string) bool {
	_, is := d.acting[path]
	return is
}

// paid has the registry know that a debt is paid. One to a file that failed stays: a retry may bring a verdict.
func (d *debts) paid(ctx context.Context, debt *debt, answers []after.Answer, r after.Result) error {
	failed := slices.ContainsFunc(answers, func(a after.Answer) bool { return a.Failed }) && debt.keys[0] != ""
	switch {
	case failed, r.Fate == after.Gone, r.Fate == after.Changed:
		return nil
	case r.Fate == after.Kept:
		return d.rewrite(ctx, debt, func(e *queue.FileEntry) { e.Owed = nil })
	}
	return d.rewrite(ctx, debt, nil)
}

// rewrite changes the entry of a file, if it still is of that version; with no change, it is removed.
func (d *debts) rewrite(ctx context.Context, debt *debt, change func(*queue.FileEntry)) error {
	key := queue.FileKeyOf(debt.file.Path)
	e, err := d.files.registry.Entry(ctx, key)
	switch {
	case err != nil:
		return err
	case e == nil || !e.File.Same(debt.file.Version):
		return nil
	case change == nil:
		return d.files.forget(ctx, key, *e)
	}
	change(e)
	return d.files.alter(ctx, key, *e, 0)
}

// end notes what became of a debt.
func (d *debts) end(ctx context.Context, path string, debt *debt, r after.Result, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.acting, path)
	switch now := d.open[path]; {
	case now != debt: // another version was taken in meanwhile, or the same once more
		if now != nil {
			d.settle(path, now)
		}
	case debt.again:
		d.due.add(path)
	case err != nil:
		wait := debt.wait.next()
		debt.tryAt = time.Now().Add(wait)
		if ctx.Err() == nil {
			d.warn.Do(func() {
				d.Log.Warn("what was to be done with a file could not be done; it is tried again", "file", path, "next_try", wait, "error", err)
			})
		}
	case r.Fate == after.Gone: // or its disk is not mounted
		debt.done, debt.tryAt = true, time.Now().Add(debt.wait.next())
	case debt.keys[0] != "" && slices.ContainsFunc(debt.answers, func(a *queue.Answer) bool { return a.Failed }):
		debt.done, debt.tryAt = true, time.Time{}
		d.Log.Debug("done with a file that could not be judged", "file", path, "is", r.Fate, "at", r.Path)
	default:
		delete(d.open, path)
		d.Log.Debug("done with a file", "file", path, "is", r.Fate, "at", r.Path)
	}
}

// viaLink reports whether a file is reached through a link, which leaves it for others to move.
func (w *Watcher) viaLink(path string) bool {
	if !w.FollowSymlinks {
		return false
	}
	real, err := filepath.EvalSymlinks(path)
	return err != nil || real != path
}

// putBack gives a file its name again that was about to be moved or deleted when the daemon stopped, and of which nothing
// is known any more.
func (d *debts) putBack(g sighting, drop queue.DropID) error {
	if time.Since(g.version.ChangeTime) < abandoned {
		return nil
	}
	d.mu.Lock()
	for _, debt := range d.open {
		if debt.file.Drop == drop {
			d.mu.Unlock()
			return nil
		}
	}
	d.mu.Unlock()
	path, err := after.PutBack(g.path)
	if err != nil {
		return fmt.Errorf("a file that was set aside cannot get its name back: %w", err)
	}
	d.Log.Warn("a file that was set aside has its name back", "file", path)
	return nil
}

// abandoned is how long a file must have been set aside until nobody is about to move or delete it.
const abandoned = 10 * time.Minute
