package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Mended counts what was found amiss between the ledger, the queues and the streams, and mended.
type Mended struct {
	Requeued  int `json:"requeued"`  // jobs in work that had no message on a queue
	Announced int `json:"announced"` // answers that were in the ledger and on no stream
	Forgotten int `json:"forgotten"` // files of which it was not certain that their drops are in the ledger: they are taken in again
	Evicted   int `json:"evicted"`   // verdicts that were forgotten before their time, because the ledger was filling up
}

func (m Mended) plus(n Mended) Mended {
	return Mended{m.Requeued + n.Requeued, m.Announced + n.Announced, m.Forgotten + n.Forgotten, m.Evicted + n.Evicted}
}

// settledAge is how old a record has to be to be looked at: whoever wrote it may just be about to queue its job.
const settledAge = time.Minute

// The ledger is cleared of its oldest verdicts when more than clearAbove of its bytes are taken, down to clearTo. New jobs are
// refused from three quarters on (see room).
const (
	clearAbove = 5.0 / 8
	clearTo    = 4.0 / 8
)

// Reconcile compares the ledger with the queues, and mends what a crash between two writes, or a loss, has left: a job in work
// without a message on its queue is put back. (A message without a record is dropped when it is handed out.) While the ledger
// is filling up, it forgets the oldest verdicts.
//
// It reads of ended jobs no more than their headers: a million take some seconds. It may run while work goes on, and more
// than once at a time.
func (q *Queue) Reconcile(ctx context.Context) (Mended, error) {
	return q.reconcile(ctx, settledAge)
}

// reconcile looks at records of an age.
func (q *Queue) reconcile(ctx context.Context, age time.Duration) (Mended, error) {
	var m Mended
	excess, err := q.excess(ctx)
	if err != nil {
		return m, err
	}
	err = q.scan(ctx, q.ledger, time.Time{}, func(r entry) error {
		switch {
		case r.ends && excess > 0:
			gone, err := q.evict(ctx, r)
			if gone {
				m.Evicted++
				excess -= r.size
			}
			return err
		case !r.ends && time.Since(r.at) > age:
			put, err := q.requeue(ctx, JobKey(lastToken(r.subject)))
			if put {
				m.Requeued++
			}
			return err
		}
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("compare the ledger with the queues: %w", err)
	}
	return m, q.note(ctx, m)
}

// Filling reports whether the ledger is so full that Reconcile would forget verdicts.
func (q *Queue) Filling(ctx context.Context) (bool, error) {
	excess, err := q.excess(ctx)
	return excess > 0, err
}

// excess is how many bytes of old verdicts the ledger should lose.
func (q *Queue) excess(ctx context.Context) (int64, error) {
	info, err := q.ledger.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask how full the ledger is: %w", err)
	}
	most, taken := float64(info.Config.MaxBytes), float64(info.State.Bytes)
	if taken <= most*clearAbove {
		return 0, nil
	}
	return int64(taken - most*clearTo), nil
}

// requeue puts a job in work back on its queue, if it has no message there, and reports whether it had none.
func (q *Queue) requeue(ctx context.Context, key JobKey) (bool, error) {
	r, err := q.load(ctx, key)
	switch {
	case errors.Is(err, errNoJob), err == nil && r.State.ended():
		return false, nil
	case err != nil && r.revision > 0: // damaged: its message is as stuck
		q.Log.Error("a job is stuck", "job", key, "error", err)
		return false, nil
	case err != nil:
		return false, err
	}
	_, _, err = q.publish(ctx, write{subject: q.ns.job(r.State.stage(), key)})
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	if err == nil {
		q.Log.Warn("a job in work was on no queue, and is put back", "job", key, "state", r.State, "file", r.Drops[0].URI)
	}
	return err == nil, err
}

// evict forgets an ended job, unless its message is still to be acknowledged.
func (q *Queue) evict(ctx context.Context, r entry) (bool, error) {
	switch err := q.gone(ctx, JobKey(lastToken(r.subject))); {
	case errors.Is(err, ErrUnsettled):
		return false, nil
	case err != nil:
		return false, err
	}
	_, _, err := q.publish(ctx, write{subject: r.subject, last: int64(r.sequence), ttl: time.Minute, removal: true})
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// An entry is what the headers of a message in a bucket tell.
type entry struct {
	subject  string
	sequence uint64
	at       time.Time
	size     int64 // bytes, about
	ends     bool  // it goes by itself: the record of an ended job, or a marker
}

// scan hands over the entries that a stream has now, oldest first, from a time on.
func (q *Queue) scan(ctx context.Context, s jetstream.Stream, from time.Time, receive func(entry) error) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	cfg := jetstream.OrderedConsumerConfig{HeadersOnly: true}
	if !from.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &from
	}
	var failed error
	err := q.read(ctx, s.CachedInfo().Config.Name, cfg, func(msg jetstream.Msg, sequence uint64) {
		if failed != nil || ctx.Err() != nil {
			return
		}
		e := entry{subject: msg.Subject(), sequence: sequence, ends: msg.Headers().Get(jetstream.MsgTTLHeader) != ""}
		const overhead = 100 // of a message in a file, with its headers
		size, _ := strconv.Atoi(msg.Headers().Get(nats.MsgSize))
		e.size = int64(size + len(e.subject) + overhead)
		if meta, err := msg.Metadata(); err == nil {
			e.at = meta.Timestamp
		}
		if failed = receive(e); failed != nil {
			done()
		}
	}, done)
	return errors.Join(failed, err)
}

const mendedKey = "mended"

// note adds to the count of what was mended.
func (q *Queue) note(ctx context.Context, m Mended) error {
	for m != (Mended{}) {
		total, revision, err := q.mended(ctx)
		if err != nil {
			return err
		}
		data, err := json.Marshal(total.plus(m))
		if err != nil {
			return err
		}
		if _, err = q.control.Put(ctx, mendedKey, data, revision); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return nil
}

// Mended counts what was mended since the store is there.
func (q *Queue) Mended(ctx context.Context) (Mended, error) {
	m, _, err := q.mended(ctx)
	return m, err
}

func (q *Queue) mended(ctx context.Context) (m Mended, revision uint64, err error) {
	e, err := q.control.Get(ctx, mendedKey)
	if err == nil && len(e.Data) > 0 && json.Unmarshal(e.Data, &m) != nil {
		q.Log.Warn("the count of what was mended is damaged, and begins anew")
		m = Mended{}
	}
	return m, e.Revision, err
}
