package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A FileID is what tells one version of a file from another without reading it.
type FileID struct {
	Device     uint64    `json:"dev"` // may be numbered anew by a reboot or a mount: it tells where a file was, not what it is
	Inode      uint64    `json:"ino"`
	Size       int64     `json:"size"` // bytes
	ModTime    time.Time `json:"mtime"`
	ChangeTime time.Time `json:"ctime,omitzero"` // of the inode; unlike ModTime, no program can set it back
}

// FileIDOf returns what a stat has found.
func FileIDOf(st *unix.Stat_t) FileID {
	return FileID{
		Device: uint64(st.Dev), Inode: st.Ino, Size: st.Size, //nolint:unconvert // Dev has another type on each system
		ModTime: time.Unix(st.Mtim.Unix()).UTC(), ChangeTime: time.Unix(st.Ctim.Unix()).UTC(),
	}
}

// FileIDOfOpen returns what an open file is, and whether it is a regular one.
func FileIDOfOpen(f *os.File) (id FileID, regular bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return FileID{}, false, err
	}
	var st unix.Stat_t
	failed := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) })
	if failed != nil {
		err = failed
	}
	if err != nil {
		return FileID{}, false, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return FileIDOf(&st), st.Mode&unix.S_IFMT == unix.S_IFREG, nil
}

// Same reports whether nothing about the file was touched in between: it holds what it held.
func (f FileID) Same(g FileID) bool { return f.Alike(g) && f.ChangeTime.Equal(g.ChangeTime) }

// Alike reports whether the file may hold what it held. If it is not the Same, only its content tells: its rights or
// links may have changed, or it was overwritten and its old time set again.
func (f FileID) Alike(g FileID) bool {
	return f.Inode == g.Inode && f.Size == g.Size && f.ModTime.Equal(g.ModTime)
}

// A FilePrint stands for a FileID where a million of them are held: those that are the [FileID.Same] have the same,
// and of others two in 2^64 do.
type FilePrint uint64

// Print returns the id's print.
func (f FileID) Print() FilePrint {
	b := make([]byte, 0, 32)
	for _, n := range []int64{int64(f.Inode), f.Size, f.ModTime.UnixNano(), f.ChangeTime.UnixNano()} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	sum := sha256.Sum256(b)
	return FilePrint(binary.BigEndian.Uint64(sum[:]))
}

// FileURI returns the address of a file of this machine. Any path has one, and [FilePath] gives it back.
func FileURI(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// FilePath returns the path of a file: URI. It must be a file of this machine, and have nothing after its path: that would
// be a part of its name that nobody has escaped.
func FilePath(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Host != "" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.ForceQuery || strings.Contains(uri, "#") {
		return "", fmt.Errorf("%q is not a file: URI", uri)
	}
	return u.Path, nil
}
