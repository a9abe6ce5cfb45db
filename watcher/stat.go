package watcher

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/queue"
)

// A sighting is what a path was when somebody looked.
type sighting struct {
	path    string
	version queue.FileID
	remote  bool      // its file system is not this machine's, nor its clock
	missed  bool      // a safety scan has found it, and events should have told of it
	tries   int       // how often it could not be dealt with
	since   time.Time // when it was first waited for; zero: it was not
}

// A dirID tells a folder from another one at the same path, as long as both are there.
type dirID struct{ dev, ino uint64 }

func dirIDOf(st *unix.Stat_t) dirID { return dirID{uint64(st.Dev), st.Ino} }

// lstat looks at a path, and not through a link in its place.
func lstat(path string) (unix.Stat_t, error) {
	return statWith("lstat", path, func(st *unix.Stat_t) error { return unix.Lstat(path, st) })
}

// stat looks at what a path leads to.
func stat(path string) (unix.Stat_t, error) {
	return statWith("stat", path, func(st *unix.Stat_t) error { return unix.Stat(path, st) })
}

// statIn looks at a name in an open folder.
func statIn(dir *os.File, name string) (unix.Stat_t, error) {
	return statWith("lstat", filepath.Join(dir.Name(), name), func(st *unix.Stat_t) error {
		return unix.Fstatat(int(dir.Fd()), name, st, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func statWith(op, path string, call func(*unix.Stat_t) error) (st unix.Stat_t, err error) {
	for {
		switch err = call(&st); err {
		case nil:
			return st, nil
		case syscall.EINTR: // some file systems are interrupted
		default:
			return st, &fs.PathError{Op: op, Path: path, Err: err}
		}
	}
}

func isRegular(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
func isFolder(st *unix.Stat_t) bool  { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
func isLink(st *unix.Stat_t) bool    { return st.Mode&unix.S_IFMT == unix.S_IFLNK }

// isGone reports whether nothing is at a path.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// below reports whether a path is a folder, or in it.
func below(path, dir string) bool {
	return path == dir || len(path) > len(dir) && path[:len(dir)] == dir && (path[len(dir)] == filepath.Separator || dir == "/")
}
