package after

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/authenta/authenta-ingest/queue"
)

// A File is a file whose answers are on the stream.
type File struct {
	Root    string       // the watched folder; it must be there: where it is not mounted, every file would be [Gone]
	Path    string       // absolute, below Root
	Version queue.FileID // what was judged; its device does not count, it may change with a mount
	Digest  queue.Digest // of the content; empty for a file that was refused unread
	Drop    queue.DropID // as which it was submitted, with several models the first; the same after a retry
	Marker  string       // path of the file that said it was complete; empty: there is none
}

// An Answer is what one model, or the watcher itself, said of a file.
type Answer struct {
	Model   queue.Model // empty: the file was refused
	Failed  bool
	Message []byte // as on the stream
}

// A Fate is what has become of a file.
type Fate string

// The fates. With each of them all is done.
const (
	Kept    Fate = "kept"
	Moved   Fate = "moved"
	Deleted Fate = "deleted"
	Changed Fate = "changed" // another version is there, with which nothing was done: it is another drop
	Gone    Fate = "gone"    // nothing is there: an earlier try had deleted it, or somebody took it away
)

// A Result says what Do has done.
type Result struct {
	Fate     Fate
	Path     string   // where the file is now; empty if it is nowhere
	Sidecars []string // paths of the answers written
}

// Do does with a file what the plan says. answers are those of all models that were asked; if one has failed, the file
// has. Whatever the error, the file is where it was or where it should be, and Do can be called again. It ends early,
// with ctx's error, in the middle of a long copy.
//
// A failure may be followed by a verdict, after a retry. Do is then called with that, and finds the file where the failure
// had left it or moved it to.
func (p Plan) Do(ctx context.Context, f File, answers []Answer) (Result, error) {
	a, err := p.action(f, answers)
	if err == nil {
		defer a.close()
		var r Result
		if r, err = a.run(ctx); err == nil {
			for _, w := range a.written {
				r.Sidecars = append(r.Sidecars, w.dir.path(w.name))
			}
			return r, nil
		}
	}
	return Result{}, fmt.Errorf("%s %s, now that its answer is there: %w", a.policy.verb(), f.Path, err)
}

func (p Policy) verb() string { return [...]string{"keep", "delete", "move"}[p.Action] }

// An action is what Do does with one file.
type action struct {
	File
	plan    Plan
	disk    disk
	failed  bool // some model has not judged the file
	policy  Policy
	answers []Answer
	folder  string // of the file, below Root
	uri     string // of the file, as its answers have it
	names   []string
	open    []*folder

	source *folder // where the path is in; nil: that is gone
	marker stat    // as it was while the judged version was there
	in     *folder // where the judged version was found; nil: nowhere
	at     string  // its name there, which is a hidden one from when it is set aside
	was    string  // its name there, for all to see
	file   stat    // the judged version

	side    *folder // where sidecars go, once one was looked for; nil if they stand beside their files
	written []written
}

// action prepares to act, and changes nothing. What it returns can name its policy even if it fails.
func (p Plan) action(f File, answers []Answer) (*action, error) {
	a := &action{File: f, plan: p, disk: p.disk(), policy: p.OnVerdict, answers: answers}
	if a.failed = slices.ContainsFunc(answers, func(a Answer) bool { return a.Failed }); a.failed {
		a.policy = p.OnFailure
	}
	path, err := filepath.Rel(f.Root, f.Path)
	switch {
	case err != nil || !filepath.IsLocal(path) || path == ".":
		return a, fmt.Errorf("it is not below %s", f.Root)
	case len(answers) == 0 || f.Drop == "":
		return a, errors.New("there is no answer, or no drop")
	}
	name := filepath.Base(path)
	a.folder, a.names = filepath.Dir(path), names(name, f.Drop)
	var head struct {
		URI    string       `json:"uri"`
		Reason queue.Reason `json:"reason"`
	}
	if err := json.Unmarshal(answers[0].Message, &head); err != nil {
		return a, fmt.Errorf("its answer cannot be read: %w", err)
	}
	a.uri = head.URI
	if a.policy.Action == Delete && f.Digest == "" && (f.Version.Size == 0 || head.Reason == queue.Unreadable) {
		a.policy = Policy{} // nobody has seen what it holds, and its writer may only be about to begin
	}
	return a, nil
}

func (a *action) close() {
	for _, f := range a.open {
		f.close()
	}
}

// enter opens the file's folder below another, as far as it exists; nil: it does not.
func (a *action) enter(f subfolder) (*folder, error) {
	f.below = filepath.Join(f.below, a.folder)
	d, err := a.disk.openFolder(f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a.open = append(a.open, d)
	return d, nil
}

// make is enter that makes the folder.
func (a *action) make(f subfolder) (*folder, error) {
	f.below = filepath.Join(f.below, a.folder)
	d, err := a.disk.makeFolder(f)
	if err != nil {
		return nil, err
	}
	a.open = append(a.open, d)
	return d, nil
}

func (a *action) run(ctx context.Context) (Result, error) {
	if err := a.find(ctx); err != nil {
		return Result{}, err
	}
	switch a.policy.Action {
	case Delete:
		return a.delete()
	case Move:
		return a.move(ctx)
	}
	return a.keep()
}

func (a *action) keep() (Result, error) {
	if a.in == nil {
		return a.absent()
	}
	if err := a.putBack(); err != nil {
		return Result{}, err
	}
	if err := a.answer(a.in, a.was); err != nil {
		return Result{}, err
	}
	return Result{Fate: Kept, Path: a.in.path(a.was)}, nil
}

func (a *action) delete() (Result, error) {
	if a.in == nil {
		return a.absent()
	}
	err := a.answer(a.in, a.was)
	if err == nil {
		err = a.unlink()
	}
	if errors.Is(err, errChanged) || errors.Is(err, errGone) {
		return a.lost(err)
	}
	if err == nil {
		err = a.unmark()
	}
	return Result{Fate: Deleted}, err
}

// absent is the result where the judged version is nowhere.
func (a *action) absent() (Result, error) {
	if a.source != nil {
		switch _, err := a.source.lstat(a.names[0]); {
		case err == nil:
			return Result{Fate: Changed, Path: a.Path}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return Result{}, err
		}
	}
	if a.source == nil {
		return Result{Fate: Gone}, nil
	}
	if err := a.correct(a.source); err != nil {
		return Result{}, err
	}
	if a.policy.Action == Keep {
		return Result{Fate: Gone}, nil
	}
	return Result{Fate: Gone}, a.unmark()
}

// What a file can turn out to be in the last moment.
var (
	errChanged = errors.New("it is not the version that was judged")
	errGone    = errors.New("it is gone")
)

// lost is the result where the judged version has changed or gone in the last moment. If there is another, the answers would
// be taken for its own, and are removed again.
func (a *action) lost(why error) (Result, error) {
	if errors.Is(why, errChanged) {
		if err := a.withdraw(); err != nil {
			return Result{}, err
		}
	}
	a.in = nil
	return a.absent()
}
