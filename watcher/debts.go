package watcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/after"
)

const (
	// actors is how many files may be dealt with at a time: each waits for the disk more than for anything else.
	actors = 4
	// retryEvery is how often it is looked whether something is to be tried again.
	retryEvery = 10 * time.Second
)

// debts are the files that something is to be done with once their answers are on the streams. That they are, the streams
// tell; what was said while nobody listened, the ledger. An entry of the registry says that a file is owed something, until
// that is done, so that it is done after a crash as well.
type debts struct {
	*Watcher
	ready chan struct{} // closed when no answer can be missed any more
	due   *hints        // paths of files whose answers are there
	warn  rate.Sometimes

	recalled atomic.Bool // what an earlier run has owed is known

	mu     sync.Mutex
	open   map[string]*debt    // by path
	acting map[string]struct{} // paths of files that are being dealt with: one at a time, whatever is taken in meanwhile
}

// A debt is a file that something is to be done with. It is
//
//	expected   before its drops are submitted, so that no answer is missed; taken back if that fails
//	safe       once the registry knows of it, so that the next start does
//	complete   when all answers are there as well: it is due
//	done       when it was acted on; then it is dropped, or, after a failure, waits for what a retry brings
//
// A new version of the file is another debt, and takes its place.
type debt struct {
	file    after.File
	keys    []queue.JobKey // what judges it; an empty key is a refusal
	drops   []queue.DropID // as which it is answered: after a retry, the latest
	answers []*queue.Answer
	safe    bool // the registry knows of it
	done    bool // what was to be done is done, for now: a retry may bring another answer
	again   bool // there was news meanwhile
	wait    backoff
	tryAt   time.Time // after something went wrong
	asking  backoff
	askAt   time.Time // when the ledger is asked for answers that were not heard
}

func newDebts(w *Watcher) *debts {
	return &debts{
		Watcher: w, ready: make(chan struct{}), due: newHints(), open: map[string]*debt{}, acting: map[string]struct{}{},
		warn: rate.Sometimes{First: 10, Interval: time.Minute},
	}
}

// owes reports whether anything is to be done with files that are judged, or with those that are not.
func (d *debts) owes(refused bool) bool {
	p := d.After
	return p.OnFailure.Action != after.Keep || p.Sidecar.On || !refused && p.OnVerdict.Action != after.Keep
}

// run pays until ctx ends.
func (d *debts) run(ctx context.Context) error {
	if !d.owes(false) {
		d.recalled.Store(true)
		close(d.ready)
		return nil
	}
	var from queue.Position
	err := d.insist(ctx, func() (err error) {
		from, err = d.Queue.End(ctx)
		return err
	})
	if err != nil {
		return nil
	}
	close(d.ready)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return d.Queue.Follow(ctx, from, queue.Reader{
			Verdict: func(v queue.Verdict, raw []byte, _ uint64) { d.hear(v.Head, queue.Answer{Message: raw}) },
			Failure: func(f queue.Failure, raw []byte, _ uint64) { d.hear(f.Head, queue.Answer{Failed: true, Message: raw}) },
		})
	})
	g.Go(func() error { d.recall(ctx); return nil })
	g.Go(func() error { d.tend(ctx); return nil })
	paths := make(chan string)
	g.Go(func() error { defer close(paths); d.dispatch(ctx, paths); return nil })
	for range actors {
		g.Go(func() error {
			for path := range paths {
				d.pay(ctx, path)
			}
			return nil
		})
	}
	return g.Wait()
}

// insist does something until it succeeds. Its error is ctx's.
func (d *debts) insist(ctx context.Context, do func() error) error {
	for wait := (backoff{first: time.Second, last: time.Minute}); ; {
		err := do()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		d.Log.Debug("what is to be done with files is found out later", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait.next()):
		}
	}
}

// dispatch hands out what is due.
func (d *debts) dispatch(ctx context.Context, paths chan<- string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.due.more:
			due, _ := d.due.take()
			for path := range due {
				select {
				case paths <- path:
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

// tend sees to what is waited for for long.
func (d *debts) tend(ctx context.Context) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, path := range d.retry(time.Now()) {
			if err := d.ask(ctx, path); err != nil {
				d.Log.Debug("answers are asked for again later", "file", path, "error", err)
			}
		}
	}
}

// retry has what went wrong tried again when it is time, and returns the files whose answers are to be asked for: they may
// have been given before anybody listened.
func (d *debts) retry(now time.Time) (ask []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, debt := range d.open {
		switch {
		case debt.done && !d.files.of(path, debt.file.Version).ever: // it is forgotten
			delete(d.open, path)
		case !debt.safe || d.isActing(path):
		case !debt.complete() && now.After(debt.askAt):
			debt.askAt = now.Add(debt.asking.next())
			ask = append(ask, path)
		case debt.complete() && now.After(debt.tryAt) && !(debt.done && debt.tryAt.IsZero()):
			d.due.add(path)
		}
	}
	return ask
}

// expect notes, before anything is submitted, that something will be owed to a file.
func (d *debts) expect(g sighting, digest queue.Digest, drops []queue.DropID, keys []queue.JobKey) {
	debt := d.newDebt(g, digest, drops, keys)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[g.path] = debt
}

// cancel takes back what was expected of a file that was not taken in: it may be gone by the next try.
func (d *debts) cancel(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if debt := d.open[path]; debt != nil && !debt.safe {
		delete(d.open, path)
	}
}

func (d *debts) newDebt(g sighting, digest queue.Digest, drops []queue.DropID, keys []queue.JobKey) *debt {
	r := d.rootOf(g.path)
	return &debt{
		file: after.File{Root: r.path, Path: g.path, Version: g.version, Digest: digest, Drop: drops[0], Marker: r.Filter.Marker(g.path)},
		keys: keys, drops: slices.Clone(drops), answers: make([]*queue.Answer, len(keys)),
		wait: backoff{first: time.Minute, last: time.Hour}, asking: backoff{first: time.Minute, last: time.Hour},
		askAt: time.Now().Add(time.Minute),
	}
}

// knows reports whether something is owed to this version of a file.
func (d *debts) knows(g sighting) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	debt := d.open[g.path]
	return debt != nil && debt.safe && debt.file.Version.Same(g.version)
}

// remembered notes that the registry knows of a debt. answers are those that are there already.
func (d *debts) remembered(path string, answers ...*queue.Answer) {
	d.mu.Lock()
	debt := d.open[path]
	if debt != nil {
		debt.safe = true
	}
	d.mu.Unlock()
	if debt != nil {
		d.told(path, debt, answers)
	}
}

// hear takes note of a message on a stream.
func (d *debts) hear(h queue.Head, a queue.Answer) {
	path, err := queue.FilePath(h.URI)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	debt := d.open[path]
	if debt == nil {
		return
	}
	for i, id := range debt.drops {
		if h.ID == id || h.RetryOf != "" && h.RetryOf == id {
			debt.drops[i], debt.answers[i] = h.ID, &a
			debt.done, debt.tryAt = false, time.Time{}
			d.settle(path, debt)
		}
	}
}

// settle has a debt paid whose answers are all there. The caller holds the lock.
func (d *debts) settle(path string, debt *debt) {
	if debt.complete() {
		d.due.add(path)
	}
}

func (d *debt) complete() bool { return d.safe && !slices.Contains(d.answers, nil) }

// recall takes up what an earlier run has owed.
func (d *debts) recall(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-d.files.loaded:
	}
	for _, key := range d.files.owed() {
		if d.insist(ctx, func() error { return d.recallOne(ctx, key) }) != nil {
			return
		}
	}
	d.recalled.Store(true)
}

func (d *debts) recallOne(ctx context.Context, key queue.FileKey) error {
	e, err := d.files.registry.Entry(ctx, key)
	if err != nil || e == nil || e.Reason != "" { // a refused file is taken in again, and refused
		return err
	}
	path, err := queue.FilePath(e.URI)
	if err != nil || d.rootOf(path) == nil || len(e.Owed) != len(e.Drops) {
		return err
	}
	debt := d.newDebt(sighting{path: path, version: e.File}, e.Owed[0].Digest(), e.Drops, e.Owed)
	debt.safe = true
	d.mu.Lock()
	_, newer := d.open[path]
	if !newer {
		d.open[path] = debt
	}
	d.mu.Unlock()
	if newer {
		return nil
	}
	if err := d.ask(ctx, path); err != nil { // tend asks again, and the others are not kept waiting
		d.Log.Debug("answers are asked for again later", "file", path, "error", err)
	}
	return nil
}

// ask finds out which answers to a file are there already. Of one that is just being submitted, the ledger may know nothing
// yet.
func (d *debts) ask(ctx context.Context, path string) error {
	d.mu.Lock()
	debt := d.open[path]
	if debt == nil || !debt.safe {
		d.mu.Unlock()
		return nil
	}
	drops := slices.Clone(debt.drops)
	d.mu.Unlock()
	answers := make([]*queue.Answer, len(debt.keys))
	for i, key := range debt.keys {
		a, err := d.Queue.Answer(ctx, key, drops[i], queue.FileURI(path))
		if errors.Is(err, queue.ErrForgotten) {
			return d.waive(ctx, path, debt)
		}
		if err != nil {
			return err
		}
		answers[i] = a
	}
	d.told(path, debt, answers)
	return nil
}

// told takes note of answers from the ledger, unless another version of the file was taken in since it was asked.
func (d *debts) told(path string, debt *debt, answers []*queue.Answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[path] != debt {
		return
	}
	for i, a := range answers {
		if debt.answers[i] == nil { // else it was heard
			debt.answers[i] = a
		}
	}
	d.settle(path, debt)
}

// waive gives a debt up: nothing is done with the file.
func (d *debts) waive(ctx context.Context, path string, debt *debt) error {
	d.mu.Lock()
	current := d.open[path] == debt
	if current {
		delete(d.open, path)
	}
	d.mu.Unlock()
	if !current {
		return nil
	}
	return d.rewrite(ctx, debt, func(e *queue.FileEntry) { e.Owed = nil })
}

// Owing counts the files that something is still to be done with, or waits for their answers; and those with which it could
// not be done so far.
func (w *Watcher) Owing() (open, failing int) {
	d := w.debts
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, debt := range d.open {
		switch {
		case debt.done:
		case debt.tryAt.IsZero():
			open++
		default:
			failing++
		}
	}
	if !d.recalled.Load() {
		open++
	}
	return open, failing
}
