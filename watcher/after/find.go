package after

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/queue"
)

// find looks for the judged version: at its path, or set aside there by a try that has crashed. For a verdict that follows
// a failure, it looks where that had moved it, too.
func (a *action) find(ctx context.Context) (err error) {
	a.source, err = a.enter(subfolder{a.Root, "."})
	if errors.Is(err, unix.ENOTDIR) {
		err = nil // a file or a link has taken the place of its folder: it is gone
	}
	if err != nil {
		return err
	}
	if a.source != nil {
		if err := a.findIn(ctx, a.source, a.names[0], a.isVersion); err != nil || a.in != nil {
			if a.in != nil && a.Marker != "" {
				a.marker, _ = a.source.lstat(filepath.Base(a.Marker)) // what is not there is not removed
			}
			return err
		}
	}
	before := a.plan.OnFailure
	if a.failed || before == a.policy || before.Action != Move || a.Digest == "" {
		return nil
	}
	d, err := a.enter(target{dir: before.Dir}.in(a.Root))
	if err != nil || d == nil {
		return err
	}
	for _, name := range a.names {
		if err := a.findIn(ctx, d, name, a.isCopy); err != nil || a.in != nil {
			return err
		}
	}
	return nil
}

// findIn looks for the judged version by one name. Another that a crash has left set aside is put back.
func (a *action) findIn(ctx context.Context, d *folder, name string, isIt isIt) error {
	aside := hidden(name, a.Drop)
	if _, err := unlinkTwin(d, aside, name); err != nil {
		return err
	}
	if found, err := a.take(ctx, d, aside, name, isIt); found || err != nil {
		return err
	}
	if _, err := d.lstat(aside); err == nil {
		if _, err := putBack(d, aside, names(name, a.Drop)); err != nil {
			return err
		}
	}
	_, err := a.take(ctx, d, name, name, isIt)
	return err
}

// isIt reports whether a file is what is looked for.
type isIt func(ctx context.Context, d *folder, name string, s stat) (bool, error)

// take takes a file for the judged version, if it is.
func (a *action) take(ctx context.Context, d *folder, at, was string, isIt isIt) (bool, error) {
	s, err := d.lstat(at)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !s.regular() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	found, err := isIt(ctx, d, at, s)
	if found && err == nil {
		a.in, a.at, a.was, a.file = d, at, was, s
	}
	return found, err
}

// unlinkTwin removes a hidden name that is the second one of a file that has been put back by a link, and reports whether it
// was.
func unlinkTwin(d *folder, aside, name string) (bool, error) {
	kept, err := d.lstat(aside)
	if err != nil {
		return false, ignoreMissing(err)
	}
	shown, err := d.lstat(name)
	if err != nil {
		return false, ignoreMissing(err)
	}
	if !kept.sameFile(shown) {
		return false, nil
	}
	return true, d.remove("remove second name", aside)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// isVersion reports whether a file is the very one that was judged. If it was touched since, in whatever way, its content
// tells: our own renaming touches it, and so does who overwrites it and sets its old time again.
func (a *action) isVersion(ctx context.Context, d *folder, name string, s stat) (bool, error) {
	switch {
	case !s.Alike(a.Version) || !s.regular():
		return false, nil
	case s.Same(a.Version), a.Digest == "" && (d != a.source || name != a.names[0]): // our own renaming touches it
		return true, nil
	case a.Digest == "": // nobody knows what it holds, and it may be another thing by now
		return false, nil
	}
	have, err := digestOf(ctx, d, name)
	return have == a.Digest, err
}

// coarsest is how far apart a file's time and its copy's may be: FAT counts in two seconds.
const coarsest = 2 * time.Second

// isCopy reports whether a file is the one that was judged, moved here, or a copy of it, made by an earlier try.
func (a *action) isCopy(ctx context.Context, d *folder, name string, s stat) (bool, error) {
	if s.Alike(a.Version) && (a.in == nil || s.Device == a.file.Device) {
		return a.isVersion(ctx, d, name, s)
	}
	if !s.regular() || s.Size != a.Version.Size || s.ModTime.Sub(a.Version.ModTime).Abs() > coarsest {
		return false, nil
	}
	want, err := a.digest(ctx)
	if err != nil {
		return false, err
	}
	if want == "" { // a file that was refused unread, and has gone: it was not for us to keep a second of it
		return true, nil
	}
	have, err := digestOf(ctx, d, name)
	return have == want, err
}

// digest is that of the judged content. For a file that was refused unread it is that of what is there; empty: it is gone.
func (a *action) digest(ctx context.Context) (queue.Digest, error) {
	if a.Digest == "" && a.in != nil {
		var err error
		if a.Digest, err = digestOf(ctx, a.in, a.at); err != nil {
			return "", err
		}
	}
	return a.Digest, nil
}

// digestOf reads a file.
func digestOf(ctx context.Context, d *folder, name string) (queue.Digest, error) {
	f, err := d.open(name, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digestFrom(ctx, f)
}

func digestFrom(ctx context.Context, f *os.File) (queue.Digest, error) {
	h := sha256.New()
	for buf := make([]byte, 128<<10); ; {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return queue.Digest(hex.EncodeToString(h.Sum(nil))), nil
		}
		if err != nil {
			return "", err
		}
	}
}
