package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// A change is what somebody does to a file, and what must come of it, by the moment. "a" is the content that was there
// first, "b" what is there after it; each word is the answer to one drop, of the content whose digest it names.
type change struct {
	name string // and the file's: the platform tells it back
	do   func(f *altering) error

	early  string // before it was hashed: nothing was accepted yet
	queued string // hashed, and not opened for its upload yet
	open   string // opened for its upload, or on its way to storage
	late   string // the platform has it
}

// either of both: the new version has joined the job before its file is opened, or not.
const either = "a:verdict a:verdict|a:changed a:verdict"

// Once a file is open, only what happens to its bytes matters. Once the platform has them, nothing does.
var changes = []change{
	{"in place", (*altering).overwrite, "b:verdict", "a:changed b:verdict", "a:changed b:verdict", "a:verdict b:verdict"},
	{"shrunk", (*altering).shrink, "b:verdict", "a:changed b:verdict", "a:changed b:verdict", "a:verdict b:verdict"},
	{"grown", (*altering).grow, "b:verdict", "a:changed b:verdict", "a:changed b:verdict", "a:verdict b:verdict"},
	{"replaced", (*altering).replace, "b:verdict", "a:changed b:verdict", "a:verdict b:verdict", "a:verdict b:verdict"},
	{"touched", (*altering).touch, "a:verdict", either, "a:verdict a:verdict", "a:verdict a:verdict"},
	{"same again", (*altering).replaceBySame, "a:verdict", either, "a:verdict a:verdict", "a:verdict a:verdict"},
	{"gone", (*altering).remove, "", "a:unreadable", "a:verdict", "a:verdict"},
	{"no permission", (*altering).forbid, ":unreadable", "a:unreadable", "a:verdict", "a:verdict"},
	{"a symlink", (*altering).link, "", "a:changed", "a:verdict", "a:verdict"},
	{"a folder", (*altering).folder, "", "a:changed", "a:verdict", "a:verdict"},
	{"a pipe", (*altering).pipe, "", "a:changed", "a:verdict", "a:verdict"},
}

// An altering is the file that a change is tried on.
type altering struct {
	change
	path string
	size int64
	a, b string // digests

	once  sync.Once
	done  atomic.Bool
	fault error // of making the change
}

// alter makes the change, once.
func (f *altering) alter() {
	f.once.Do(func() {
		f.fault = f.do(f)
		f.b = digestOf(f.path)
		f.done.Store(true)
	})
}

// concluded reports whether the change was made, and what it left was judged, by what the program has printed.
func (f *altering) concluded(printed string) bool {
	if !f.done.Load() {
		return false
	}
	return f.b == "" || f.forbidden() || strings.Contains(printed, f.b)
}

// forbidden reports whether nobody may read the file.
func (f *altering) forbidden() bool {
	info, err := os.Stat(f.path)
	return err == nil && info.Mode().Perm() == 0
}

func (f *altering) overwrite() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt(bytes.Repeat([]byte("b"), int(f.size)-100), 100) // what it is stays in its first bytes
	return err
}

func (f *altering) shrink() error { return os.Truncate(f.path, f.size/2) }

func (f *altering) grow() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString("b")
	return err
}

func (f *altering) replace() error {
	next := f.beside()
	data := append(picture(0), f.name+" b"...)
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return err
	}
	return os.Rename(next, f.path)
}

func (f *altering) touch() error { return os.Chtimes(f.path, time.Time{}, time.Now()) }

// replaceBySame moves the file away, and puts a copy in its place.
func (f *altering) replaceBySame() error {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	next := f.beside()
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return err
	}
	if err := os.Rename(f.path, next+" away"); err != nil {
		return err
	}
	return os.Rename(next, f.path)
}

func (f *altering) remove() error { return os.Remove(f.path) }

func (f *altering) forbid() error { return os.Chmod(f.path, 0) }

func (f *altering) link() error {
	away := f.beside()
	if err := os.Rename(f.path, away); err != nil {
		return err
	}
	same, err := os.ReadFile(away)
	if err != nil {
		return err
	}
	if err := os.WriteFile(away+" same", same, 0o644); err != nil {
		return err
	}
	return os.Symlink(away+" same", f.path)
}

func (f *altering) folder() error {
	if err := os.Remove(f.path); err != nil {
		return err
	}
	return os.Mkdir(f.path, 0o755)
}

func (f *altering) pipe() error {
	if err := os.Remove(f.path); err != nil {
		return err
	}
	return syscall.Mkfifo(f.path, 0o644)
}

// beside is a path in the same folder that the program does not look at.
func (f *altering) beside() string {
	return filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path))
}

// digestOf is empty for what is no regular file.
func digestOf(path string) string {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A trial is all changes at one moment, each to a file of its own, in one world.
type trial struct {
	*world
	subjects []*altering
	programs []*program // that were run, in their order

	mu    sync.Mutex
	media map[string]*altering // by media id, once it was sent
}

// newTrial makes the files, which hold a head that says what they are and otherwise nothing.
func newTrial(t *testing.T, size int64, o sandbox.Options) *trial {
	r := &trial{world: newWorld(t, o), media: map[string]*altering{}}
	for n, c := range changes {
		f := &altering{change: c, path: filepath.Join(r.inbox, c.name+".jpg"), size: size}
		if err := os.WriteFile(f.beside(), picture(n+1), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(f.beside(), size); err != nil {
			t.Fatal(err)
		}
		f.a = digestOf(f.beside())
		r.subjects = append(r.subjects, f)
	}
	return r
}

// put puts files where the program looks.
func (r *trial) put(subjects ...*altering) {
	for _, f := range subjects {
		if err := os.Rename(f.beside(), f.path); err != nil {
			r.t.Fatal(err)
		}
	}
}

// of returns the subject that a name at the platform is about: it ends in the beginning of the digest.
func (r *trial) of(name string) *altering {
	for _, f := range r.subjects {
		if strings.HasSuffix(name, "-"+f.a[:8]) {
			return f
		}
	}
	return nil
}

// atCreate alters each file when the platform is asked for its record.
func (r *trial) atCreate(w http.ResponseWriter, req *http.Request, next http.HandlerFunc) {
	if f := r.named(req); f != nil {
		f.alter()
	}
	next(w, req)
}

// named returns the subject that a create is about.
func (r *trial) named(req *http.Request) *altering {
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	var asked struct{ Name string }
	_ = json.Unmarshal(body, &asked)
	return r.of(asked.Name)
}

// inPut alters each file when storage has the first bytes of it.
func (r *trial) inPut(w http.ResponseWriter, req *http.Request, next http.HandlerFunc) {
	if f := r.of(filepath.Base(req.URL.Path)); f != nil {
		req.Body = trigger{req.Body, f.alter}
	}
	next(w, req)
}

// A trigger does something when the first bytes were read.
type trigger struct {
	io.ReadCloser
	do func()
}

func (t trigger) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.do()
	return n, err
}

// notePut remembers which medium is whose.
func (r *trial) notePut(w http.ResponseWriter, req *http.Request, next http.HandlerFunc) {
	mid, name := filepath.Base(filepath.Dir(req.URL.Path)), filepath.Base(req.URL.Path)
	r.mu.Lock()
	r.media[mid] = r.of(name)
	r.mu.Unlock()
	next(w, req)
}

// atGet alters each file when its result is asked for.
func (r *trial) atGet(w http.ResponseWriter, req *http.Request, next http.HandlerFunc) {
	r.mu.Lock()
	f := r.media[filepath.Base(req.URL.Path)]
	r.mu.Unlock()
	if f != nil {
		f.alter()
	}
	next(w, req)
}

// whileHashed alters each file when the program has it open. One for which it came too late is altered when its record is
// asked for.
func (r *trial) whileHashed(p *program) {
	r.platform.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: r.atCreate})
	open := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	eventually(r.t, finishTime, "all are altered", func() bool {
		entries, _ := os.ReadDir(open)
		for _, e := range entries {
			target, _ := os.Readlink(filepath.Join(open, e.Name()))
			for _, f := range r.subjects {
				if f.path == target {
					f.alter()
				}
			}
		}
		return !slices.ContainsFunc(r.subjects, func(f *altering) bool { return !f.done.Load() })
	})
}

// inPutThenKilled is inPut, and the program ends without a word when all of the files have been sent.
func (r *trial) inPutThenKilled(started <-chan *program) sandbox.Effect {
	var left sync.WaitGroup
	left.Add(len(r.subjects))
	kill := sync.OnceFunc(func() {
		left.Wait()
		(<-started).kill()
	})
	return func(w http.ResponseWriter, req *http.Request, next http.HandlerFunc) {
		if f := r.of(filepath.Base(req.URL.Path)); f == nil || f.done.Load() { // of what one has become
			next(w, req)
			return
		}
		r.inPut(httptest.NewRecorder(), req, next)
		left.Done()
		kill()
		panic(http.ErrAbortHandler)
	}
}

// alterAll alters all files.
func (r *trial) alterAll() {
	for _, f := range r.subjects {
		f.alter()
	}
}

// run starts the program, with room for all files at a time.
func (r *trial) run(args ...string) *program {
	p := startProgram(r.t, r.env, map[string]string{"INGEST_UPLOADS": strconv.Itoa(len(changes))}, r.nobody(),
		append(append([]string{"run"}, args...), r.inbox)...)
	r.programs = append(r.programs, p)
	return p
}

// live runs the program until it has told a verdict about everything that became of the files, if none before it has, and stops it.
func (r *trial) live(during func(*program)) {
	p := r.run("--json")
	if during != nil {
		during(p)
	}
	eventually(r.t, finishTime, "what the files have become is judged", func() bool {
		var out string
		for _, p := range r.programs {
			out += p.stdout.String()
		}
		return !slices.ContainsFunc(r.subjects, func(f *altering) bool { return !f.concluded(out) })
	})
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(time.Minute); code != exitDone {
		r.t.Errorf("stopped with %d", code)
	}
}

// answers returns what was said of a file's drops, one word each, sorted.
func (f *altering) answers(all []terminal) string {
	words := map[queue.DropID]map[string]bool{}
	for _, m := range all {
		if m.Name != f.name+".jpg" {
			continue
		}
		content, said := "?", string(m.Reason)
		switch string(m.Digest) {
		case "":
			content = ""
		case f.a:
			content = "a"
		case f.b:
			content = "b"
		}
		if said == "" {
			said = "verdict"
		}
		if words[m.ID] == nil {
			words[m.ID] = map[string]bool{}
		}
		words[m.ID][content+":"+said] = true
	}
	var said []string
	for _, one := range words {
		said = append(said, strings.Join(slices.Sorted(maps.Keys(one)), "+")) // a plus is one too many
	}
	slices.Sort(said)
	return strings.Join(said, " ")
}

func TestWhateverHappensToAFileItsVerdictIsAboutItsBytesAndNothingIsPaidTwice(t *testing.T) {
	t.Parallel()
	early := func(c change) string { return c.early }
	open := func(c change) string { return c.open }
	megabytes := func(n int64) int64 {
		if *long {
			n *= 15
		}
		return n << 20
	}
	for name, m := range map[string]struct {
		size  int64
		run   func(r *trial)
		want  func(change) string
		empty bool // the folder is, when the program starts
	}{
		"while it settles": {1 << 20, func(r *trial) {
			r.env["INGEST_SETTLE"] = "3s"
			r.live(func(p *program) {
				eventually(r.t, finishTime, "it watches", func() bool { return strings.Contains(p.stderr.String(), "watching") })
				for _, f := range r.subjects {
					r.put(f)
					f.alter()
				}
			})
		}, early, true},
		"while it is hashed": {megabytes(5), func(r *trial) { r.live(r.whileHashed) }, func(c change) string {
			return c.early + "|" + c.queued + "|" + c.open // the upload may have it open, too
		}, false},
		"while it waits on the queue": {1 << 20, func(r *trial) {
			r.platform.Grant(sandbox.Grant{MutationQuota: sandbox.None})
			if code := r.run("--once").wait(finishTime); code != exitPaused {
				r.t.Errorf("ended with %d", code)
			}
			r.alterAll()
			r.platform.Grant(sandbox.Grant{MutationQuota: sandbox.Unlimited})
			r.run("--once", "--resume").wait(finishTime)
		}, func(c change) string { return c.queued }, false},
		"between hash and POST": {1 << 20, func(r *trial) {
			r.platform.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: r.atCreate})
			r.live(nil)
		}, open, false},
		"in the middle of the PUT": {megabytes(4), func(r *trial) {
			r.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: r.inPut})
			r.live(nil)
		}, open, false},
		"in the middle of a PUT whose reply is lost": {megabytes(4), func(r *trial) {
			r.platform.Faults(
				sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.CutAfter, Times: len(changes)}, sandbox.Fault{Op: sandbox.OpPut, Do: r.inPut})
			r.live(nil)
		}, open, false},
		"in the middle of a PUT, and killed": {megabytes(4), func(r *trial) {
			started := make(chan *program, 1)
			r.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: r.inPutThenKilled(started)})
			p := r.run("--json")
			started <- p
			p.wait(finishTime)
			r.live(nil)
		}, open, false},
		"while polling": {1 << 20, func(r *trial) {
			r.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: r.notePut}, sandbox.Fault{Op: sandbox.OpGet, Do: r.atGet})
			r.live(nil)
		}, func(c change) string { return c.late }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTrial(t, m.size, sandbox.Options{Latency: 200 * time.Millisecond})
			if !m.empty {
				r.put(r.subjects...)
			}
			m.run(r)
			r.platform.Faults()
			r.run("--once").wait(finishTime) // what nobody has waited for
			r.wantAnswers(m.want)
		})
	}
}

// contentOf names a content by the file that it is in.
func (r *trial) contentOf(digest string) string {
	for _, f := range r.subjects {
		switch digest {
		case f.a:
			return f.name + ", as it was"
		case f.b:
			return f.name + ", as it is"
		}
	}
	return digest
}

func (r *trial) wantAnswers(want func(change) string) {
	r.t.Helper()
	all, ledger := r.terminals(), r.platform.Ledger()
	for _, twice := range ledger.PaidTwice() {
		r.t.Errorf("paid %d times: %s", ledger.Paid[twice], r.contentOf(twice))
	}
	for _, m := range all {
		if m.Outcome != "" && !slices.Contains(ledger.Records[string(m.Digest)], m.MediaID) {
			r.t.Errorf("%s: a verdict about other bytes than the digest's", m.Name)
		}
	}
	for _, f := range r.subjects {
		if f.fault != nil {
			r.t.Fatalf("%s: %v", f.name, f.fault)
		}
		if got := f.answers(all); !slices.Contains(strings.Split(want(f.change), "|"), got) {
			r.t.Errorf("%s: answered %q, want %q", f.name, got, want(f.change))
		}
	}
}
