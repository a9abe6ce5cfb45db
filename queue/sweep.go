package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// sweptAge is how old a staged object is when somebody looks whether its job has ended: most are gone sooner.
	sweptAge = time.Hour
	// orphanedAge is how old what no job knows of has to be: whoever staged it may be about to write the record. See freshTime.
	orphanedAge = 2 * freshTime
)

// sweep removes from the staging bucket what a crash has left there, and returns how many objects, and chunks without one, that
// were. While more than half of the bucket is taken, that goes for what is kept for the retry of failed jobs, too: it must not keep
// new files from being taken in. An object whose job is not known, because it was staged without a submission, is left to expire.
func (q *Queue) sweep(ctx context.Context, old, orphaned time.Duration) (n int, err error) {
	stream, err := q.media.look(ctx, q)
	if errors.Is(err, ErrNoObject) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for the staging bucket: %w", err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask how full the staging bucket is: %w", err)
	}
	tight := info.Config.MaxBytes > 0 && int64(info.State.Bytes) > info.Config.MaxBytes/2
	described := map[string]bool{}
	from := jetstream.OrderedConsumerConfig{FilterSubjects: []string{metaPrefix(q.MediaBucket()) + ">"}}
	err = q.all(ctx, stream, from, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		o := objectInfo{revision: meta.Sequence.Stream, at: meta.Timestamp}
		if json.Unmarshal(msg.Data(), &o.ObjectInfo) != nil || o.Deleted {
			return nil
		}
		o.ID = o.NUID
		described[o.ID] = true
		needed, err := q.needed(ctx, o, old, orphaned, tight)
		if err == nil && !needed {
			n++
			err = q.unstage(ctx, stream, o)
		}
		return err
	})
	if err != nil {
		return n, err
	}
	chunks, err := q.sweepChunks(ctx, stream, described, orphaned)
	return n + chunks, err
}

// needed reports whether a staged object may still be asked for, and is worth its room.
func (q *Queue) needed(ctx context.Context, o objectInfo, old, orphaned time.Duration, tight bool) (bool, error) {
	age := time.Since(o.at)
	if o.job() == "" || age < old {
		return true, nil
	}
	r, err := q.load(ctx, o.job())
	switch {
	case errors.Is(err, errNoJob), err == nil && !r.stages(o.Name):
		return age < orphaned, nil
	case err != nil && r.revision > 0: // damaged
		return true, nil
	}
	return err == nil && r.needsBytes() && !(tight && r.State == Failed), err
}

// sweepChunks removes chunks that are part of no object, of one that was never finished or removed by half.
func (q *Queue) sweepChunks(ctx context.Context, stream jetstream.Stream, described map[string]bool, orphaned time.Duration) (n int, err error) {
	all := chunkSubject(q.MediaBucket(), ">")
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(all))
	if err != nil {
		return 0, fmt.Errorf("list what is in the staging bucket: %w", err)
	}
	for subject := range info.State.Subjects {
		if described[strings.TrimPrefix(subject, strings.TrimSuffix(all, ">"))] {
			continue
		}
		last, err := q.last(ctx, stream, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && time.Since(last.Time) < orphaned {
			continue
		}
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return n, fmt.Errorf("sweep the staging bucket: %w", err)
		}
		n++
	}
	return n, nil
}
