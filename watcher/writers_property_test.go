package watcher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// propertySettle is longer than this machine may stand still: the kernel's clock for files may then be as far behind.
const propertySettle = 250 * time.Millisecond

// Writers do anything to their folders, several at a time, and the watcher ends and starts amid it. When all rest, each
// file that is there has arrived once as what it is now, and nothing has arrived that never was complete.
func TestWhateverWritersDoWhatIsThereHasArrivedOnce(t *testing.T) {
	t.Parallel()
	lasts := 2 * time.Second
	if *long {
		lasts = 3 * time.Minute
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t)
	writers := make([]*writer, 8)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var wait sync.WaitGroup
	for n := range writers {
		writers[n] = newWriter(t, w.dir, n, rand.New(rand.NewPCG(seed, uint64(n))))
		wait.Go(func() { writers[n].write(ctx) })
	}
	last := w.runAndRestart(ctx, rand.New(rand.NewPCG(seed, 99)))
	wait.Wait()
	for _, wr := range writers {
		for _, path := range wr.present() {
			w.awaitEntry(path) // the scans of one that runs find all
		}
	}
	last.stop()
	w.scanned(func(o *Options) { o.Settle = propertySettle }) // nor does a new one find more
	drops := w.drops()
	t.Logf("%d drops", len(drops))
	for _, wr := range writers {
		t.Logf("%d steps, %d versions, %d files", wr.steps, len(wr.complete), len(wr.present()))
		wr.check(drops, w.failures())
	}
}

// runAndRestart has watchers run one after the other until ctx ends, and returns the last, which runs on.
func (w *world) runAndRestart(ctx context.Context, r *rand.Rand) running {
	for {
		running := w.run(func(o *Options) {
			o.Settle, o.Rescan = propertySettle, time.Hour
			if r.IntN(3) > 0 {
				o.Rescan = 200 * time.Millisecond
			}
		})
		select {
		case <-ctx.Done():
			running.stop()
			return w.run(func(o *Options) { o.Settle, o.Rescan = propertySettle, 200*time.Millisecond })
		case <-time.After(time.Duration(r.IntN(800)) * time.Millisecond):
			running.stop()
		}
	}
}

// A state is what a file was when nobody wrote to it.
type state struct {
	path   string
	digest queue.Digest
	size   int64
	mtime  int64 // nanoseconds
}

func (s state) String() string {
	return fmt.Sprintf("%s… of %d bytes, modified at %d", s.digest[:8], s.size, s.mtime)
}

func stateOf(path string, digest queue.Digest, file queue.FileID) state {
	return state{path, digest, file.Size, file.ModTime.UnixNano()}
}

// drops counts the drops on the ledger.
func (w *world) drops() map[state]int {
	w.t.Helper()
	count := map[state]int{}
	for _, job := range records[queue.Job](w, "KV_authenta-ledger") {
		for _, d := range job.Drops {
			count[stateOf(pathOf(w.t, d.URI), job.Digest, d.File)]++
		}
	}
	return count
}

// A writer does anything to files below a folder of its own. It knows what is in each.
type writer struct {
	t         *testing.T
	r         *rand.Rand
	dir, away string
	files     map[string]*inode // by path
	complete  map[state]bool    // all that ever was, and may have arrived
	steps     int
	story     []told // the same, in the order of its time
}

type told struct {
	at time.Time
	state
}

// An inode is a file's content, under one name or several.
type inode struct{ data []byte }

func newWriter(t *testing.T, dir string, n int, r *rand.Rand) *writer {
	return &writer{
		t: t, r: r, dir: filepath.Join(dir, fmt.Sprint("writer", n)), away: filepath.Join(t.TempDir(), "away"),
		files: map[string]*inode{}, complete: map[state]bool{},
	}
}

// write takes steps until ctx ends. Now and then it rests for long enough to have its files arrive.
func (w *writer) write(ctx context.Context) {
	for ctx.Err() == nil {
		rest := time.Duration(w.r.IntN(20)) * time.Millisecond
		if w.r.IntN(25) == 0 {
			rest = propertySettle * 3 / 2
		}
		<-time.After(rest)
		if err := w.step(); err != nil {
			w.t.Errorf("writer in %s: %v", w.dir, err)
			return
		}
		w.steps++
	}
}

func (w *writer) step() error {
	path := w.anyPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch dice := w.r.IntN(100); {
	case dice < 25:
		return w.pieces(path, os.O_TRUNC, 1, nil)
	case dice < 35:
		return w.pieces(path, os.O_TRUNC, 4, nil)
	case dice < 45:
		return w.pieces(path, os.O_APPEND, 2, nil)
	case dice < 50: // renamed while it is written
		return w.pieces(path, os.O_TRUNC, 4, func() error { return w.rename(path, w.anyPath()) })
	case dice < 55:
		return w.replace(path)
	case dice < 64:
		return w.renameWhole(path, w.anyPath())
	case dice < 65: // emptied
		return w.pieces(path, os.O_TRUNC, 0, nil)
	case dice < 72:
		return w.link(path, w.anyPath())
	case dice < 80:
		return w.removeFile(path)
	case dice < 84:
		return w.chmod(path)
	case dice < 86:
		return w.removeTree(w.anyDir())
	case dice < 92:
		return w.moveTree(w.anyDir(), w.anyDir())
	case dice < 96:
		return w.moveTree(w.anyDir(), w.anyDirAway())
	default:
		return w.moveTree(w.anyDirAway(), w.anyDir())
	}
}

// There are few names, so that writers meet them again, and fewer than the drops that a job may have.
func (w *writer) anyPath() string {
	dir := w.dir
	for range w.r.IntN(3) {
		dir = filepath.Join(dir, fmt.Sprint("d", w.r.IntN(3)))
	}
	return filepath.Join(dir, fmt.Sprint(w.r.IntN(4), ".jpg"))
}

func (w *writer) anyDir() string {
	dir := filepath.Join(w.dir, fmt.Sprint("d", w.r.IntN(3)))
	if w.r.IntN(2) == 0 {
		dir = filepath.Join(dir, fmt.Sprint("d", w.r.IntN(3)))
	}
	return dir
}

func (w *writer) anyDirAway() string { return filepath.Join(w.away, fmt.Sprint("d", w.r.IntN(2))) }

// pieces writes to a file in some pieces, with pauses that are short beside the settle time. One that the machine has made
// longer leaves a part that counts as complete.
func (w *writer) pieces(path string, flag, pieces int, halfway func() error) error {
	last := time.Now()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	ino := w.files[path]
	if ino == nil {
		ino = &inode{}
		w.files[path] = ino
	}
	if flag == os.O_TRUNC {
		ino.data = nil
	}
	for n := range pieces {
		part := w.states(ino)
		if n > 0 {
			<-time.After(time.Duration(w.r.IntN(int(propertySettle / 8))))
		}
		if halfway != nil && n == pieces/2 {
			if err := halfway(); err != nil {
				return err
			}
			part = append(part, w.states(ino)...)
		}
		data := fmt.Appendf(picture(w.steps), "%s %d %d", w.dir, n, w.r.Uint64())
		ino.data = append(ino.data, data...)
		begun := time.Now()
		if _, err := f.Write(data); err != nil {
			return err
		}
		if time.Since(last) >= propertySettle/2 {
			w.record(part)
		}
		last = begun
	}
	w.record(w.states(ino))
	return f.Close()
}

// states are what a file is now, under each of its names that the watcher can see.
func (w *writer) states(ino *inode) (all []state) {
	for path, other := range w.files {
		if other == ino && below(path, w.dir) {
			all = append(all, stateOf(path, digestOf(ino.data), seen(w.t, path).version))
		}
	}
	return all
}

func (w *writer) record(states []state) {
	for _, s := range states {
		w.complete[s] = true
		w.story = append(w.story, told{time.Now(), s})
	}
}

// mistake reports what is wrong with a path, and what the path has been.
func (w *writer) mistake(path, format string, args ...any) {
	w.t.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
	for _, told := range w.story {
		if told.path == path {
			w.t.Logf("%s complete: %v", told.at.Format("15:04:05.000"), told.state)
		}
	}
}

// replace has another file take a file's place, as rsync does.
func (w *writer) replace(path string) error {
	hidden := filepath.Join(filepath.Dir(path), ".hidden")
	if err := w.pieces(hidden, os.O_TRUNC, 2, nil); err != nil {
		return err
	}
	return w.renameWhole(hidden, path)
}

func (w *writer) renameWhole(from, to string) error {
	err := w.rename(from, to)
	if ino := w.files[to]; ino != nil {
		w.record(w.states(ino))
	}
	return err
}

func (w *writer) rename(from, to string) error {
	ino := w.files[from]
	if ino == nil || ino == w.files[to] || w.missing(filepath.Dir(to)) {
		return nil
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	delete(w.files, from)
	w.files[to] = ino
	return nil
}

func (w *writer) link(from, to string) error {
	ino := w.files[from]
	if ino == nil || w.files[to] != nil || w.missing(filepath.Dir(to)) {
		return nil
	}
	if err := os.Link(from, to); err != nil {
		return err
	}
	w.files[to] = ino
	w.record(w.states(ino))
	return nil
}

func (w *writer) removeFile(path string) error {
	if w.files[path] == nil {
		return nil
	}
	delete(w.files, path)
	return os.Remove(path)
}

func (w *writer) chmod(path string) error {
	if w.files[path] == nil {
		return nil
	}
	return os.Chmod(path, os.FileMode(0o600+w.r.IntN(0o100)))
}

func (w *writer) removeTree(dir string) error {
	for path := range w.files {
		if below(path, dir) {
			delete(w.files, path)
		}
	}
	return os.RemoveAll(dir)
}

// moveTree moves a folder with all below it to where there is none.
func (w *writer) moveTree(from, to string) error {
	if w.missing(from) || !w.missing(to) || from == to || below(to, from) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	for path, ino := range w.files {
		if rest, ok := strings.CutPrefix(path, from+"/"); ok {
			delete(w.files, path)
			w.files[filepath.Join(to, rest)] = ino
		}
	}
	for _, ino := range w.files {
		w.record(w.states(ino))
	}
	return nil
}

func (w *writer) missing(path string) bool {
	_, err := os.Lstat(path)
	return err != nil
}

// present lists the files that have to have arrived.
func (w *writer) present() (paths []string) {
	for path := range w.files {
		if below(path, w.dir) && filepath.Base(path) != ".hidden" {
			paths = append(paths, path)
		}
	}
	return paths
}

// check compares what has arrived with what was written.
func (w *writer) check(drops map[state]int, failures []queue.Failure) {
	for _, path := range w.present() {
		if len(w.files[path].data) == 0 { // refused
			continue
		}
		now := stateOf(path, digestOf(w.files[path].data), seen(w.t, path).version)
		if drops[now] != 1 {
			w.mistake(path, "is there as %v, and has arrived as that %d times", now, drops[now])
		}
	}
	for s, n := range drops {
		switch {
		case !below(s.path, w.dir):
		case !w.complete[s]:
			w.mistake(s.path, "has arrived as %v, which it never was", s)
		case n > 1:
			w.mistake(s.path, "has arrived %d times as %v", n, s)
		}
	}
	for _, f := range failures {
		path := pathOf(w.t, f.URI)
		wasEmpty := slices.ContainsFunc(w.story, func(told told) bool { return told.path == path && told.size == 0 })
		if below(path, w.dir) && !wasEmpty {
			w.mistake(path, "failed at %s as %s: %s", f.FailedAt.Local().Format("15:04:05.000"), f.Reason, f.Message)
		}
	}
}
