package watcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// The scripts in testdata/writers play programs that write to a watched folder, and say what has to arrive. A script is
// one line a step; # begins a comment. Words are separated by spaces; a word with odd bytes is quoted as in Go.
//
//	write FILE CONTENT                           at once, over what is there
//	append FILE CONTENT                          at once, to its end
//	grow FILE CONTENT in N steps every D         emptied first, then piece by piece
//	scp FILE CONTENT in N steps every D          piece by piece over what is there, and cut off at the end
//	rsync FILE CONTENT in N steps every D        under a name of rsync's own, and renamed
//	tree DIR N CONTENT                           N folders one in the other, with a file.jpg in each, at once
//	socket FILE
//	pause D
//	await FILE...                                until it has arrived as it is now
//	restart                                      the watcher ends, and another starts
//
// cp, mv, ln, mkdir, rm, touch, truncate, chmod, mkfifo and mknod are the system's own. Files lie in the watched
// folder; $AWAY is a folder beside it, and $SHM one on another device.
//
// A CONTENT is a name for the bytes of a picture: A, B, …; A+B is one after the other; A+8M ends in a hole. An empty
// one is "". Then, what has to come of it; whatever else arrives or fails is a mistake:
//
//	arrives FILE CONTENT...                      once a content that is listed; DIR/... is every file that ever was below DIR
//	fails FILE REASON
//	never FILE                                   says it for the reader
//	rescan                                       what is listed below is found by the next scan alone: there is no event
func TestWriters(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/writers/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	modes := map[string]func(*Options){
		"events": func(*Options) {},
		"polled": func(o *Options) { o.Poll = Poll(20 * time.Millisecond) },
	}
	for mode, change := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if mode == "polled" && !*long {
				t.Skip("takes as long again: -long")
			}
			w := newWorld(t)
			for _, path := range paths {
				t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
					t.Parallel()
					s := readScript(t, path)
					for range 5 {
						p := newPlay(t, w, change)
						mistakes := p.play(s)
						if len(mistakes) == 0 {
							return
						}
						if p.held < writersSettle/2 {
							t.Fatal(errors.Join(mistakes...))
						}
						t.Logf("this machine held the writer up for %s; once more", p.held)
					}
					t.Skip("this machine is too busy")
				})
			}
		})
	}
}

// writersSettle is long beside what a step takes.
const writersSettle = 400 * time.Millisecond

// A step is a line of a script.
type step struct {
	at    string // file:line
	words []string
}

func readScript(t *testing.T, path string) (steps []step) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		words, err := split(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s:%d: %v", path, n, err)
		}
		if len(words) > 0 {
			steps = append(steps, step{fmt.Sprintf("%s:%d", filepath.Base(path), n), words})
		}
	}
	return steps
}

// split cuts a line into words. Go's escapes hold in quotes, and only there.
func split(line string) (words []string, err error) {
	for line != "" && line[0] != '#' {
		word, rest, _ := strings.Cut(line, " ")
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			word, _ = strconv.Unquote(quoted)
			rest = line[len(quoted):]
		}
		words, line = append(words, word), strings.TrimLeft(rest, " ")
	}
	return words, nil
}

// A play is one performance of a script, with a watcher and a folder of its own.
type play struct {
	t      *testing.T
	w      *world
	change func(*Options)
	r      running

	dir  string            // the watched folder
	vars map[string]string // $AWAY and $SHM
	held time.Duration     // how much longer than planned the steps took in which files were not to settle
	late time.Duration     // the same, since the last await
	ever map[string]bool   // every file that was there after a step

	want   map[string][]queue.Digest // path to the contents it has to arrive as
	fails  map[string]queue.Reason
	events []string // paths that have to be found without a scan
	scan   bool     // the lines below are about what a scan finds
}

func newPlay(t *testing.T, w *world, change func(*Options)) *play {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := &play{
		t: t, w: &world{Queue: w.Queue, t: t, js: w.js}, change: change, dir: mkdir(t, filepath.Join(dir, "in")),
		vars: map[string]string{"AWAY": mkdir(t, filepath.Join(dir, "away"))},
		ever: map[string]bool{}, want: map[string][]queue.Digest{}, fails: map[string]queue.Reason{},
	}
	p.start()
	p.r.caughtUp()
	return p
}

func (p *play) options(o *Options) {
	p.change(o)
	o.Dirs, o.Settle = []string{p.dir}, writersSettle
}

func (p *play) start() { p.r = start(p.t, p.w.watcher(p.options)) }

// play does the steps, and returns what came of them that should not have.
func (p *play) play(script []step) (mistakes []error) {
	for _, s := range script {
		begun := time.Now()
		planned, err := p.do(s)
		if err != nil {
			p.t.Fatalf("%s: %s: %v", s.at, strings.Join(s.words, " "), err)
		}
		if s.words[0] != "await" {
			p.late += time.Since(begun) - planned
			p.held = max(p.held, p.late)
		}
		p.look()
	}
	last := filepath.Join(p.dir, "zz last.jpg") // what came before it in the same way has arrived by then, too
	p.must(os.WriteFile(last, p.content("last"), 0o644))
	p.want[last] = []queue.Digest{digestOf(p.content("last"))}
	for _, path := range append(p.events, last) {
		p.w.awaitEntry(path)
	}
	p.r.stop()
	p.w.scanned(p.options)
	return p.mistakes()
}

// look takes note of the files that are there.
func (p *play) look() {
	p.must(filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			p.ever[path] = true
		}
		return err
	}))
}

// mistakes compares what has arrived with what should have.
func (p *play) mistakes() (all []error) {
	got := map[string][]queue.Digest{}
	for _, a := range p.w.arrivals() {
		if below(a.path, p.dir) {
			got[a.path] = append(got[a.path], a.digest)
		}
	}
	for path, want := range p.want {
		if a, b := slices.Sorted(slices.Values(got[path])), slices.Sorted(slices.Values(want)); !slices.Equal(a, b) {
			all = append(all, fmt.Errorf("%q arrived as %s, want %s", path, p.names(a), p.names(b)))
		}
		delete(got, path)
	}
	for path, digests := range got {
		all = append(all, fmt.Errorf("%q arrived as %s, want never", path, p.names(digests)))
	}
	fails := p.fails
	for _, f := range p.w.failures() {
		path := pathOf(p.t, f.URI)
		if !below(path, p.dir) {
			continue
		}
		if fails[path] != f.Reason {
			all = append(all, fmt.Errorf("%q failed as %s: %s", path, f.Reason, f.Message))
		}
		delete(fails, path)
	}
	for path, reason := range fails {
		all = append(all, fmt.Errorf("%q did not fail as %s", path, reason))
	}
	return all
}

// names says which contents have these digests, as far as a script can name them.
func (p *play) names(digests []queue.Digest) string {
	known := map[queue.Digest]string{}
	for _, name := range []string{"A", "B", "C", "A+B", "A+B+C", "last"} {
		known[digestOf(p.content(name))] = name
	}
	var names []string
	for _, d := range digests {
		if known[d] == "" {
			known[d] = "a part or mixture " + string(d[:8])
		}
		names = append(names, known[d])
	}
	return fmt.Sprint(names)
}

// content makes the bytes that a name stands for. They differ from script to script.
func (p *play) content(name string) []byte {
	const size = 3000
	var data []byte
	for part := range strings.SplitSeq(name, "+") {
		if megabytes, hole := strings.CutSuffix(part, "M"); hole {
			n, err := strconv.Atoi(megabytes)
			p.must(err)
			data = append(data, make([]byte, n<<20)...)
		} else if part != "" {
			line := fmt.Sprintf("%s %s\n", p.t.Name(), part)
			data = append(data, append(picture(0), bytes.Repeat([]byte(line), size)[:size]...)...)
		}
	}
	return data
}

// path is where a word of a script points to.
func (p *play) path(word string) string {
	word = os.Expand(word, p.variable)
	if filepath.IsAbs(word) {
		return word
	}
	return p.dir + "/" + word // not cleaned: the name is the writer's
}

func (p *play) variable(name string) string {
	if name == "SHM" && p.vars[name] == "" {
		p.vars[name] = p.otherDevice()
	}
	return p.vars[name]
}

// otherDevice makes a folder on another file system than the watched one.
func (p *play) otherDevice() string {
	dir, err := os.MkdirTemp("/dev/shm", "writers")
	if err != nil {
		p.t.Skipf("there is no other device: %v", err)
	}
	p.t.Cleanup(func() { os.RemoveAll(dir) })
	if deviceOf(p.t, dir) == deviceOf(p.t, p.dir) {
		p.t.Skip("there is no other device")
	}
	return dir
}

func (p *play) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// do takes one step, and returns for how long it was to wait in it.
func (p *play) do(s step) (planned time.Duration, err error) {
	verb, args := s.words[0], s.words[1:]
	arg := func(n int) string {
		if n >= len(args) {
			p.t.Fatalf("%s: %s needs more words", s.at, verb)
		}
		return args[n]
	}
	switch verb {
	case "write":
		return 0, write(p.path(arg(0)), p.content(arg(1)))
	case "append":
		return 0, p.pieces(p.path(arg(0)), os.O_APPEND, p.content(arg(1)), 1, 0)
	case "grow", "scp", "rsync":
		steps, err := strconv.Atoi(arg(3))
		p.must(err)
		every, err := time.ParseDuration(arg(6))
		p.must(err)
		return time.Duration(steps) * every, p.slowly(verb, p.path(arg(0)), p.content(arg(1)), steps, every)
	case "tree":
		depth, err := strconv.Atoi(arg(1))
		p.must(err)
		return 0, tree(p.path(arg(0)), depth, p.content(arg(2)))
	case "socket":
		return 0, p.socket(p.path(arg(0)))
	case "pause":
		d, err := time.ParseDuration(arg(0))
		p.must(err)
		<-time.After(d)
		return d, nil
	case "await":
		for _, word := range args {
			for _, path := range p.expand(word) {
				p.w.awaitEntry(path)
			}
		}
		p.late = 0
	case "restart":
		p.r.stop()
		p.start()
	case "rescan":
		p.scan = true
	case "arrives", "fails", "never":
		p.expect(verb, args)
	case "cp", "mv", "ln", "mkdir", "rm", "touch", "truncate", "chmod", "mkfifo", "mknod":
		return 0, p.exec(verb, args)
	default:
		p.t.Fatalf("%s: %s is no step of a script", s.at, verb)
	}
	return 0, nil
}

// expect takes note of what has to come of a file.
func (p *play) expect(verb string, args []string) {
	for _, path := range p.expand(args[0]) {
		switch verb {
		case "arrives":
			for _, name := range args[1:] {
				p.want[path] = append(p.want[path], digestOf(p.content(name)))
			}
		case "fails":
			p.fails[path] = queue.Reason(args[1])
		case "never":
			return // nor is anything else to arrive that is not named
		}
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && !p.scan {
			p.events = append(p.events, path)
		}
	}
}

// expand returns the files that a word of a script names.
func (p *play) expand(word string) []string {
	dir, all := strings.CutSuffix(word, "/...")
	if !all {
		return []string{p.path(word)}
	}
	var paths []string
	for path := range p.ever {
		if below(path, p.path(dir)) {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		p.t.Fatalf("there never was a file below %s", dir)
	}
	return paths
}

// exec runs a program in the watched folder.
func (p *play) exec(program string, args []string) error {
	for i := range args {
		args[i] = os.Expand(args[i], p.variable)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if err != nil && program == "mknod" && os.Geteuid() != 0 {
		return nil // a file less
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// write writes a file at once; bytes of zero become a hole.
func write(path string, data []byte) error {
	full := bytes.TrimRight(data, "\x00")
	if err := os.WriteFile(path, full, 0o644); err != nil || len(full) == len(data) {
		return err
	}
	return os.Truncate(path, int64(len(data)))
}

// slowly writes a file as one program or another does.
func (p *play) slowly(program, path string, data []byte, steps int, every time.Duration) error {
	switch program {
	case "grow":
		return p.pieces(path, os.O_TRUNC, data, steps, every)
	case "scp":
		if err := p.pieces(path, 0, data, steps, every); err != nil {
			return err
		}
		return os.Truncate(path, int64(len(data)))
	}
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".Xa81bC")
	if err := p.pieces(hidden, os.O_EXCL, data, steps, every); err != nil {
		return err
	}
	return os.Rename(hidden, path)
}

// pieces writes a file piece by piece, and waits before each.
func (p *play) pieces(path string, flag int, data []byte, steps int, every time.Duration) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	for piece := range slices.Chunk(data, len(data)/steps+1) {
		<-time.After(every)
		if _, err := f.Write(piece); err != nil {
			return err
		}
	}
	return f.Close()
}

// tree makes folders within each other, with a file in each.
func tree(dir string, depth int, data []byte) error {
	for n := range depth {
		dir = filepath.Join(dir, fmt.Sprint(n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := write(filepath.Join(dir, "file.jpg"), data); err != nil {
			return err
		}
	}
	return nil
}

// socket makes one, by a short path: that of a socket may have no more than about a hundred bytes.
func (p *play) socket(path string) error {
	short, err := os.MkdirTemp("", "s")
	if err != nil {
		return err
	}
	p.t.Cleanup(func() { os.RemoveAll(short) })
	listener, err := net.Listen("unix", filepath.Join(short, "s"))
	if err != nil {
		return err
	}
	p.t.Cleanup(func() { listener.Close() })
	return os.Rename(filepath.Join(short, "s"), path)
}

func deviceOf(t testing.TB, path string) uint64 {
	t.Helper()
	st, err := lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return dirIDOf(&st).dev
}
