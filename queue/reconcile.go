package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Mended counts what was found amiss between the ledger, the queues and the streams, and mended.
type Mended struct {
	Requeued  int `json:"requeued"`  // jobs in work that had no message on a queue
	Restored  int `json:"restored"`  // jobs that the ledger had forgotten, and whose answers were on a stream
	Announced int `json:"announced"` // answers that were in the ledger and on no stream
	Forgotten int `json:"forgotten"` // files of which it was not certain that their drops are in the ledger: they are taken in again
	Swept     int `json:"swept"`     // staged bytes that no job needed any more
	Evicted   int `json:"evicted"`   // verdicts that were forgotten before their time, because the ledger was filling up
}

// String lists what there is.
func (m Mended) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{m.Requeued, "jobs put back on a queue"}, {m.Restored, "answers written into the ledger"}, {m.Announced, "answers published again"},
		{m.Forgotten, "files to be taken in again"}, {m.Swept, "staged files removed"}, {m.Evicted, "verdicts forgotten before their time"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func (m Mended) plus(n Mended) Mended {
	return Mended{m.Requeued + n.Requeued, m.Restored + n.Restored, m.Announced + n.Announced, m.Forgotten + n.Forgotten, m.Swept + n.Swept, m.Evicted + n.Evicted}
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
// without a message on its queue is put back, and one for a machine whose job has gone elsewhere is taken away. (A message
// without a record is dropped when it is handed out.) While the ledger is filling up, it forgets the oldest verdicts. Of what is
// staged it removes what no job needs any more.
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
	var old []entry
	err = q.scan(ctx, q.ledger, func(r entry) error {
		switch {
		case r.ends && excess > 0:
			old = append(old, r)
			excess -= r.size
		case !r.ends && time.Since(r.at) > age:
			put, err := q.requeue(ctx, JobKey(lastToken(r.subject)))
			if put {
				m.Requeued++
			}
			return err
		}
		return nil
	})
	if err == nil {
		m.Evicted, err = q.evictAll(ctx, old)
	}
	if err == nil {
		err = q.clearParked(ctx, age)
	}
	if err == nil {
		m.Swept, err = q.sweep(ctx, sweptAge, orphanedAge)
	}
	if err == nil {
		err = q.note(ctx, m)
	}
	if err != nil {
		return m, fmt.Errorf("compare the ledger with the queues: %w", err)
	}
	return m, nil
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
	_, err = q.put(ctx, r.Job, write{})
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	if err == nil {
		q.Log.Warn("a job in work was on no queue, and is put back", "job", key, "state", r.State, "file", r.Drops[0].URI)
	}
	return err == nil, err
}

// evictAll forgets ended jobs, and counts them. It is noted before: their files are not lost.
func (q *Queue) evictAll(ctx context.Context, old []entry) (n int, err error) {
	if len(old) == 0 {
		return 0, nil
	}
	if err := q.noteEvicted(ctx, old[len(old)-1].at); err != nil {
		return 0, err
	}
	for _, r := range old {
		gone, err := q.evict(ctx, r)
		if err != nil {
			return n, err
		}
		if gone {
			n++
		}
	}
	return n, nil
}

// evict forgets an ended job, unless its message is still to be acknowledged.
func (q *Queue) evict(ctx context.Context, r entry) (bool, error) {
	switch err := q.gone(ctx, JobKey(lastToken(r.subject))); {
	case errors.Is(err, ErrUnsettled):
		return false, nil
	case err != nil:
		return false, err
	}
	_, err := q.publish(ctx, write{subject: r.subject, last: int64(r.sequence), ttl: time.Minute, removal: true})
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// Unstick has jobs handed out that the broker would leave where they are, and returns how many there were. A crash of the
// broker may bring back messages that were acknowledged: it takes them for dealt with, and in the way of new ones.
func (q *Queue) Unstick(ctx context.Context) (n int, err error) {
	floors, stuck, err := q.floors(ctx)
	if err != nil || !stuck {
		return 0, err
	}
	jobs, err := q.jobs.Info(ctx, jetstream.WithSubjectFilter(q.ns.subject("jobs", ">")))
	if err != nil {
		return 0, fmt.Errorf("list what is on the queues: %w", err)
	}
	for stage, floor := range floors {
		if floor > jobs.State.LastSeq { // the end of the stream is lost, and nothing new would be handed out for long
			q.Log.Warn("the broker has lost the end of the queue; all that is left is handed out again")
			return 0, q.redeliver(ctx, stage)
		}
	}
	for subject := range jobs.State.Subjects {
		if _, handed := floors[stageOf(subject)]; !handed { // nobody would be told of it
			if err := q.repark(ctx, subject); err != nil {
				return n, err
			}
			continue
		}
		msg, err := q.last(ctx, q.jobs, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Sequence > floors[stageOf(subject)] {
			continue
		}
		if err == nil {
			err = q.jobs.DeleteMsg(ctx, msg.Sequence)
		}
		if err == nil {
			err = q.mend(ctx, JobKey(lastToken(subject)))
		}
		if err != nil {
			return n, fmt.Errorf("put a job back on its queue that the broker does not hand out: %w", err)
		}
		q.Log.Warn("the broker would not have handed out a job, which is put back", "job", lastToken(subject))
		n++
	}
	return n, q.note(ctx, Mended{Requeued: n})
}

// floors are the numbers up to which the consumers have everything acknowledged, and whether there is more on the queues than
// they mean to hand out.
func (q *Queue) floors(ctx context.Context) (floors map[Stage]uint64, stuck bool, err error) {
	floors = map[Stage]uint64{}
	for range 3 { // the counts are of different moments
		stages, err := q.stages(ctx)
		if err != nil {
			return nil, false, err
		}
		waiting := 0
		for stage, info := range stages {
			waiting += int(info.NumPending) + info.NumAckPending
			floors[stage] = info.AckFloor.Stream
		}
		jobs, err := q.jobs.Info(ctx)
		if err != nil {
			return nil, false, fmt.Errorf("ask what is on the queues: %w", err)
		}
		if int(jobs.State.Msgs) <= waiting {
			return nil, false, nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, false, err
		}
	}
	return floors, true, nil
}

// An entry is what the headers of a message in a bucket tell.
type entry struct {
	subject  string
	sequence uint64
	at       time.Time
	size     int64 // bytes, about
	marker   bool  // it says that a record is gone
	ends     bool  // it goes by itself: the record of an ended job, or a marker
	state    State // of the job; empty: not told
}

// scan hands over the entries that a stream has now, oldest first.
func (q *Queue) scan(ctx context.Context, s jetstream.Stream, receive func(entry) error) error {
	return q.all(ctx, s, jetstream.OrderedConsumerConfig{HeadersOnly: true}, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		h := msg.Headers()
		const overhead = 100 // of a message in a file, with its headers
		size, _ := strconv.Atoi(h.Get(nats.MsgSize))
		return receive(entry{
			subject: msg.Subject(), sequence: meta.Sequence.Stream, at: meta.Timestamp, size: int64(size + len(msg.Subject()) + overhead),
			marker: size == 0 && h.Get(stateHeader) == "", ends: h.Get(jetstream.MsgTTLHeader) != "", state: State(h.Get(stateHeader)),
		})
	})
}

// contents hands over the messages that a stream has now and that were stored after a time, oldest first; the zero time
// means all.
func (q *Queue) contents(ctx context.Context, s jetstream.Stream, after time.Time, receive func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	var cfg jetstream.OrderedConsumerConfig
	if !after.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &after
	}
	return q.all(ctx, s, cfg, receive)
}

// all hands over what a stream has now.
func (q *Queue) all(ctx context.Context, s jetstream.Stream, from jetstream.OrderedConsumerConfig, receive func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	reading, done := context.WithCancel(ctx)
	defer done()
	var failed error
	err := q.read(reading, s.CachedInfo().Config.Name, from, func(msg jetstream.Msg, at *jetstream.MsgMetadata) {
		if failed != nil || reading.Err() != nil {
			return
		}
		if failed = receive(msg, at); failed != nil {
			done()
		}
	}, done)
	if err == nil {
		err = ctx.Err()
	}
	return errors.Join(failed, err)
}

const (
	mendedKey  = "mended"
	evictedKey = "evicted"
)

// evictedTo is when the newest record was written that was forgotten before its time.
func (q *Queue) evictedTo(ctx context.Context) (at time.Time, err error) {
	e, err := q.control.Get(ctx, evictedKey)
	if err == nil && len(e.Data) > 0 {
		err = json.Unmarshal(e.Data, &at)
	}
	return at, err
}

func (q *Queue) noteEvicted(ctx context.Context, at time.Time) error {
	e, err := q.control.Get(ctx, evictedKey)
	if err != nil {
		return err
	}
	data, err := json.Marshal(at.UTC())
	if err == nil {
		_, err = q.control.Put(ctx, evictedKey, data, e.Revision)
	}
	return err
}

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
