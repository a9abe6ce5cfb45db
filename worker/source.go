package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// A source is an open file with a job's bytes: one of its own, or a copy of an object.
type source struct {
	*os.File
	copied bool // nobody else has it, and it was found to be what was hashed
}

// altered reports whether it has another content than the job.
func (s source) altered(j queue.Job) bool { return !s.copied && altered(s.File, j) }

// open opens a job's bytes: the first file that still is what was hashed; else a copy of what was staged, or of the object that a
// drop is about. A copy costs a download, and is not made while the platform would not be called. The fault is given if no drop has
// bytes that can be used here, the settlement if that cannot be known now.
func (w *Worker) open(ctx context.Context, j queue.Job) (source, *queue.Fault, *queue.Settlement) {
	file, fault, err := openCopy(j)
	s := source{File: file}
	if fault != nil && slices.ContainsFunc(j.Drops, hasObject) {
		if closed := w.closedFor(ctx, j); closed != nil {
			return s, nil, closed
		}
		s, fault, err = w.fetch(ctx, j, *fault)
	}
	if err != nil {
		w.Log.Warn("a file waits to be uploaded", "file", j.Drops[0].URI, "error", err)
		off := queue.RetryAfter(backoff())
		return s, nil, &off
	}
	return s, fault, nil
}

// closedFor settles a job whose next call would not be made now.
func (w *Worker) closedFor(ctx context.Context, j queue.Job) *queue.Settlement {
	call := control.Create
	if j.State == queue.Reserved && !w.runsOut(j) {
		call = control.Put
	}
	if w.Cluster.Uploads.Lets(call) && canBeFetched(w.Cluster.Polls.State()) {
		return nil
	}
	s := turn{w: w, call: call}.refused(ctx, errClosed)
	return &s
}

// hasObject reports whether a drop's bytes are in an object store.
func hasObject(d queue.Drop) bool {
	_, _, err := queue.ObjectName(d.URI)
	return d.Staged != "" || err == nil
}

// fetch copies an object of a job, for want of a file: why is what the files are like. All of its objects have the same content,
// so any will do. A fault is the objects' own; an error is ours or the broker's, and may pass.
func (w *Worker) fetch(ctx context.Context, j queue.Job, why queue.Fault) (source, *queue.Fault, error) {
	var passing error
	fault := &why
	for _, d := range j.Drops {
		if !hasObject(d) {
			continue
		}
		s, bad, err := w.fetchDrop(ctx, j, d)
		if bad == nil && err == nil {
			return s, nil, nil
		}
		if passing = errors.Join(passing, err); bad != nil && fault.Reason != queue.Changed { // altered says more than gone
			if _, err := queue.FilePath(d.URI); err == nil {
				bad.Message = why.Message + "; " + bad.Message
			}
			fault = bad
		}
	}
	if passing != nil {
		return source{}, nil, passing
	}
	return source{}, fault, nil
}

func (w *Worker) fetchDrop(ctx context.Context, j queue.Job, d queue.Drop) (source, *queue.Fault, error) {
	what, open := "its staged copy", func() (*queue.Object, error) { return w.Queue.OpenStaged(ctx, d.Staged) }
	if d.Staged == "" {
		bucket, name, err := queue.ObjectName(d.URI)
		if err != nil {
			return source{}, nil, err
		}
		what, open = d.URI, func() (*queue.Object, error) { return w.Queue.OpenObject(ctx, bucket, name) }
	}
	o, err := open()
	if err == nil {
		defer o.Close()
		if o.Size != j.Size || o.Digest != "" && o.Digest != j.Digest {
			return source{}, changed(what), nil
		}
		var s source
		if s, err = spool(o, j.Digest); err == nil {
			return s, nil, nil
		}
	}
	switch {
	case errors.Is(err, queue.ErrNoObject):
		return source{}, &queue.Fault{Reason: queue.Unreadable, Message: what + " is gone: it was removed, or has expired"}, nil
	case errors.Is(err, queue.ErrDamaged):
		return source{}, &queue.Fault{Reason: queue.Unreadable, Message: fmt.Sprintf("%s: %v", what, err)}, nil
	case errors.Is(err, errOther):
		return source{}, changed(what), nil
	}
	return source{}, nil, fmt.Errorf("get %s: %w", what, err)
}

func changed(what string) *queue.Fault {
	return &queue.Fault{Reason: queue.Changed, Message: what + " has another content than when it was taken in"}
}

// errOther says that an object has another content than its job.
var errOther = errors.New("another content")

// spool copies what it reads into a file without a name, which goes with whoever has it open, and wants it to have a digest.
func spool(r io.Reader, digest queue.Digest) (source, error) {
	f, err := os.CreateTemp("", "authenta-ingest-*")
	if err != nil {
		return source{}, explainSpool(err)
	}
	err = os.Remove(f.Name())
	h := sha256.New()
	if err == nil {
		err = copyInto(f, io.TeeReader(r, h))
	}
	if err == nil && hex.EncodeToString(h.Sum(nil)) != string(digest) {
		err = errOther
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return source{}, err
	}
	return source{File: f, copied: true}, nil
}

// copyInto copies, and tells what cannot be written from what cannot be read.
func copyInto(f *os.File, r io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, bad := f.Write(buf[:n]); bad != nil {
				return explainSpool(bad)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func explainSpool(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("no room for a copy in %s, which every upload needs that is not of a file here: make some, or set TMPDIR to a larger disk: %w", os.TempDir(), err)
	}
	return fmt.Errorf("make a copy in %s: set TMPDIR to a folder that can be written to: %w", os.TempDir(), err)
}
