package after

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/queue"
)

// A disk is what files are changed through, one named step at a time.
type disk struct {
	step func(point string) error
}

func (p Plan) disk() disk {
	if p.Step == nil {
		return disk{func(string) error { return nil }}
	}
	return disk{p.Step}
}

// do changes something. A signal does not end it early.
func (d disk) do(step string, change func() error) error {
	if err := d.step("before " + step); err != nil {
		return err
	}
	err := again(change)
	if err == nil {
		err = d.step("after " + step)
	}
	return err
}

// again calls until no signal has come in between.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// A folder is one that is held open: what is done in it is done there, whatever stands at its path by then. Its methods
// take names, not paths, follow no links, and name the file in their errors.
type folder struct {
	disk
	file *os.File
}

func (d *folder) fd() int                 { return int(d.file.Fd()) }
func (d *folder) path(name string) string { return filepath.Join(d.file.Name(), name) }
func (d *folder) close()                  { _ = d.file.Close() } // it was opened to be read

// openFolder opens a folder that exists.
func (d disk) openFolder(f subfolder) (*folder, error) { return d.walk(f, false) }

// makeFolder opens a folder and makes what is missing of it below its base.
func (d disk) makeFolder(f subfolder) (*folder, error) { return d.walk(f, true) }

func (d disk) walk(f subfolder, make bool) (*folder, error) {
	file, err := os.OpenFile(f.base, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) { // what is not mounted is not to be taken for empty
		return nil, fmt.Errorf("the folder %s is missing, which was there at the start: is its disk mounted?", f.base)
	}
	if err != nil {
		return nil, err
	}
	at := &folder{d, file}
	for name := range strings.SplitSeq(f.below, string(filepath.Separator)) {
		if name == "." {
			continue
		}
		next, err := at.enter(name)
		if make && errors.Is(err, fs.ErrNotExist) {
			if err = at.mkdir(name); err == nil {
				next, err = at.enter(name)
			}
		}
		at.close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// enter opens a folder in this one.
func (d *folder) enter(name string) (*folder, error) {
	file, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is no folder, or is a link, which is not followed: %w", d.path(name), unix.ENOTDIR)
	}
	if err != nil {
		return nil, err
	}
	return &folder{d.disk, file}, nil
}

// mkdir makes a folder, for good. That it is there already is no error.
func (d *folder) mkdir(name string) error {
	err := d.do("make folder", func() error { return unix.Mkdirat(d.fd(), name, 0o777) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return d.failed("mkdir", name, err)
	}
	return d.sync()
}

func (d *folder) open(name string, flags int, mode uint32) (*os.File, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, mode)
		return err
	})
	if err != nil {
		return nil, d.failed("open", name, err)
	}
	return os.NewFile(uintptr(fd), d.path(name)), nil
}

// create makes a file of a hidden name anew, for this user alone. One that is left from a crash is removed.
func (d *folder) create(name string) (file *os.File, err error) {
	if err := d.remove("remove what a crash has left", name); err != nil {
		return nil, err
	}
	err = d.do("create", func() (err error) {
		file, err = d.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
		return err
	})
	return file, err
}

// remove takes a name away. That it is gone is no error.
func (d *folder) remove(step, name string) error {
	if _, err := d.lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := d.do(step, func() error { return unix.Unlinkat(d.fd(), name, 0) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.failed("remove", name, err)
	}
	return nil
}

// replace renames within the folder, over what has the name.
func (d *folder) replace(step, name, newName string) error {
	err := d.do(step, func() error { return unix.Renameat(d.fd(), name, d.fd(), newName) })
	return d.failed("rename", name, err)
}

// hide gives a file a hidden name, which nobody else uses.
func (d *folder) hide(step, name, hidden string) error {
	err := d.do(step, func() error {
		err := d.renameNew(name, d, hidden)
		if unsupported(err) {
			err = unix.Renameat(d.fd(), name, d.fd(), hidden)
		}
		return err
	})
	return d.failed("rename", name, err)
}

// show gives a file of a hidden name one for all to see. Where that is taken the error is [fs.ErrExist].
func (d *folder) show(step, hidden string, to *folder, name string) error {
	err := d.do(step, func() error {
		err := d.renameNew(hidden, to, name)
		if unsupported(err) {
			err = d.showByLink(hidden, to, name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", d.path(hidden), to.path(name), err)
	}
	return nil
}

func (d *folder) renameNew(name string, to *folder, newName string) error {
	if err := d.step("rename without replacing"); err != nil {
		return err
	}
	return renameNew(d.fd(), name, to.fd(), newName)
}

// showByLink is show for file systems that cannot rename without replacing. Nobody else uses the hidden name, so that
// removing it takes no other file away.
func (d *folder) showByLink(hidden string, to *folder, name string) error {
	err := d.do("link", func() error { return unix.Linkat(d.fd(), hidden, to.fd(), name, 0) })
	if err == nil {
		return unix.Unlinkat(d.fd(), hidden, 0)
	}
	if !unsupported(err) && err != unix.EPERM && err != unix.EMLINK {
		return err
	}
	if _, err := to.lstat(name); err == nil { // it has no links either: looking is the best that can be done
		return unix.EEXIST
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return unix.Renameat(d.fd(), hidden, to.fd(), name)
}

// unsupported reports whether a file system, or the system, does not know a call.
func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP)
}

// sync has the folder's names on the disk. Some network file systems cannot be asked for that.
func (d *folder) sync() error {
	return d.do("sync folder", func() error {
		if err := d.file.Sync(); err != nil && !unsupported(err) {
			return err
		}
		return nil
	})
}

func (d *folder) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.path(name), Err: err}
}

// A stat is what tells one file, and one version of it, from another.
type stat struct {
	queue.FileID
	mode     uint32 // type and permissions
	uid, gid int
}

// lstat looks at a name.
func (d *folder) lstat(name string) (stat, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return stat{}, d.failed("stat", name, err)
	}
	return statOf(st), nil
}

// fstat looks at an open file.
func fstat(f *os.File) (stat, error) {
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
		return stat{}, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return statOf(st), nil
}

func statOf(st unix.Stat_t) stat {
	return stat{FileID: queue.FileIDOf(&st), mode: uint32(st.Mode), uid: int(st.Uid), gid: int(st.Gid)}
}

func (s stat) regular() bool { return s.mode&unix.S_IFMT == unix.S_IFREG }

// permissions is who may read and write, and nothing of what runs with whose rights.
func (s stat) permissions() fs.FileMode { return fs.FileMode(s.mode & 0o777) }

// sameFile reports whether two names lead to one file.
func (s stat) sameFile(t stat) bool { return s.Device == t.Device && s.Inode == t.Inode }

// sameVersion reports whether nothing shows that a file was written since.
func (s stat) sameVersion(t stat) bool {
	return s.sameFile(t) && s.mode&unix.S_IFMT == t.mode&unix.S_IFMT && s.Alike(t.FileID)
}
