package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// ErrTooLarge says that bytes could never be staged: there are more of them than the bucket takes.
var ErrTooLarge = errors.New("more than the staging bucket takes")

// media is the staging bucket, as far as this process knows it, and its room.
type media struct {
	memory *semaphore.Weighted // bytes of chunks on their way

	mu       sync.Mutex
	found    jetstream.Stream // nil: not found so far
	made     bool             // this process has seen to its being as the settings say
	reserved int64            // bytes that are being staged by this process, those included that have arrived
	wanted   int64            // bytes that had no room when they were last tried; 0: none
}

func newMedia() *media { return &media{memory: semaphore.NewWeighted(stagingBytes)} }

// make returns the bucket's stream, which is made, or made as the settings say. Those who hand files in leave one as it is.
func (m *media) make(ctx context.Context, q *Queue) (jetstream.Stream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.made {
		return m.found, nil
	}
	bucket := q.MediaBucket()
	if q.attached {
		stream, err := q.js.Stream(ctx, objectStream(bucket))
		if err == nil {
			m.found, m.made = stream, true
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return stream, err
		}
	}
	stream, err := q.stream(ctx, jetstream.StreamConfig{
		Name: objectStream(bucket), Subjects: []string{chunkSubject(bucket, ">"), metaPrefix(bucket) + ">"}, Replicas: q.Replicas,
		Discard: jetstream.DiscardNew, MaxBytes: q.StageBytes, MaxAge: mediaTTL,
		AllowRollup: true, AllowDirect: q.Replicas == 1, // a replica that lags behind would say that an object is not there
	})
	switch {
	case err == nil:
		m.found, m.made = stream, true
	case isFull(err): // an account or a server has less than the setting asks for
		err = fmt.Errorf("the NATS server does not grant a bucket of INGEST_STAGE_BYTES=%d: lower it, or raise the server's limit: %w: %w", q.StageBytes, ErrFull, err)
		m.wanted = max(m.wanted, 1)
	}
	return stream, err
}

// look returns the bucket's stream, or ErrNoObject.
func (m *media) look(ctx context.Context, q *Queue) (jetstream.Stream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found != nil {
		return m.found, nil
	}
	stream, err := q.js.Stream(ctx, objectStream(q.MediaBucket()))
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, ErrNoObject
	case err == nil:
		m.found = stream
	}
	return stream, err
}

func (m *media) stream() jetstream.Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.found
}

// forget has the bucket looked for, or made, again: somebody may have deleted it.
func (m *media) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.found, m.made = nil, false
}

// overhead is about what the messages of an object take beside its bytes.
func overhead(size int64) int64 { return 1000 + size/1000 }

// reserve makes sure that there is room for an object, so that none is written half and then refused. release gives it back.
func (m *media) reserve(ctx context.Context, stream jetstream.Stream, size int64) (release func(), err error) {
	size = max(size, 0)
	need := size + overhead(size)
	info, err := stream.Info(ctx)
	if err != nil {
		m.forget()
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case info.Config.MaxBytes > 0 && need > info.Config.MaxBytes:
		return nil, fmt.Errorf("%w: it has %d MB, and INGEST_STAGE_BYTES is %d MB", ErrTooLarge, size>>20, info.Config.MaxBytes>>20)
	case info.Config.MaxBytes > 0 && int64(info.State.Bytes)+m.reserved+need > info.Config.MaxBytes:
		m.wanted = max(m.wanted, need)
		return nil, full(info, size)
	}
	m.wanted = 0
	m.reserved += need
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.reserved -= need
	}, nil
}

// refused notes that the broker had no room after all.
func (m *media) refused(stream jetstream.Stream, size int64, why error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	info := stream.CachedInfo()
	if most := info.Config.MaxBytes; most > 0 && size+overhead(size) > most {
		return fmt.Errorf("%w: INGEST_STAGE_BYTES is %d MB", ErrTooLarge, most>>20)
	}
	m.wanted = max(m.wanted, size+overhead(size))
	return fmt.Errorf("%w: it was refused: %w", full(info, size), why)
}

func full(info *jetstream.StreamInfo, size int64) error {
	return fmt.Errorf("%w: the staging bucket holds %d MB, INGEST_STAGE_BYTES is %d MB, and %d MB are to be added: it has room when verdicts come in, or with a higher setting",
		ErrFull, info.State.Bytes>>20, info.Config.MaxBytes>>20, size>>20)
}

// room returns ErrFull while there is no room for what was refused last.
func (m *media) room(ctx context.Context, q *Queue) error {
	m.mu.Lock()
	wanted, reserved := m.wanted, m.reserved
	m.mu.Unlock()
	if wanted == 0 {
		return nil
	}
	stream, err := m.make(ctx, q)
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		m.forget()
		return fmt.Errorf("ask how full the staging bucket is: %w", err)
	}
	if int64(info.State.Bytes)+reserved+wanted > info.Config.MaxBytes {
		return full(info, wanted)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = 0
	return nil
}
