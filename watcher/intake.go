package watcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
)

// A result says that the intake has dealt with a file.
type result struct {
	path  string
	again bool // it could not be dealt with now, or was altered meanwhile
}

// inFlight is how many files the intake has in hand at a time. Most of them wait for the queue's disk, which takes hundreds that
// wait for it in little more time than a dozen.
const inFlight = 2048

// newBuffers makes one for each file that is read at a time: as many as there are processors to hash them.
func newBuffers() chan []byte {
	buffers := make(chan []byte, max(2, runtime.GOMAXPROCS(0))) // one reads while another waits for its disk
	for range cap(buffers) {
		buffers <- make([]byte, 128<<10) // what disks and SHA-256 like to have at a time
	}
	return buffers
}

// intake deals with complete files until ctx ends.
func (w *Watcher) intake(ctx context.Context) error {
	var hands errgroup.Group
	hands.SetLimit(inFlight)
	for {
		select {
		case <-ctx.Done():
			return hands.Wait()
		case g := <-w.ready:
			hands.Go(func() error {
				r := result{path: g.path, again: w.take(ctx, g)}
				select {
				case <-ctx.Done():
				case w.results <- r:
				}
				return nil
			})
		}
	}
}

// take deals with one complete file, and reports whether it has to be looked at again.
func (w *Watcher) take(ctx context.Context, g sighting) (again bool) {
	if w.room.wait(ctx) != nil {
		return true
	}
	defer func() {
		if v := recover(); v != nil {
			again = w.crashed(ctx, g, v)
		}
	}()
	entry, err := w.Queue.Entry(ctx, g.path)
	if err != nil { // taken for new, it might be paid for again
		w.waits(ctx, g, err)
		return true
	}
	known := entry != nil && entry.File.Same(g.version.FileID)
	if known && entry.Reason != queue.Unreadable {
		return false
	}
	c, err := w.read(ctx, g)
	switch {
	case err == nil:
		err = w.submit(ctx, g, c, entry)
	case errors.Is(err, errAltered):
		return true
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false
	case unreadable(err) && known:
		return false
	case unreadable(err): // told once a version, tried at every scan
		err = w.refuse(ctx, g, "", queue.Fault{Reason: queue.Unreadable, Message: err.Error()})
	}
	if err != nil {
		w.waits(ctx, g, err)
	}
	return err != nil
}

// crashed refuses a file that has made the intake panic: it would do so again and again.
func (w *Watcher) crashed(ctx context.Context, g sighting, v any) (again bool) {
	w.Log.Error("taking a file in has panicked", "file", g.path, "panic", v, "stack", string(debug.Stack()))
	err := w.refuse(ctx, g, "", queue.Fault{Reason: queue.Crash, Message: fmt.Sprintf("taking it in has panicked: %v", v)})
	if err != nil {
		w.waits(ctx, g, err)
	}
	return err != nil
}

// unreadable reports whether an error is the file's own, and not one that the next try may not meet.
func unreadable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO)
}

// waits says why a file is not dealt with now.
func (w *Watcher) waits(ctx context.Context, g sighting, err error) {
	if ctx.Err() == nil {
		w.Log.Warn("a file waits to be taken in", "file", g.path, "error", err)
	}
}

// A content is what reading a file found.
type content struct {
	digest      queue.Digest
	contentType string
	empty       bool
}

// errAltered says that a file changed while it was read.
var errAltered = errors.New("altered while it was read")

// read reads a file when it is its turn.
func (w *Watcher) read(ctx context.Context, g sighting) (content, error) {
	buf := <-w.buffers
	defer func() { w.buffers <- buf }()
	return read(ctx, g, buf)
}

// read finds out what a file is and, if that can be media, hashes all of it.
func read(ctx context.Context, g sighting, buf []byte) (content, error) {
	f, err := os.OpenFile(g.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place would be waited for
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	if err := check(f, g); err != nil {
		return content{}, err
	}
	if g.version.Size == 0 {
		return content{empty: true}, nil
	}
	n, err := io.ReadAtLeast(f, buf, min(len(buf), int(g.version.Size))) // one that is shorter by now is found by check
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return content{}, err
	}
	c := content{contentType: detect(buf[:n])}
	if isMedia(c.contentType) {
		h := sha256.New()
		h.Write(buf[:n])
		if _, err := io.CopyBuffer(h, reader{ctx, f}, buf); err != nil {
			return content{}, err
		}
		c.digest = queue.Digest(hex.EncodeToString(h.Sum(nil)))
	}
	return c, check(f, g)
}

// check reports errAltered unless the open file still is the version that had settled.
func check(f *os.File, g sighting) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !versionOf(info).same(g.version) {
		return errAltered
	}
	return nil
}

// submit puts a file on the queue, once a model, or refuses it, and remembers that. known is what was remembered before;
// if it names the same drop, the file only looks new, as it does when its device is numbered anew.
func (w *Watcher) submit(ctx context.Context, g sighting, c content, known *queue.FileEntry) error {
	models := w.modelsFor(c.contentType)
	if len(models) == 0 {
		what := "a file of type " + c.contentType
		if c.empty {
			what = "an empty file"
		}
		return w.refuse(ctx, g, c.contentType, queue.Fault{Reason: queue.Unsupported, Message: what + " is no image or video that can be judged"})
	}
	entry := queue.FileEntry{Path: g.path, File: g.version.FileID, Since: time.Now().UTC()}
	for _, model := range models {
		drop := dropOf(g, c.digest, model)
		entry.Drops = append(entry.Drops, drop.ID)
		if known != nil && slices.Contains(known.Drops, drop.ID) {
			entry.Jobs, entry.Cached, entry.Since = known.Jobs, known.Cached, known.Since
			continue
		}
		acceptance, err := w.submitOne(ctx, queue.Submission{
			Drop: drop, Digest: c.digest, Size: g.version.Size, ContentType: c.contentType, Model: model,
		})
		if err != nil {
			return err
		}
		if acceptance == queue.AcceptedAnswered {
			entry.Cached = true
		} else {
			entry.Jobs = append(entry.Jobs, queue.KeyOf(c.digest, model))
		}
		w.Log.Debug("taken in", "file", g.path, "model", model, "drop", drop.ID, "acceptance", acceptance)
	}
	return w.Queue.Remember(ctx, entry)
}

// submitOne puts a file on the queue, when that has room.
func (w *Watcher) submitOne(ctx context.Context, s queue.Submission) (queue.Acceptance, error) {
	for {
		acceptance, err := w.Queue.Submit(ctx, s)
		if !errors.Is(err, queue.ErrFull) {
			return acceptance, err
		}
		if err := w.room.waitAfter(ctx, err); err != nil {
			return "", err
		}
	}
}

// refuse answers a file with a failure instead, and remembers that.
func (w *Watcher) refuse(ctx context.Context, g sighting, contentType string, fault queue.Fault) error {
	drop := dropOf(g, queue.Digest(fault.Reason), "") // another refusal of the same version is another answer
	if err := w.Queue.Refuse(ctx, drop, contentType, fault); err != nil {
		return err
	}
	return w.Queue.Remember(ctx, queue.FileEntry{
		Path: g.path, File: g.version.FileID, Drops: []queue.DropID{drop.ID}, Reason: fault.Reason, Since: time.Now().UTC(),
	})
}

func dropOf(g sighting, d queue.Digest, m queue.Model) queue.Drop {
	uri := (&url.URL{Scheme: "file", Path: g.path}).String()
	return queue.Drop{
		ID: queue.DropIDOf(uri, g.version.FileID, d, m), URI: uri, Name: filepath.Base(g.path),
		File: g.version.FileID, QueuedAt: time.Now().UTC(),
	}
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("stopped: %w", err)
	}
	return r.r.Read(p)
}
