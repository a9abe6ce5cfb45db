package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/authenta/authenta-ingest/queue"
)

// openCopy opens the first file of a job that still is the version that was hashed. All drops of a job have the same
// content, so any will do. The caller closes it. A fault is the files' own; an error is ours, and may pass.
func openCopy(j queue.Job) (*os.File, *queue.Fault, error) {
	fault := &queue.Fault{Reason: queue.Unreadable, Message: "no file left"}
	for _, d := range j.Drops {
		f, why, err := openVersion(d, j.Digest)
		if why == nil {
			return f, nil, err
		}
		if fault.Reason != queue.Changed { // altered says more than gone
			fault = why
		}
	}
	return nil, fault, nil
}

func openVersion(d queue.Drop, digest queue.Digest) (*os.File, *queue.Fault, error) {
	path, err := queue.FilePath(d.URI)
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
	id, regular, err := queue.FileIDOfOpen(f)
	if err != nil || !regular || !id.Alike(d.File) || !id.Same(d.File) && !holds(f, digest) {
		f.Close()
		return nil, &queue.Fault{Reason: queue.Changed, Message: path + " was altered after it was taken in"}, nil
	}
	return f, nil, nil
}

// altered reports whether an open file has another content than the job. It reads the file only if something about it
// is not as it was when it was hashed: a file that was merely touched must not be paid for again.
func altered(f *os.File, j queue.Job) bool {
	id, _, err := queue.FileIDOfOpen(f)
	if err == nil && slices.ContainsFunc(j.Drops, func(d queue.Drop) bool { return id.Same(d.File) }) {
		return false
	}
	return !holds(f, j.Digest)
}

// holds reads an open file, from its beginning, and reports whether it has a content. It leaves it at its end.
func holds(f *os.File, digest queue.Digest) bool {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false
	}
	h := sha256.New()
	_, err := io.Copy(h, f)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == string(digest)
}

// overwritten reports whether a file of the job, in its place still, has got another content, and may have had it when it was
// sent. Only files of this machine can tell: what is at the same path of another has nothing to do with what was sent, even if its
// inode is the same, as it is on machines that were set up alike.
func overwritten(j queue.Job, here string) bool {
	return !j.Copied && slices.ContainsFunc(j.Drops, func(d queue.Drop) bool {
		if d.Host != "" && d.Host != here {
			return false
		}
		path, err := queue.FilePath(d.URI)
		if err != nil {
			return false
		}
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return false
		}
		defer f.Close()
		id, regular, err := queue.FileIDOfOpen(f)
		return err == nil && id.Inode == d.File.Inode && regular && altered(f, j)
	})
}
