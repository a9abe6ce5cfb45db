package after_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/after"
)

const (
	judged  = "what was judged"
	newer   = "a new version, longer"
	drop    = queue.DropID("0123456789abcdef01234567")
	verdict = `{"id":"0123456789abcdef01234567","uri":"file:///in/clip.mp4","outcome":"fake"}`
	failure = `{"id":"0123456789abcdef01234567","uri":"file:///in/clip.mp4","reason":"timeout"}`
)

// yes and no are what one model says.
var (
	yes = []after.Answer{{Model: "DF-1", Message: []byte(verdict)}}
	no  = []after.Answer{{Model: "DF-1", Failed: true, Message: []byte(failure)}}
)

// A world is a watched folder with one judged file in a folder of it, and a folder elsewhere.
type world struct {
	t         *testing.T
	root      string
	elsewhere string
	file      after.File
}

func newWorld(t *testing.T) *world { return worldOf(t, "clip.mp4", scratch(t)) }

// worldOf has a file of that name; elsewhere may be on another disk.
func worldOf(t *testing.T, name, elsewhere string) *world {
	t.Helper()
	w := &world{t: t, root: scratch(t), elsewhere: elsewhere}
	path := filepath.Join(w.root, "a", "b", name)
	write(t, path, judged)
	old := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	w.file = after.File{Root: w.root, Path: path, Version: versionOf(t, path), Digest: digest(judged), Drop: drop}
	w.file.Version.Device = 0 // it does not count
	return w
}

// marked gives the file a marker.
func (w *world) marked() {
	w.file.Marker = w.file.Path + ".done"
	write(w.t, w.file.Marker, "")
}

func (w *world) do(p after.Plan, answers []after.Answer) (after.Result, error) {
	return p.Do(w.t.Context(), w.file, answers)
}

// must is do that may not fail, and checks what became of the file.
func (w *world) must(p after.Plan, answers []after.Answer, want after.Fate) after.Result {
	w.t.Helper()
	r, err := w.do(p, answers)
	if err != nil || r.Fate != want {
		w.t.Fatalf("%+v, %v; want it %s", r, err, want)
	}
	return r
}

// tree is all files of the world, by their paths.
func (w *world) tree() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for name, dir := range map[string]string{"root": w.root, "elsewhere": w.elsewhere} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			var data []byte
			if d.Type().IsRegular() {
				data, err = os.ReadFile(path)
			}
			all[name+strings.TrimPrefix(path, dir)] = string(data)
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return all
}

func (w *world) want(tree map[string]string) {
	w.t.Helper()
	if got := w.tree(); !maps.Equal(got, tree) {
		w.t.Errorf("there is\n%swant\n%s", list(got), list(tree))
	}
}

func list(tree map[string]string) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		fmt.Fprintf(&b, "  %q: %q\n", path, tree[path])
	}
	return b.String()
}

// plan parses what the settings say.
func plan(t *testing.T, onVerdict, onFailure, sidecar string) after.Plan {
	t.Helper()
	var p after.Plan
	var errs [3]error
	p.OnVerdict, errs[0] = after.ParsePolicy(onVerdict)
	p.OnFailure, errs[1] = after.ParsePolicy(onFailure)
	p.Sidecar, errs[2] = after.ParseSidecar(sidecar)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func write(t testing.TB, path, data string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(data), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func digest(data string) queue.Digest {
	sum := sha256.Sum256([]byte(data))
	return queue.Digest(hex.EncodeToString(sum[:]))
}

func versionOf(t testing.TB, path string) queue.FileID {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return queue.FileIDOf(&st)
}

// A way is one of the ways in which the same is done, by a policy or because of what the file system cannot do.
type way struct {
	name               string
	onVerdict, sidecar string                  // ELSEWHERE stands for the folder elsewhere
	fails              func(at string) error   // what the file system answers
	disk               func(*testing.T) string // makes the folder elsewhere; nil: scratch
	fate               after.Fate
}

func (y way) world(t *testing.T) (*world, after.Plan) {
	elsewhere := scratch
	if y.disk != nil {
		elsewhere = y.disk
	}
	w := worldOf(t, "clip.mp4", elsewhere(t))
	w.marked()
	p := plan(t, strings.ReplaceAll(y.onVerdict, "ELSEWHERE", w.elsewhere), "keep", strings.ReplaceAll(y.sidecar, "ELSEWHERE", w.elsewhere))
	p.Step = y.fails
	return w, p
}

// scratch is a folder whose disk is memory, where there is such: tables of a thousand lives sync much.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "after-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// anotherDisk is a folder on another file system than scratch's.
func anotherDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if versionOf(t, dir).Device == versionOf(t, scratch(t)).Device {
		t.Skip("no second file system: neither /dev/shm nor the folder for temporary files is one of its own")
	}
	return dir
}

// farAway answers renames to other folders as between two file systems.
func farAway(at string) error {
	if at == "before move" {
		return syscall.EXDEV
	}
	return nil
}

// plain answers as a file system that cannot rename without replacing.
func plain(at string) error {
	if at == "rename without replacing" {
		return syscall.EINVAL
	}
	return nil
}

// plainer cannot link either.
func plainer(at string) error {
	if at == "before link" {
		return syscall.EPERM
	}
	return plain(at)
}

var ways = []way{
	{name: "keep", onVerdict: "keep", sidecar: "on", fate: after.Kept},
	{name: "keep, sidecar elsewhere", onVerdict: "keep", sidecar: "ELSEWHERE", fate: after.Kept},
	{name: "delete", onVerdict: "delete", sidecar: "off", fate: after.Deleted},
	{name: "delete, sidecar", onVerdict: "delete", sidecar: "on", fate: after.Deleted},
	{name: "delete, sidecar elsewhere", onVerdict: "delete", sidecar: "verdicts", fate: after.Deleted},
	{name: "delete on a plain file system", onVerdict: "delete", sidecar: "on", fails: plain, fate: after.Deleted},
	{name: "move", onVerdict: "move:done", sidecar: "on", fate: after.Moved},
	{name: "move elsewhere", onVerdict: "move:ELSEWHERE", sidecar: "off", fate: after.Moved},
	{name: "move, sidecar elsewhere", onVerdict: "move:done", sidecar: "ELSEWHERE", fate: after.Moved},
	{name: "move on a plain file system", onVerdict: "move:ELSEWHERE", sidecar: "on", fails: plain, fate: after.Moved},
	{name: "move on a plainer file system", onVerdict: "move:done", sidecar: "on", fails: plainer, fate: after.Moved},
	{name: "move to another mount", onVerdict: "move:done", sidecar: "on", fails: farAway, fate: after.Moved},
	{name: "move to another disk", onVerdict: "move:ELSEWHERE", sidecar: "on", disk: anotherDisk, fate: after.Moved},
}

// A life is one run of Do, which ends at a step as in a crash.
type life struct {
	steps  []string
	result after.Result
	err    error
	done   bool
}

// live does it, and calls at with the number of each step and its name. What at returns false for is where it crashes:
// nothing is changed from then on.
func (w *world) live(p after.Plan, answers []after.Answer, at func(n int, point string) bool) life {
	var l life
	fails, dead := p.Step, false
	p.Step = func(point string) error {
		if dead = dead || !at(len(l.steps), point); dead {
			runtime.Goexit() // and again in what is deferred
		}
		l.steps = append(l.steps, point)
		if fails != nil {
			return fails(point)
		}
		return nil
	}
	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.result, l.err = w.do(p, answers)
		done.Store(true)
	}()
	<-ended
	l.done = done.Load()
	return l
}

func undisturbed(int, string) bool { return true }
