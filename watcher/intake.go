package watcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/spans"
	"github.com/authenta/authenta-ingest/watcher/media"
)

// A result says that the intake has dealt with a file.
type result struct {
	sighting
	again bool // it could not be dealt with now, or was altered meanwhile
}

// inFlight is how many files the intake has in hand at a time. Most of them wait for the queue's disk, which takes hundreds that
// wait for it in little more time than a dozen.
const inFlight = 2048

// buffers are one for each file that is read at a time: as many as there are processors to hash them, for the files of this
// machine and for those of others, which may be out of reach for long.
type buffers struct{ local, remote chan []byte }

func newBuffers() buffers {
	some := func() chan []byte {
		c := make(chan []byte, max(2, runtime.GOMAXPROCS(0))) // one reads while another waits for its disk
		for range cap(c) {
			c <- make([]byte, 128<<10) // what disks and SHA-256 like to have at a time
		}
		return c
	}
	return buffers{local: some(), remote: some()}
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
				r := w.take(ctx, g)
				select {
				case <-ctx.Done():
				case w.results <- r:
				}
				return nil
			})
		}
	}
}

// take deals with one complete file, unless it turns out not to be.
func (w *Watcher) take(ctx context.Context, g sighting) (r result) {
	if w.Room.Wait(ctx) != nil {
		return result{g, true}
	}
	if g.remote {
		same, there := w.lookRemote(&g)
		if !there || !same {
			return result{g, there}
		}
	}
	defer func() {
		if v := recover(); v != nil {
			r = w.failed(ctx, g, w.crashed(ctx, g, v))
		}
	}()
	entry, err := w.remembered(ctx, g)
	if err != nil { // taken for new, it might be paid for again
		return w.failed(ctx, g, err)
	}
	if entry != nil && entry.File.Same(g.version) && (!entry.Again() || w.debts.knows(g)) {
		return result{g, false}
	}
	return w.takeIn(ctx, g, entry)
}

// takeIn reads a file and submits it. known is what was remembered of it before.
func (w *Watcher) takeIn(ctx context.Context, g sighting, known *queue.FileEntry) result {
	ctx, span := takingIn(ctx, g)
	defer span.End()
	c, err := w.read(ctx, g)
	if err == nil {
		span.AddEvent("hashed")
		if err = w.submit(ctx, g, c, known); err != nil {
			w.debts.cancel(g.path)
		}
	} else if unreadable(err) {
		err = w.refuseUnread(ctx, g, known, err)
	}
	switch {
	case isAltered(err), errors.Is(err, syscall.ELOOP): // a link is in its place
		span.AddEvent("altered")
		g.tries = 0
		return result{g, true}
	case isGone(err):
		span.AddEvent("gone")
		return result{g, false}
	case err != nil:
		spans.Fail(span, "take in", err.Error())
	}
	return w.failed(ctx, g, err)
}

// remembered is what the registry has of a file, if it has anything.
func (w *Watcher) remembered(ctx context.Context, g sighting) (*queue.FileEntry, error) {
	if !w.files.of(g.path, g.version).ever {
		return nil, nil
	}
	return w.files.registry.Entry(ctx, queue.FileKeyOf(g.path))
}

// failed is the result of dealing with a file. After an error it is tried again, and somebody is told the first time.
func (w *Watcher) failed(ctx context.Context, g sighting, err error) result {
	if err == nil {
		return result{g, false}
	}
	w.debts.cancel(g.path)
	level := slog.LevelWarn
	if g.tries > 0 || ctx.Err() != nil {
		level = slog.LevelDebug
	}
	w.Log.Log(ctx, level, "a file waits to be taken in", "file", g.path, "error", err)
	g.tries++
	return result{g, true}
}

// refuseUnread answers a file that may not be read with a failure: once a version, though it is tried at every scan. One that was
// taken in while it could be read, and has not changed since but in its rights, has its answer.
func (w *Watcher) refuseUnread(ctx context.Context, g sighting, known *queue.FileEntry, why error) error {
	switch {
	case known == nil:
	case known.Reason == "" && known.File.Alike(g.version), known.File.Same(g.version) && len(known.Owed) == 0:
		return nil
	}
	return w.refuse(ctx, g, "", queue.Fault{Reason: queue.Unreadable, Message: why.Error()})
}

// crashed refuses a file that has made the intake panic: it would do so again and again.
func (w *Watcher) crashed(ctx context.Context, g sighting, v any) error {
	w.Log.Error("taking a file in has panicked", "file", g.path, "panic", v, "stack", string(debug.Stack()))
	return w.refuse(ctx, g, "", queue.Fault{Reason: queue.Crash, Message: fmt.Sprintf("taking it in has panicked: %v", v)})
}

// unreadable reports whether an error is the file's own, and not one that the next try may not meet.
func unreadable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO)
}

// A content is what reading a file found.
type content struct {
	digest      queue.Digest
	contentType string // empty: of an empty file
}

// errAltered says that a file changed while it was read.
var errAltered = errors.New("altered while it was read")

// read reads a file when it is its turn.
func (w *Watcher) read(ctx context.Context, g sighting) (content, error) {
	buffers := w.buffers.local
	if g.remote {
		buffers = w.buffers.remote
	}
	select {
	case <-ctx.Done():
		return content{}, ctx.Err()
	case buf := <-buffers:
		defer func() { buffers <- buf }()
		return w.readInto(ctx, g, buf)
	}
}

// readInto finds out what a file is and, if that can be media, hashes all of it.
func (w *Watcher) readInto(ctx context.Context, g sighting, buf []byte) (content, error) {
	f, err := w.openFile(g.path)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	if err := check(f, g); err != nil {
		return content{}, err
	}
	if g.version.Size == 0 {
		return content{}, nil
	}
	began := time.Now()
	n, err := io.ReadAtLeast(f, buf, min(len(buf), int(g.version.Size))) // one that is shorter by now is found by check
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return content{}, err
	}
	c := content{contentType: media.Detect(buf[:n])}
	if media.Is(c.contentType) {
		h := sha256.New()
		h.Write(buf[:n])
		if _, err := io.CopyBuffer(h, reader{ctx, f}, buf); err != nil {
			return content{}, err
		}
		c.digest = queue.Digest(hex.EncodeToString(h.Sum(nil)))
		w.metrics.hashing.Done(g.version.Size, time.Since(began))
	}
	return c, check(f, g)
}

// check reports errAltered unless the open file still is the version that had settled.
func check(f *os.File, g sighting) error {
	id, regular, err := queue.FileIDOfOpen(f)
	if err == nil && (!regular || !id.Same(g.version)) {
		err = errAltered
	}
	return err
}

// submit puts a file on the queue, once a model, or refuses it, and remembers that. known is what was remembered before;
// if it names the same drop, the file only looks new, as it does when its rights were changed.
func (w *Watcher) submit(ctx context.Context, g sighting, c content, known *queue.FileEntry) error {
	models := w.Models.For(c.contentType)
	if len(models) == 0 {
		return w.refuse(ctx, g, c.contentType, media.Unsupported(c.contentType, g.version.Size))
	}
	entry := queue.FileEntry{URI: queue.FileURI(g.path), File: g.version, Since: time.Now().UTC()}
	var subs []queue.Submission
	owed := false
	for _, model := range models {
		drop, key := dropOf(g, c.digest, model), queue.KeyOf(c.digest, model)
		drop.Host, drop.Trace = w.Machine, queue.TraceOf(ctx)
		entry.Drops, entry.Owed = append(entry.Drops, drop.ID), append(entry.Owed, key)
		if known != nil && slices.Contains(known.Drops, drop.ID) {
			entry.Jobs, entry.Cached, entry.Since = known.Jobs, known.Cached, known.Since
			owed = owed || len(known.Owed) > 0
			continue
		}
		owed = true
		subs = append(subs, queue.Submission{Drop: drop, Digest: c.digest, Size: g.version.Size, ContentType: c.contentType, Model: model, Bytes: w.bytesOf(g)})
	}
	if owed = owed && w.debts.owes(false) && !w.viaLink(g.path); owed {
		w.debts.expect(g, c.digest, entry.Drops, entry.Owed)
	} else {
		entry.Owed = nil
	}
	for _, s := range subs {
		acceptance, err := w.submitOne(ctx, s)
		if err != nil {
			return err
		}
		if acceptance == queue.AcceptedAnswered {
			entry.Cached = true
		} else {
			entry.Jobs = append(entry.Jobs, queue.KeyOf(s.Digest, s.Model))
		}
		queue.TellAccepted(ctx, s, acceptance)
		w.Log.Debug("taken in", "file", g.path, "model", s.Model, "drop", s.Drop.ID, "acceptance", acceptance)
	}
	if err := w.files.remember(ctx, g.path, entry); err != nil || !owed {
		return err
	}
	w.debts.remembered(g.path)
	if known != nil || entry.Cached { // an answer may have been there before anybody listened
		return w.debts.ask(ctx, g.path)
	}
	return nil
}

// submitOne puts a file on the queue, when that has room.
func (w *Watcher) submitOne(ctx context.Context, s queue.Submission) (queue.Acceptance, error) {
	for {
		acceptance, err := w.Queue.Submit(ctx, s)
		if !errors.Is(err, queue.ErrFull) {
			return acceptance, err
		}
		if err := w.Room.WaitAfter(ctx, err); err != nil {
			return "", err
		}
	}
}

// refuse answers a file with a failure instead, and remembers that.
func (w *Watcher) refuse(ctx context.Context, g sighting, contentType string, fault queue.Fault) error {
	drop := dropOf(g, queue.Digest(fault.Reason), "") // another refusal of the same version is another answer
	drop.Trace = queue.TraceOf(ctx)
	entry := queue.FileEntry{URI: drop.URI, File: g.version, Drops: []queue.DropID{drop.ID}, Reason: fault.Reason, Since: time.Now().UTC()}
	owed := w.debts.owes(true) && !w.viaLink(g.path)
	if owed {
		entry.Owed = []queue.JobKey{""}
		w.debts.expect(g, "", entry.Drops, entry.Owed)
	}
	answer, err := w.Queue.Refuse(ctx, drop, contentType, fault)
	if err == nil {
		err = w.files.remember(ctx, g.path, entry)
	}
	if err == nil && owed {
		w.debts.remembered(g.path, &answer)
	}
	return err
}

func dropOf(g sighting, d queue.Digest, m queue.Model) queue.Drop {
	uri := queue.FileURI(g.path)
	return queue.Drop{
		ID: queue.DropIDOf(uri, g.version, d, m), URI: uri, Name: filepath.Base(g.path), File: g.version, QueuedAt: time.Now().UTC(),
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
