package queue

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoObject says that there is no object of that name, or no bucket: it was removed, has expired, or never was.
var ErrNoObject = errors.New("no such object")

// ErrDamaged says that an object is not what its store says of it, and so will not be another time.
var ErrDamaged = errors.New("the object is damaged")

// An Object is the bytes of an object store's object, which are read once, in order. It holds a few of them in memory, however
// large the object is and however slowly it is read. It has to be closed.
type Object struct {
	Size   int64  // bytes, as the store says
	Digest Digest // of all of it, as the store says; empty: it does not. It is not checked

	q        *Queue
	ctx      context.Context // ends reading
	info     objectInfo
	stream   string
	consumer jetstream.Consumer
	batch    jetstream.MessageBatch
	enough   context.CancelFunc // ends the batch
	asked    int                // chunks that the batch may have
	chunk    []byte             // what is left of the one in hand
	chunks   uint32             // read so far
	read     int64              // bytes, likewise
}

// OpenStaged opens a staged object, or returns ErrNoObject. Reading fails when ctx ends.
func (q *Queue) OpenStaged(ctx context.Context, name string) (*Object, error) {
	return q.OpenObject(ctx, q.MediaBucket(), name)
}

// OpenObject opens an object of any bucket of the account, or returns ErrNoObject. A link is followed to its object. Reading
// fails when ctx ends.
func (q *Queue) OpenObject(ctx context.Context, bucket, name string) (*Object, error) {
	o, err := q.info(ctx, bucket, name)
	if err == nil && o.Opts != nil && o.Opts.Link != nil {
		bucket, name = o.Opts.Link.Bucket, o.Opts.Link.Name
		if o, err = q.info(ctx, bucket, name); err == nil && o.Opts != nil && o.Opts.Link != nil { // there are none to links
			err = ErrNoObject
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open object %s of bucket %s: %w", name, bucket, err)
	}
	return &Object{Size: int64(o.Size), Digest: o.digest(), q: q, ctx: ctx, info: o, stream: objectStream(bucket)}, nil
}

const (
	// chunksAhead is how many chunks are asked for at a time.
	chunksAhead = 4
	// chunkWait is how long a chunk is waited for until somebody looks whether it is there.
	chunkWait = 5 * time.Second
	// consumerLife is how long the broker remembers a reader that has gone down.
	consumerLife = time.Minute
)

// Read reads on. An object that loses its bytes while they are read is an ErrNoObject.
func (o *Object) Read(p []byte) (int, error) {
	for len(o.chunk) == 0 {
		if o.chunks == o.info.Chunks {
			if o.read != o.Size {
				return 0, fmt.Errorf("%w: %s has %d bytes instead of %d", ErrDamaged, o.info.Name, o.read, o.Size)
			}
			return 0, io.EOF
		}
		if err := o.next(); err != nil {
			return 0, fmt.Errorf("read object %s: %w", o.info.Name, err)
		}
	}
	n := copy(p, o.chunk)
	o.chunk = o.chunk[n:]
	return n, nil
}

// Close ends reading.
func (o *Object) Close() error {
	if o.batch != nil {
		o.enough()
		o.batch = nil
	}
	if o.consumer != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), tryTime)
		defer cancel()
		if err := o.q.js.DeleteConsumer(ctx, o.stream, o.consumer.CachedInfo().Name); err != nil { // it goes by itself
			o.q.Log.Debug("a reader of an object is left to expire", "object", o.info.Name, "error", err)
		}
		o.consumer = nil
	}
	o.chunk, o.chunks = nil, o.info.Chunks
	return nil
}

// next gets the next chunk.
func (o *Object) next() error {
	for {
		if o.batch == nil {
			if err := o.ask(); err != nil {
				return err
			}
		}
		msg, open := <-o.batch.Messages()
		if !open {
			if err := o.batchEnded(); err != nil {
				return err
			}
			continue
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		o.asked--
		if o.chunks++; meta.Sequence.Consumer != uint64(o.chunks) {
			return fmt.Errorf("the broker has left out a part of it, after %d", o.chunks-1)
		}
		o.chunk = msg.Data()
		if o.read += int64(len(o.chunk)); len(o.chunk) > 0 || o.chunks == o.info.Chunks {
			return nil
		}
	}
}

// ask asks for the next chunks.
func (o *Object) ask() (err error) {
	if err := o.ctx.Err(); err != nil {
		return context.Cause(o.ctx)
	}
	if o.consumer == nil {
		o.consumer, err = o.q.js.CreateConsumer(o.ctx, o.stream, jetstream.ConsumerConfig{
			FilterSubject: chunkSubject(o.info.bucket(o.stream), o.info.ID), AckPolicy: jetstream.AckNonePolicy,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerLife,
		})
		if err != nil {
			return o.q.conn.explain(err)
		}
	}
	o.asked = int(min(chunksAhead, o.info.Chunks-o.chunks))
	var ctx context.Context
	ctx, o.enough = context.WithTimeout(o.ctx, chunkWait)
	o.batch, err = o.consumer.Fetch(o.asked, jetstream.FetchContext(ctx))
	return err
}

// batchEnded finds out why no more chunks come.
func (o *Object) batchEnded() error {
	err, left := o.batch.Error(), o.asked
	o.enough()
	o.batch = nil
	switch {
	case left == 0:
		return nil
	case o.ctx.Err() != nil:
		return context.Cause(o.ctx)
	case err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, jetstream.ErrNoMessages):
		return err
	}
	stream, err := o.q.js.Stream(o.ctx, o.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return ErrNoObject
	}
	if err != nil {
		return err
	}
	subject := chunkSubject(o.info.bucket(o.stream), o.info.ID)
	info, err := stream.Info(o.ctx, jetstream.WithSubjectFilter(subject))
	if err == nil && info.State.Subjects[subject] < uint64(o.info.Chunks) {
		err = fmt.Errorf("%w any more: %d of its %d parts are there", ErrNoObject, info.State.Subjects[subject], o.info.Chunks)
	}
	return err // nil: they are only slow to come
}

// What describes an object, as its bucket has it.
type objectInfo struct {
	jetstream.ObjectInfo
	ID       string    // of its chunks
	revision uint64    // of the description
	at       time.Time // when it was written, by the broker's clock
}

const (
	digestPrefix = "SHA-256="
	jobMetadata  = "authenta-job" // under which the key of the job is that needs the object
)

// bucket is the bucket of a stream; the description's own word is not relied on.
func (objectInfo) bucket(stream string) string { return strings.TrimPrefix(stream, objectStream("")) }

// digest is what the store says of the bytes; empty: nothing, or nothing that can be read.
func (o objectInfo) digest() Digest {
	coded, ok := strings.CutPrefix(o.ObjectInfo.Digest, digestPrefix)
	sum, err := base64.URLEncoding.DecodeString(coded)
	if d := Digest(hex.EncodeToString(sum)); ok && err == nil && d.Valid() {
		return d
	}
	return ""
}

// job is the key of the job that needs a staged object; empty: not known.
func (o objectInfo) job() JobKey {
	if key := JobKey(o.Metadata[jobMetadata]); key.Valid() {
		return key
	}
	return ""
}

// storedMessage is the answer of the leader of a stream to who asks for a message.
type storedMessage struct {
	Error   *jetstream.APIError `json:"error"`
	Message struct {
		Sequence uint64    `json:"seq"`
		Data     []byte    `json:"data"`
		Time     time.Time `json:"time"`
	} `json:"message"`
}

// info looks up what describes an object, or returns ErrNoObject. It asks the stream's leader: a replica that lags behind would say
// that there is none, and then the file would fail for it.
func (q *Queue) info(ctx context.Context, bucket, name string) (objectInfo, error) {
	if !bucketPattern.MatchString(bucket) || name == "" {
		return objectInfo{}, ErrNoObject
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	ask, err := json.Marshal(map[string]string{"last_by_subj": metaSubject(bucket, name)})
	if err != nil {
		return objectInfo{}, err
	}
	reply, err := q.conn.RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+objectStream(bucket), ask)
	if err != nil {
		return objectInfo{}, q.conn.explain(err)
	}
	var answer storedMessage
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return objectInfo{}, fmt.Errorf("look it up: %w", err)
	}
	if e := answer.Error; e != nil {
		if e.ErrorCode == jetstream.JSErrCodeMessageNotFound || e.ErrorCode == jetstream.JSErrCodeStreamNotFound {
			return objectInfo{}, ErrNoObject
		}
		return objectInfo{}, e
	}
	o := objectInfo{revision: answer.Message.Sequence, at: answer.Message.Time}
	if err := json.Unmarshal(answer.Message.Data, &o.ObjectInfo); err != nil {
		return o, fmt.Errorf("%w: what describes it cannot be read: %w", ErrDamaged, err)
	}
	if o.ID = o.NUID; o.Deleted || o.ID == "" && o.Chunks > 0 {
		return objectInfo{revision: o.revision}, ErrNoObject
	}
	return o, nil
}

var bucketPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// MediaBucket is the object store bucket that staged bytes are in.
func (q *Queue) MediaBucket() string        { return q.ns.name("media") }
func objectStream(bucket string) string     { return "OBJ_" + bucket }
func chunkSubject(bucket, id string) string { return "$O." + bucket + ".C." + id }
func metaPrefix(bucket string) string       { return "$O." + bucket + ".M." }
func metaSubject(bucket, name string) string {
	return metaPrefix(bucket) + base64.URLEncoding.EncodeToString([]byte(name))
}
