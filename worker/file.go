package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/authenta/authenta-ingest/queue"
)

// openCopy opens the first file of a job that still is the version that was hashed. All drops of a job have the same
// content, so any will do. The caller closes it. A fault is the files' own; an error is ours, and may pass.
func openCopy(drops []queue.Drop) (*os.File, *queue.Fault, error) {
	fault := &queue.Fault{Reason: queue.Unreadable, Message: "no file left"}
	for _, d := range drops {
		f, why, err := openVersion(d)
		if why == nil {
			return f, nil, err
		}
		if fault.Reason != queue.Changed { // altered says more than gone
			fault = why
		}
	}
	return nil, fault, nil
}

func openVersion(d queue.Drop) (*os.File, *queue.Fault, error) {
	path, err := filePath(d.URI)
	if err != nil {
		return nil, &queue.Fault{Reason: queue.Unreadable, Message: err.Error()}, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place would be waited for
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return nil, nil, err
	case err != nil:
		return nil, &queue.Fault{Reason: queue.Unreadable, Message: err.Error()}, nil
	}
	info, err := f.Stat()
	if err != nil || !isVersion(info, d.File) {
		f.Close()
		return nil, &queue.Fault{Reason: queue.Changed, Message: path + " was altered after it was taken in"}, nil
	}
	return f, nil, nil
}

// altered reports whether an open file has another content than the job. It reads the file only if something about it
// is not as it was when it was hashed: a file that was merely touched must not be paid for again.
func altered(f *os.File, j queue.Job) bool {
	info, err := f.Stat()
	if err == nil && slices.ContainsFunc(j.Drops, func(d queue.Drop) bool { return isVersion(info, d.File) }) {
		return false
	}
	h := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return true
	}
	_, err = io.Copy(h, f)
	return err != nil || hex.EncodeToString(h.Sum(nil)) != string(j.Digest)
}

// overwritten reports whether a file of the job, in its place still, has got another content.
func overwritten(j queue.Job) bool {
	return slices.ContainsFunc(j.Drops, func(d queue.Drop) bool {
		path, err := filePath(d.URI)
		if err != nil {
			return false
		}
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return false
		}
		defer f.Close()
		info, err := f.Stat()
		return err == nil && inode(info) == d.File.Inode && info.Mode().IsRegular() && altered(f, j)
	})
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// isVersion compares what does not change by a remount: size, time and inode, not the device.
func isVersion(info fs.FileInfo, want queue.FileID) bool {
	return info.Mode().IsRegular() &&
		info.Size() == want.Size && info.ModTime().Equal(want.ModTime) && inode(info) == want.Inode
}

// filePath returns the path of a file: URI. It must be a file of this machine, and have nothing after its path: that would
// be a part of its name that nobody has escaped.
func filePath(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Host != "" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.ForceQuery || strings.Contains(uri, "#") {
		return "", fmt.Errorf("%q is not a file: URI", uri)
	}
	return u.Path, nil
}
