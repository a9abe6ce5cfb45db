package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A group is what writes to one stream. Where many writes meet, they go to the broker together, so that it waits for its disk
// once for all of them; where few do, each goes alone. To the writer there is no difference: what is refused as a whole is taken
// apart.
type group struct {
	q        *Queue
	stream   jetstream.Stream
	together func([]*waiting) (last uint64, err error) // errRefused: nothing was written, or it may be written again

	mu      sync.Mutex
	busy    bool // something is being written; what comes meanwhile waits
	waiting []*waiting
}

// A waiting write was handed in while another was under way.
type waiting struct {
	write
	ctx  context.Context
	done chan outcome // takes one without being read
}

// An outcome is the broker's answer to a write.
type outcome struct {
	seq uint64
	err error
}

// errRefused says of writes that went together that each has to go alone.
var errRefused = errors.New("the batch was refused")

// Bounds of a batch. The broker writes one to files of its own first, which takes it as long as 12 writes do that are alone. It
// takes 1000 messages, and its work for each grows with their number. A batch has to be written within tryTime.
const (
	batchLeast  = 12
	batchWrites = 500
	batchBytes  = 4 << 20
)

// groupFor returns the group of a stream, or nil if the broker offers nothing that would be gained by one: nats-server before
// 2.12 does not know what was asked for, and ignores it.
func (q *Queue) groupFor(s jetstream.Stream) *group {
	switch c := s.CachedInfo().Config; {
	case c.AllowAtomicPublish:
		return &group{q: q, stream: s, together: q.publishBatch}
	case c.PersistMode == jetstream.AsyncPersistMode:
		return &group{q: q, stream: s, together: q.publishLoosely}
	}
	return nil
}

// publish writes once, and returns when that is durable. An error says as much, or as little, about what the broker did as
// publishOnce's.
func (g *group) publish(ctx context.Context, w write) (uint64, error) {
	seq, err := g.join(ctx, w)
	if errors.Is(err, errRefused) && isConflict(err) && g.holds(ctx, w) { // another is to blame, and does not get here
		seq, err = g.join(ctx, w)
	}
	if errors.Is(err, errRefused) {
		seq, _, err = g.q.publishOnce(ctx, w)
	}
	return seq, err
}

// holds reports whether the last message on a write's subject is the one that it expects.
func (g *group) holds(ctx context.Context, w write) bool {
	if w.last == anySequence {
		return true
	}
	msg, err := g.q.last(ctx, g.stream, w.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return w.last == 0
	}
	return err == nil && msg.Sequence == uint64(w.last)
}

// join writes alone, or together with others; then errRefused need not be this write's fault.
func (g *group) join(ctx context.Context, w write) (uint64, error) {
	p := &waiting{write: w, ctx: ctx, done: make(chan outcome, 1)}
	if g.lead(p) {
		defer g.pass()
		seq, _, err := g.q.publishOnce(ctx, w)
		return seq, err
	}
	select {
	case o := <-p.done:
		return o.seq, o.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// lead reports whether nothing is under way; otherwise the write waits.
func (g *group) lead(p *waiting) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.busy {
		g.busy = true
		return true
	}
	g.waiting = append(g.waiting, p)
	return false
}

// pass has those written that came meanwhile. Each has a context of its own, and none may end the others' write: so a goroutine
// writes them, which ends when none is left.
func (g *group) pass() {
	if batch := g.take(); batch != nil {
		go func() {
			for ; batch != nil; batch = g.take() {
				g.send(batch)
			}
		}()
	}
}

// take returns what is written next; without any, nothing is under way any more. No two writes of a batch have the same subject:
// the broker would refuse what the second expects.
func (g *group) take() []*waiting {
	g.mu.Lock()
	defer g.mu.Unlock()
	var batch, rest []*waiting
	subjects, bytes := map[string]bool{}, 0
	for _, p := range g.waiting {
		switch {
		case p.ctx.Err() != nil: // nobody waits for it
		case len(batch) == batchWrites, len(batch) > 0 && bytes+len(p.data) > batchBytes, subjects[p.subject]:
			rest = append(rest, p)
		default:
			batch, subjects[p.subject] = append(batch, p), true
			bytes += len(p.data)
		}
	}
	g.waiting, g.busy = rest, batch != nil
	return batch
}

// send writes what take has returned, and tells each writer what became of it.
func (g *group) send(batch []*waiting) {
	if len(batch) < batchLeast {
		g.sendEach(batch)
		return
	}
	last, err := g.together(batch)
	for i, p := range batch {
		p.done <- outcome{last - uint64(len(batch)-1-i), err}
	}
}

// sendEach writes a few, each alone and with its own context.
func (g *group) sendEach(few []*waiting) {
	var all sync.WaitGroup
	for _, p := range few {
		all.Go(func() {
			seq, _, err := g.q.publishOnce(p.ctx, p.write)
			p.done <- outcome{seq, err}
		})
	}
	all.Wait()
}

// Headers of nats-server's atomic batches, which nats.go does not name. See ADR-50 of NATS.
const (
	batchIDHeader       = "Nats-Batch-Id"
	batchSequenceHeader = "Nats-Batch-Sequence"
	batchCommitHeader   = "Nats-Batch-Commit"
)

// A batchAck is the broker's answer to the last message of a batch.
type batchAck struct {
	Error *jetstream.APIError `json:"error"`
	Seq   uint64              `json:"seq"` // of the last message; those before it have the sequences before
	Batch string              `json:"batch"`
	Count int                 `json:"count"`
}

// publishBatch writes an atomic batch, once, and returns the last write's sequence. With the answer, all of it is on the disk. A
// broker that is killed before has all of it when it is back, or nothing.
func (q *Queue) publishBatch(batch []*waiting) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), tryTime)
	defer cancel()
	id := rand.Text()[:12] // among the few that are under way on a stream
	messages := make([]*nats.Msg, len(batch))
	for i, p := range batch {
		messages[i] = p.msg()
		messages[i].Header.Set(batchIDHeader, id)
		messages[i].Header.Set(batchSequenceHeader, strconv.Itoa(i+1))
	}
	commit := messages[len(batch)-1]
	commit.Header.Set(batchCommitHeader, "1")
	for _, m := range messages[:len(batch)-1] {
		if err := q.conn.PublishMsg(m); err != nil { // what is not complete is forgotten by the broker
			return 0, fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	answer, err := q.conn.RequestMsgWithContext(ctx, commit)
	if errors.Is(err, nats.ErrMaxPayload) {
		return 0, fmt.Errorf("%w: %w", errRefused, err)
	}
	if err != nil {
		return 0, err
	}
	return batchAcknowledged(answer.Data, id, len(batch))
}

func batchAcknowledged(answer []byte, id string, count int) (last uint64, err error) {
	var ack batchAck
	switch err := json.Unmarshal(answer, &ack); {
	case err != nil:
		return 0, jetstream.ErrInvalidJSAck
	case ack.Error != nil:
		return 0, fmt.Errorf("%w: %w", errRefused, ack.Error)
	case ack.Batch != id || ack.Count != count: // the server was replaced by one that takes a batch's messages for any others
		return 0, fmt.Errorf("%w: %d messages taken of a batch of %d", jetstream.ErrInvalidJSAck, ack.Count, count)
	}
	return ack.Seq, nil
}

// publishLoosely writes to a stream that may lose what is new in a crash. It waits for the last write only: the broker has taken
// the others before, or has no room for them, of which the next will hear.
func (q *Queue) publishLoosely(batch []*waiting) (last uint64, err error) {
	for _, p := range batch[:len(batch)-1] {
		if err := q.conn.PublishMsg(p.msg()); err != nil {
			return 0, fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	last, _, err = q.publishOnce(context.Background(), batch[len(batch)-1].write)
	if err != nil {
		err = fmt.Errorf("%w: %w", errRefused, err) // they may be written again
	}
	return last, err
}
