package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The staging bucket <ns>-media is an object store of JetStream, in the layout of ADR-20 of NATS, so that any of its clients can
// read it. It is written here and not by nats.go, whose Put has thousands of chunks under way at a time: of 2 GB, a server that
// syncs every write holds hundreds of megabytes in memory, and then refuses.

const (
	// mediaTTL is how long staged bytes are kept that nobody has removed.
	mediaTTL = 30 * 24 * time.Hour
	// mostChunk is how many bytes a chunk has, unless the server takes fewer in a message.
	mostChunk = 1 << 20
	// chunkHeaders is what a message needs of that for its headers.
	chunkHeaders = 1 << 10
	// freshTime is how long an object is kept for another submission of its drop. A sweep leaves it alone for twice as long, even
	// if no job knows of it, so that a record that is written meanwhile can rely on it.
	freshTime = 12 * time.Hour
	// chunkTime is how long a broker that is away is waited for in the middle of an object: less than it knows a chunk again that
	// is sent twice.
	chunkTime = time.Minute
	// stalledTime is how long the reader of what is staged may take for a chunk: less than a sweep leaves chunks alone that
	// belong to no object.
	stalledTime = freshTime
	// stagingBytes is the memory for chunks on their way. Each takes as much as it holds, so that small files do not wait for
	// large ones.
	stagingBytes = 16 << 20
	// mostName is how long an object's name may be: it has to fit into a subject.
	mostName = 1000
)

// ErrOtherBytes says that what was staged is not what its drop was hashed as: it was altered in between.
var ErrOtherBytes = errors.New("its bytes are not those that were hashed")

// A staging is what is to be put into the bucket.
type staging struct {
	name   string
	open   func(context.Context) (io.ReadCloser, error) // called once, and only if the bytes are needed
	size   int64                                        // bytes; less than 0: not known
	job    JobKey                                       // whose bytes they are; empty: not known, and no sweep removes them
	digest Digest                                       // what they have to be; empty: whatever they are
}

// Stage puts bytes into the staging bucket, which it makes if there is none. When it returns nil, they are durable, under that
// name; with an error, nothing is.
//
// An object of the name that is there already, complete, is kept, and r is not read: a name stands for one content. (One that
// is half a day old is replaced, so that it does not expire too soon.) Of two who stage under a name at a time, one wins.
//
// The bucket being full is an ErrFull; that it could never take as much, an ErrTooLarge. An object is removed when the job of a
// drop that names it in Staged ends, by Unstage, or after 30 days.
func (q *Queue) Stage(ctx context.Context, name string, r io.Reader) error {
	return q.stage(ctx, staging{name: name, size: -1, open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }})
}

func (q *Queue) stage(ctx context.Context, s staging) error {
	if s.name == "" || len(s.name) > mostName {
		return fmt.Errorf("stage %q: a name has 1 to %d bytes", s.name, mostName)
	}
	if err := q.stageOnce(ctx, s); err != nil {
		return fmt.Errorf("stage the bytes as %s of bucket %s: %w", s.name, q.MediaBucket(), err)
	}
	return nil
}

func (q *Queue) stageOnce(ctx context.Context, s staging) error {
	stream, err := q.media.make(ctx, q)
	if err != nil {
		return err
	}
	old, err := q.info(ctx, q.MediaBucket(), s.name)
	switch {
	case err == nil && time.Since(old.at) < freshTime:
		return nil
	case err != nil && !errors.Is(err, ErrNoObject):
		return err
	}
	release, err := q.media.reserve(ctx, stream, s.size)
	if err != nil {
		return err
	}
	defer release()
	r, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	w := q.newChunks(s)
	err = w.copy(ctx, r)
	if err == nil {
		err = w.finish(ctx, old)
	}
	if err != nil {
		q.purge(stream, chunkSubject(q.MediaBucket(), w.id))
		if !isFull(err) && !errors.Is(err, ErrFull) {
			return err
		}
		return q.media.refused(stream, max(s.size, w.size), err)
	}
	if old.ID != "" {
		q.purge(stream, chunkSubject(q.MediaBucket(), old.ID))
	}
	return nil
}

// chunks writes the chunks of one object.
type chunks struct {
	staging
	q      *Queue
	id     string
	most   int // bytes a chunk
	size   int64
	count  uint32
	digest hash.Hash
}

func (q *Queue) newChunks(s staging) *chunks {
	most := min(mostChunk, q.conn.MaxPayload()) - chunkHeaders
	return &chunks{staging: s, q: q, id: rand.Text(), most: int(most), digest: sha256.New()}
}

// copy writes chunk after chunk, each when the one before it is on the disk: so they stay in order whatever has to be sent twice,
// and memory holds one. More at a time would be faster only where nothing else is in work.
func (w *chunks) copy(ctx context.Context, r io.Reader) error {
	n := w.most
	if w.staging.size >= 0 {
		n = int(min(int64(n), w.staging.size+1)) // one more, so that the end is met with the first read
	}
	if err := w.q.media.memory.Acquire(ctx, int64(n)); err != nil {
		return context.Cause(ctx)
	}
	defer w.q.media.memory.Release(int64(n))
	buf := make([]byte, n)
	for {
		began := time.Now()
		n, err := io.ReadFull(r, buf)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return err
		}
		if time.Since(began) > stalledTime {
			return errors.New("reading them took too long")
		}
		if n > 0 {
			if err := w.put(ctx, buf[:n]); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
	}
}

// put writes one chunk.
func (w *chunks) put(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, chunkTime)
	defer cancel()
	w.digest.Write(data)
	w.size += int64(len(data))
	w.count++
	_, err := w.q.publish(ctx, write{
		subject: chunkSubject(w.q.MediaBucket(), w.id), data: data, last: anySequence,
		id: fmt.Sprintf("%s-%d", w.id, w.count), // a chunk whose answer was lost is not taken twice
	})
	return err
}

// finish makes the chunks an object: it writes what describes it over what was there.
func (w *chunks) finish(ctx context.Context, over objectInfo) error {
	sum := w.digest.Sum(nil)
	if w.staging.digest != "" && string(w.staging.digest) != hex.EncodeToString(sum) {
		return ErrOtherBytes
	}
	o := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: w.name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(w.most)}},
		Bucket:     w.q.MediaBucket(), NUID: w.id, Size: uint64(w.size), Chunks: w.count,
		Digest: digestPrefix + base64.URLEncoding.EncodeToString(sum),
	}
	if w.job != "" {
		o.Metadata = map[string]string{jobMetadata: string(w.job)}
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, chunkTime)
	defer cancel()
	_, err = w.q.swap(ctx, w.q.media.stream(), write{
		subject: metaSubject(w.q.MediaBucket(), w.name), data: data, last: int64(over.revision), replaces: true,
	})
	if !errors.Is(err, ErrConflict) {
		return err
	}
	if _, there := w.q.info(ctx, w.q.MediaBucket(), w.name); there != nil {
		return fmt.Errorf("somebody else has staged or removed them at the same time: %w", there)
	}
	w.q.purge(w.q.media.stream(), chunkSubject(w.q.MediaBucket(), w.id)) // somebody else was faster
	return nil
}

// Unstage removes a staged object, and leaves no mark of it. That there is none is no error.
func (q *Queue) Unstage(ctx context.Context, name string) error {
	stream, err := q.media.look(ctx, q)
	if errors.Is(err, ErrNoObject) {
		return nil
	}
	var o objectInfo
	if err == nil {
		o, err = q.info(ctx, q.MediaBucket(), name)
	}
	switch {
	case errors.Is(err, ErrNoObject):
		return nil
	case err != nil:
		return fmt.Errorf("remove %s from bucket %s: %w", name, q.MediaBucket(), err)
	}
	return q.unstage(ctx, stream, o)
}

// unstage removes an object that was looked up. Its description goes first: chunks that nothing describes are swept.
func (q *Queue) unstage(ctx context.Context, stream jetstream.Stream, o objectInfo) error {
	for _, p := range []struct {
		subject string
		up      []jetstream.StreamPurgeOpt
	}{
		{metaSubject(q.MediaBucket(), o.Name), []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(o.revision + 1)}}, // not what is staged anew
		{chunkSubject(q.MediaBucket(), o.ID), nil},
	} {
		q.Step("before purge " + p.subject)
		if err := stream.Purge(ctx, append(p.up, jetstream.WithPurgeSubject(p.subject))...); err != nil {
			return fmt.Errorf("remove %s from bucket %s: %w", o.Name, q.MediaBucket(), q.conn.explain(err))
		}
		q.Step("after purge " + p.subject)
	}
	return nil
}

// purge removes the messages of a subject that nobody needs. What it cannot remove is swept.
func (q *Queue) purge(stream jetstream.Stream, subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), tryTime)
	defer cancel()
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
		q.Log.Debug("bytes that are not needed are left to the sweep", "subject", subject, "error", err)
	}
}
