package subject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// lookAtFile looks at a file that a message names.
func (t *Taker) lookAtFile(ctx context.Context, m queue.Message, uri string) (content, error) {
	path, err := queue.FilePath(uri)
	if err != nil {
		return content{}, refuse(queue.Invalid, "%v", err)
	}
	path = filepath.Clean(path)
	f, err := t.open(path)
	if err != nil {
		return content{}, t.fileError(ctx, m, path, err)
	}
	defer f.Close()
	id, regular, err := queue.FileIDOfOpen(f)
	switch {
	case err != nil:
		return content{}, t.fileError(ctx, m, path, err)
	case !regular:
		return content{}, refuse(queue.Unreadable, "%s is not a regular file", path)
	}
	c, err := t.read(ctx, f, id.Size)
	c.file, c.isFile = id, true
	if err != nil {
		return c, t.fileError(ctx, m, path, err)
	}
	if now, _, err := queue.FileIDOfOpen(f); err != nil || !now.Same(id) || c.digest != "" && c.size != id.Size {
		return c, t.again(m, soon, 0, queue.Changed, errors.New(path+" is being written to: publish its reference when it is complete"))
	}
	return c, nil
}

// errOutside says that a file is below none of the folders that references may point into.
var errOutside = errors.New("it is below none of the folders that references may name: the watched ones, and those of INGEST_ROOTS")

// errAway says that a file is below a folder that is not there itself: its disk may not be mounted yet.
var errAway = errors.New("the folder that it is in is not there")

// open opens a file below one of the roots. No link in its path leads out of that.
func (t *Taker) open(path string) (*os.File, error) {
	err := errOutside
	for _, root := range t.roots {
		rel, isBelow := strings.CutPrefix(path, strings.TrimSuffix(root, "/")+"/")
		if !isBelow {
			continue
		}
		f, failed := openIn(root, rel)
		if failed == nil {
			return f, nil
		}
		if !errors.Is(failed, errAway) || errors.Is(err, errOutside) { // what is said of a folder that is there counts
			err = failed
		}
	}
	return nil, err
}

func openIn(root, rel string) (*os.File, error) {
	dir, err := os.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place would be waited for
}

// isOurs reports whether an error says nothing of the file: there are too many open, or too little memory.
func isOurs(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// fileError says what an error of a file does to its message.
func (t *Taker) fileError(ctx context.Context, m queue.Message, path string, err error) error {
	if _, ok := errors.AsType[*refused](err); ok || ctx.Err() != nil {
		return err
	}
	switch {
	case isOurs(err):
		return err
	case errors.Is(err, errOutside):
		return t.outside(ctx, m, path)
	case errors.Is(err, errAway):
		return t.away(m, err)
	case errors.Is(err, fs.ErrPermission), strings.Contains(err.Error(), "escapes from parent"):
		return refuse(queue.Unreadable, "%v", err)
	case errors.Is(err, fs.ErrNotExist):
		return t.again(m, missing, 0, queue.Unreadable, err)
	}
	return t.again(m, soon, 0, queue.Unreadable, err)
}

const (
	// passTime is how long a message is put off that another machine is to take in.
	passTime = 2 * time.Second
	// awayTime is how long a process waits for a file whose machine does not take it in, or whose folder is not there.
	awayTime = 24 * time.Hour
)

// outside deals with a file that this machine has no folder for: another may have, and be away.
func (t *Taker) outside(ctx context.Context, m queue.Message, path string) error {
	roots, err := t.Intake.Roots(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(roots, func(root string) bool { return strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/") })
	if i < 0 {
		return refuse(queue.Invalid, "%s: %v", path, errOutside)
	}
	return t.away(m, fmt.Errorf("%s is below %s, which another machine sees", path, roots[i]))
}

// away has a message wait for a file that cannot be looked at from here now, for as long as that is worth it.
func (t *Taker) away(m queue.Message, why error) error {
	waited := t.tries.since(m.ID)
	if waited >= awayTime {
		return refuse(queue.Unreadable, "%v; that has not changed for %s", why, awayTime)
	}
	return &notYet{min(max(passTime, waited/10), time.Minute), why}
}

// bytes opens what a submission is staged from, if it is.
func (t *Taker) bytes(m queue.Message, s queue.Submission) func(context.Context) (io.ReadCloser, error) {
	switch scheme, _, _ := strings.Cut(s.Drop.URI, ":"); {
	case s.Drop.Staged != "":
	case s.Drop.URI == m.URI:
		return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Data)), nil }
	case scheme == "file" && t.Stage:
		return func(context.Context) (io.ReadCloser, error) { return t.openVersion(s.Drop) }
	}
	return nil
}

// openVersion opens the file of a drop, if that is what it was.
func (t *Taker) openVersion(d queue.Drop) (io.ReadCloser, error) {
	path, err := queue.FilePath(d.URI)
	if err != nil {
		return nil, err
	}
	f, err := t.open(filepath.Clean(path))
	if isOurs(err) || errors.Is(err, errAway) {
		return nil, err
	}
	if err != nil {
		return nil, refuse(queue.Unreadable, "%v", err)
	}
	if id, _, err := queue.FileIDOfOpen(f); err != nil || !id.Alike(d.File) {
		f.Close()
		return nil, refuse(queue.Changed, "%s was altered after it was looked at", path)
	}
	return f, nil
}
