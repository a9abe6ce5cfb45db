package after

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// setAside gives the file a name that nobody else uses, and sees whether it still is the judged version. From then on no
// program that uses its path can get another in its place. If it is another, it is put back; the error is errChanged, or
// errGone if there is none.
func (a *action) setAside() error {
	if aside := hidden(a.was, a.Drop); a.at != aside {
		err := a.in.hide("set aside", a.at, aside)
		if errors.Is(err, fs.ErrNotExist) {
			return errGone
		}
		if err != nil {
			return err
		}
		a.at = aside
	}
	s, err := a.in.lstat(a.at)
	if err != nil {
		return err
	}
	if s.sameVersion(a.file) {
		return nil
	}
	if err := a.putBack(); err != nil {
		return err
	}
	return errChanged
}

// putBack undoes setAside, if that was done.
func (a *action) putBack() error {
	if a.at == a.was {
		return nil
	}
	name, err := putBack(a.in, a.at, names(a.was, a.Drop))
	if err == nil {
		a.at, a.was = name, name
	}
	return err
}

// putBack gives a file that is set aside its name again or, where a new file has that by now, another: it is not for us to
// replace one, or to drop one.
func putBack(d *folder, aside string, names []string) (string, error) {
	for _, name := range names {
		err := d.show("put back", aside, d, name)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return name, d.sync()
	}
	return "", fmt.Errorf("%s cannot get its name back, since all of these are taken: %s", d.path(aside), strings.Join(names, ", "))
}

// PutBack gives a file of a hidden name ([Hidden]) its own again, for whoever knows nothing of its drop: the one who was
// about to act on it has crashed, and forgotten it. It returns where the file is now.
func PutBack(path string) (string, error) {
	dir, name := filepath.Split(path)
	drop, was, ok := unhide(name)
	if !ok {
		return "", fmt.Errorf("put back %s: it is not set aside", path)
	}
	d, err := Plan{}.disk().openFolder(subfolder{dir, "."})
	if err != nil {
		return "", fmt.Errorf("put back %s: %w", path, err)
	}
	defer d.close()
	twin, err := unlinkTwin(d, name, was)
	if err == nil && !twin {
		was, err = putBack(d, name, names(was, drop))
	}
	if err != nil {
		return "", fmt.Errorf("put back %s: %w", path, err)
	}
	return d.path(was), nil
}

// unlink removes the judged version.
func (a *action) unlink() error {
	if err := a.setAside(); err != nil {
		return err
	}
	if err := a.in.remove("remove", a.at); err != nil {
		return errors.Join(err, a.putBack())
	}
	return a.in.sync()
}

// move brings the file to where the policy says. A try for each name: others may take one at any time.
func (a *action) move(ctx context.Context) (r Result, err error) {
	to, err := a.target()
	if err != nil {
		return Result{}, err
	}
	m := &moving{action: a, to: to}
	if to != nil {
		defer func() { err = errors.Join(err, m.discard()) }()
	}
	for range a.names {
		r, err = m.try(ctx)
		switch {
		case errors.Is(err, errChanged), errors.Is(err, errGone):
			return m.lost(ctx, err)
		case errors.Is(err, errTaken): // it was free when we looked
			if err := a.withdraw(); err != nil {
				return Result{}, err
			}
		default:
			return r, err
		}
	}
	return r, err
}

// target opens the folder to move to. It is made only if there is something to move.
func (a *action) target() (*folder, error) {
	f := target{dir: a.policy.Dir}.in(a.Root)
	if a.in == nil {
		return a.enter(f)
	}
	return a.make(f)
}

// errTaken says that a name was taken between the look and the use.
var errTaken = errors.New("its name has been taken")

func asTaken(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	return err
}

// A moving is a file on its way to another folder.
type moving struct {
	*action
	to   *folder // nil: there is none, and nothing to move
	far  bool    // the folder turned out to be on another file system
	copy string  // the hidden name of a copy in it; empty: there is none
	made stat    // that copy
}

// try does all there is to do, under one name. Its error is errTaken if somebody else has taken that meanwhile.
func (m *moving) try(ctx context.Context) (Result, error) {
	name, there, err := m.choose(ctx)
	if err != nil {
		return Result{}, err
	}
	if m.in == nil && !there {
		return m.absent()
	}
	if !there {
		if err := m.prepare(ctx); err != nil {
			return Result{}, err
		}
	}
	if err := m.answer(m.to, name); err != nil {
		return Result{}, err
	}
	switch {
	case there:
	case m.copy != "":
		err = m.placeCopy(name)
	default:
		err = m.place(name)
		if m.far = errors.Is(err, unix.EXDEV); m.far { // as between bind mounts, which the device does not tell
			if err := m.withdraw(); err != nil {
				return Result{}, err
			}
			return m.try(ctx)
		}
	}
	if err == nil {
		err = m.leave(name)
	}
	return Result{Fate: Moved, Path: m.to.path(name)}, err
}

// lost is the end of a move in which the judged version turned out not to be there any more: it has changed, is gone, or has
// been moved by another daemon that watches the same folder.
func (m *moving) lost(ctx context.Context, why error) (Result, error) {
	m.in = nil
	_, there, err := m.choose(ctx)
	if err == nil && !there && errors.Is(why, errChanged) {
		err = m.withdraw()
	}
	if err != nil {
		return Result{}, err
	}
	return m.try(ctx)
}

// prepare makes a copy if the file cannot be renamed to where it has to go.
func (m *moving) prepare(ctx context.Context) error {
	if m.copy != "" {
		return nil
	}
	s, err := fstat(m.to.file)
	if err != nil {
		return err
	}
	if s.Device == m.file.Device && !m.far {
		return nil
	}
	return m.makeCopy(ctx)
}

// choose returns the name for the file in its new folder, and whether it is there already: moved by an earlier try, or
// copied.
func (m *moving) choose(ctx context.Context) (name string, there bool, err error) {
	if m.to == nil {
		return "", false, nil
	}
	for _, n := range m.names {
		taken, err := m.answersTaken(n)
		if err != nil {
			return "", false, err
		}
		if taken {
			continue
		}
		s, err := m.to.lstat(n)
		if errors.Is(err, fs.ErrNotExist) {
			if name == "" {
				name = n
			}
			continue
		}
		if err != nil {
			return "", false, err
		}
		there, err := m.isCopy(ctx, m.to, n, s)
		if there && m.in == nil {
			m.file = s
		}
		if err != nil || there {
			return n, there, err
		}
	}
	if name == "" && m.in != nil {
		return "", false, fmt.Errorf("all of these names are taken in %s: %s", m.to.file.Name(), strings.Join(m.names, ", "))
	}
	return name, false, nil
}

// answersTaken reports whether, in the new folder, the answers of another file have the names that this one's would get.
func (m *moving) answersTaken(name string) (bool, error) {
	if !m.plan.Sidecar.On {
		return false, nil
	}
	d, err := m.beside(m.to)
	if err != nil {
		return false, err
	}
	return m.taken(d, name)
}

// place renames the file to where it belongs.
func (m *moving) place(name string) error {
	if err := m.setAside(); err != nil {
		return err
	}
	if err := asTaken(m.in.show("move", m.at, m.to, name)); err != nil {
		return errors.Join(err, m.putBack())
	}
	if err := m.to.sync(); err != nil {
		return err
	}
	source := m.in
	m.in = nil // it is not there any more
	return source.sync()
}

// leave ends a move: the file is where it should be, and nothing is left where it was.
func (m *moving) leave(name string) error {
	if m.in != nil {
		here, err := m.isHere(name)
		if err != nil {
			return err
		}
		if !here {
			// What stands at its path now, if it has changed, is another drop; what was judged has been moved.
			if err := m.unlink(); err != nil && !errors.Is(err, errChanged) && !errors.Is(err, errGone) {
				return err
			}
		}
	}
	return m.unmark()
}

// isHere reports whether the file is where it should be by the very name under which it was found.
func (m *moving) isHere(name string) (bool, error) {
	from, err := fstat(m.in.file)
	if err != nil {
		return false, err
	}
	to, err := fstat(m.to.file)
	return from.sameFile(to) && m.at == name, err
}

// unmark removes the mark that said that the file is complete, now that the file has gone: that of its judged version, or
// one that belongs to no file. The mark of a new version stays.
func (a *action) unmark() error {
	if a.Marker == "" || a.source == nil {
		return nil
	}
	name := filepath.Base(a.Marker)
	aside := hidden(name, a.Drop)
	if err := a.source.hide("set mark aside", name, aside); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		return err
	}
	s, err := a.source.lstat(aside)
	if err != nil {
		return ignoreMissing(err)
	}
	if !s.sameVersion(a.marker) {
		if _, err := a.source.lstat(a.names[0]); err == nil {
			if err := a.source.show("put mark back", aside, a.source, name); !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	if err := a.source.remove("remove mark", aside); err != nil {
		return err
	}
	return a.source.sync()
}
