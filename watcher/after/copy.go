package after

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/queue"
)

// copyChunk is how many bytes are copied between looks at the context. The system copies them by itself where it can.
const copyChunk = 16 << 20

// makeCopy copies the file into its new folder, under a hidden name. When it returns, the copy is on the disk, and has been
// read back: it is what was judged.
func (m *moving) makeCopy(ctx context.Context) error {
	name := writing(m.names[0], m.Drop)
	from, err := m.in.open(m.at, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return err
	}
	defer from.Close()
	file, err := m.to.create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := m.fill(ctx, file, from); err != nil {
		return err
	}
	if err := m.verify(ctx, file, from); err != nil {
		return err
	}
	m.copy = name
	m.made, err = fstat(file)
	return err
}

// fill makes a new file a copy of another, with its time, its permissions and, if we may, its owner.
func (m *moving) fill(ctx context.Context, file, from *os.File) error {
	s, err := fstat(from)
	if err == nil && !s.sameVersion(m.file) {
		err = errChanged
	}
	for left := s.Size; left > 0 && err == nil; left -= copyChunk {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err = m.disk.do("copy", func() error {
			_, err := io.CopyN(file, from, min(left, copyChunk))
			return err
		})
	}
	if errors.Is(err, io.EOF) {
		return errChanged // it has become shorter
	}
	if err != nil {
		return err
	}
	if err := m.disk.adopt(file, s); err != nil {
		return err
	}
	times := []unix.Timespec{unix.NsecToTimespec(time.Now().UnixNano()), unix.NsecToTimespec(s.ModTime.UnixNano())}
	err = m.disk.do("set time", func() error {
		return unix.UtimesNanoAt(m.to.fd(), filepath.Base(file.Name()), times, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return fmt.Errorf("set the time of %s: %w", file.Name(), err)
	}
	return m.disk.do("sync", file.Sync)
}

// adopt gives a file the permissions of another and, if we may, its owner.
func (d disk) adopt(file *os.File, s stat) error {
	if err := file.Chown(s.uid, s.gid); err != nil && !errors.Is(err, fs.ErrPermission) && !unsupported(err) {
		return err
	}
	if err := file.Chmod(s.permissions()); err != nil && !errors.Is(err, fs.ErrPermission) && !unsupported(err) {
		return err // FAT, and others that have none, refuse
	}
	return nil
}

// verify reads a copy back.
func (m *moving) verify(ctx context.Context, file, from *os.File) error {
	read := func(f *os.File) (queue.Digest, error) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		return digestFrom(ctx, f)
	}
	have, err := read(file)
	if err != nil {
		return fmt.Errorf("read the copy back: %w", err)
	}
	if have == m.Digest {
		return nil
	}
	if s, err := fstat(from); err != nil || !s.sameVersion(m.file) {
		return errors.Join(errChanged, err)
	}
	was, err := read(from)
	switch {
	case err != nil:
		return err
	case was != have:
		return fmt.Errorf("the copy %s, read back, is not what was written: is its disk in order?", file.Name())
	case m.Digest != "": // its size and time are as they were, and yet it is not what was judged
		return errChanged
	}
	return nil
}

// placeCopy gives a complete copy its name.
func (m *moving) placeCopy(name string) error {
	if err := asTaken(m.to.show("place copy", m.copy, m.to, name)); err != nil {
		return err
	}
	m.copy = ""
	placed, err := m.to.lstat(name)
	if err == nil && !placed.sameFile(m.made) {
		err = fmt.Errorf("%s is not the copy that was made: does another daemon watch the same folder?", m.to.path(name))
	}
	if err != nil {
		return err
	}
	return m.to.sync()
}

// discard removes a copy that did not get its name, now or in an earlier try.
func (m *moving) discard() error {
	return m.to.remove("discard copy", writing(m.names[0], m.Drop))
}
