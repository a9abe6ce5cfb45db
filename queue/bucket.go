package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Bucket holds small records that all processes of a cluster share. A record is changed by compare-and-set.
type Bucket struct {
	q      *Queue
	name   string
	stream jetstream.Stream
}

// An Entry is a record as it is after a change.
type Entry struct {
	Key      string
	Data     []byte // empty: the record is gone, or never was there
	Revision uint64 // grows with every change of the bucket; 0: the key was never used
}

// Control is the bucket in which the processes of a cluster agree. See package queue/control.
func (q *Queue) Control() *Bucket { return q.control }

func (b *Bucket) subject(key string) string { return "$KV." + b.name + "." + key }

// Get reads a record. One that is not there is no error.
func (b *Bucket) Get(ctx context.Context, key string) (Entry, error) {
	msg, err := b.q.last(ctx, b.stream, b.subject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Entry{Key: key}, nil
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read %s of bucket %s: %w", key, b.name, err)
	}
	return Entry{Key: key, Data: msg.Data, Revision: msg.Sequence}, nil
}

// Keys lists the records whose keys match a pattern, as subjects are matched.
func (b *Bucket) Keys(ctx context.Context, pattern string) ([]string, error) {
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(b.subject(pattern)))
	if err != nil {
		return nil, fmt.Errorf("list %s of bucket %s: %w", pattern, b.name, err)
	}
	keys := make([]string, 0, len(info.State.Subjects))
	for s := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(s, b.subject("")))
	}
	return keys, nil
}

// Put writes a record over the given revision and returns the new one, or ErrConflict if it has another one by now.
// While the broker is away it tries again until ctx ends.
func (b *Bucket) Put(ctx context.Context, key string, data []byte, over uint64) (uint64, error) {
	return b.q.swap(ctx, b.stream, write{subject: b.subject(key), data: data, last: int64(over)})
}

// Announce writes a record over whatever is there, once, without trying again. The record goes by itself after ttl,
// which is in whole seconds, unless it is announced again.
func (b *Bucket) Announce(ctx context.Context, key string, data []byte, ttl time.Duration) error {
	_, _, err := b.q.publishOnce(ctx, write{subject: b.subject(key), data: data, last: anySequence, ttl: ttl})
	return err
}

// Remove takes a record away, once, without trying again.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	w := write{subject: b.subject(key), last: anySequence, ttl: time.Minute, removal: true}
	_, _, err := b.q.publishOnce(ctx, w)
	return err
}

// Follow hands over every record as it is, then nil once, and then every change as it comes, until ctx ends. The
// receiver may be handed the same revision again, and an older one never.
func (b *Bucket) Follow(ctx context.Context, receive func(*Entry)) error {
	return b.q.read(ctx, b.stream.CachedInfo().Config.Name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	}, func(msg jetstream.Msg, at *jetstream.MsgMetadata) {
		e := &Entry{Key: strings.TrimPrefix(msg.Subject(), b.subject("")), Data: msg.Data(), Revision: at.Sequence.Stream}
		receive(e)
	}, func() { receive(nil) })
}

// swap writes over the message that the writer believes to be the last one on the subject, and returns the new sequence
// or ErrConflict. A write whose answer was lost, and that is there, was taken.
func (q *Queue) swap(ctx context.Context, s jetstream.Stream, w write) (uint64, error) {
	p, err := q.publish(ctx, w)
	if p.unsure && errors.Is(err, ErrConflict) {
		if msg, getErr := q.last(ctx, s, w.subject); getErr == nil && bytes.Equal(msg.Data, w.data) {
			return msg.Sequence, nil
		}
	}
	return p.seq, err
}

// Event publishes what the people who run a cluster may want to know, on <ns>.events.<kind>. Events of one id within
// two minutes are one.
func (q *Queue) Event(ctx context.Context, kind, id string, payload any) error {
	data, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	_, err = q.publish(ctx, write{subject: q.ns.subject("events", kind), data: data, id: id, last: anySequence})
	return err
}
