package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/worker/pace"
)

const (
	// keepEvery is how often what was learned is added to the cluster's records, and how much of it a crash loses.
	keepEvery = 10 * time.Second
	// lateAsk is how late an ask may be for its answer to be learned from: what waiting for a call's turn takes.
	lateAsk = 5 * time.Second
	// forgetAfter is how long an ask in vain is remembered: longer than the longest time between two.
	forgetAfter = 2 * pace.Longest
)

// memory is what the worker knows of how long results take, and of when it asked and will ask. What it learns is added to
// records of the cluster's, one a class, so that it outlives a restart. The asks are its own: a medium that another
// worker asked about is due by its age alone.
type memory struct {
	bucket *queue.Bucket
	clock  func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	classes map[pace.Class]*pace.Learned
	asks    map[authenta.MediaID]ask
}

// A life is how long a medium has been on its way. The ledger tells it by the wall clock, which may jump, or be another
// machine's: that is read once, and from then on this process's monotonic clock counts.
type life struct {
	base  time.Time // what the ledger counts from
	since time.Time // the same, by this process's clock
	met   time.Time // when this process first dealt with the medium since then
}

// age is never negative, whatever the clocks say.
func (l life) age() time.Duration { return time.Since(l.since) }

// known is how much of its age this process has seen for itself.
func (l life) known() time.Duration { return time.Since(l.met) }

// An ask is what there was and will be of asking about a medium.
type ask struct {
	life
	at      time.Time     // when it was noted
	age     time.Duration // of the medium, when it was last asked about in vain; 0: it was not
	told    time.Time     // when that was
	due     time.Time     // when it is to be asked about; zero: that was not said
	unbegun bool          // the platform had not begun with it
	intact  bool          // its file was as it was hashed when a PUT had ended without an answer
}

func newMemory(b *queue.Bucket, clock func() time.Time, log *slog.Logger) *memory {
	return &memory{bucket: b, clock: clock, log: log, classes: map[pace.Class]*pace.Learned{}, asks: map[authenta.MediaID]ask{}}
}

// A medium is one whose result is awaited.
type medium struct {
	life  // since its processing could begin
	id    authenta.MediaID
	class pace.Class
	asked time.Duration // its age when it was last asked about in vain; 0: it was not
	told  time.Time     // when that was; zero: not by this worker
	due   time.Time     // when this worker meant to ask about it; zero: it did not say
	plain bool          // nothing has held it up, so that its time can be learned from
}

// empty is when it was last known that there is no result: when that was said to this worker, or, if this was its first question, when
// the processing could begin. Zero: this worker has not followed it all the time.
func (m medium) empty() time.Time {
	switch {
	case m.told.After(m.since):
		return m.told
	case !m.due.IsZero():
		return m.since
	}
	return time.Time{}
}

// recall is the medium of a job, as far as is known.
func (y *memory) recall(j queue.Job) medium {
	base := j.UploadedAt
	for _, later := range []time.Time{j.ResumedAt, j.Asked} {
		if later.After(base) {
			base = later
		}
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	a := y.meet(authenta.MediaID(j.MediaID), base)
	return medium{
		life: a.life, id: authenta.MediaID(j.MediaID), class: pace.ClassOf(string(j.Model), j.Size),
		asked: a.age, told: a.told, due: a.due, plain: base.Equal(j.UploadedAt),
	}
}

// known is how long this process has known that the ledger has a time of a medium's.
func (y *memory) known(id authenta.MediaID, base time.Time) time.Duration {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.meet(id, base).known()
}

// meet returns what is known of a medium, which is nothing if the ledger has begun to count anew. The lock is held.
func (y *memory) meet(id authenta.MediaID, base time.Time) ask {
	a, ok := y.asks[id]
	if !ok || !a.base.Equal(base) {
		now := time.Now()
		age := max(0, y.clock().Sub(base))
		a = ask{life: life{base: base, since: now.Add(-age), met: now}, at: now, unbegun: a.unbegun, intact: a.intact}
		y.asks[id] = a
	}
	return a
}

// next returns when a medium is to be asked about, and the chance that its result is there now.
func (y *memory) next(m medium, c pace.Crowd) (pace.Step, float64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	l := y.learned(m.class)
	times := l.Times()
	if times.Edge() == 0 { // nothing is known of its like; of something near, perhaps
		for _, near := range m.class.Fallbacks() {
			if t := y.learned(near).Times(); t.Results() >= 1 {
				times = t
				break
			}
		}
	}
	return c.Next(times, l.Thrift.Alpha(), m.asked), times.DoneSince(m.asked, m.age())
}

// vain notes that there was no result then. single says that a call was spent on this medium alone.
func (y *memory) vain(m medium, then time.Time, single bool) medium {
	age := then.Sub(m.since)
	y.mu.Lock()
	defer y.mu.Unlock()
	if m.plain && age > m.asked {
		y.learned(m.class).Vain(m.asked, age, single)
	}
	y.asks[m.id] = ask{life: m.life, at: then, age: age, told: then}
	m.asked, m.told = age, then
	return m
}

// schedule notes when a medium is to be asked about.
func (y *memory) schedule(m medium, due time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asks[m.id] = ask{life: m.life, at: time.Now(), age: m.asked, told: m.told, due: due}
}

// sent notes that the bytes of a PUT that was not answered were those of its file, as it was hashed.
func (y *memory) sent(id authenta.MediaID) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asks[id] = ask{at: time.Now(), intact: true}
}

// intact reports whether that was noted, by this process.
func (y *memory) intact(id authenta.MediaID) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.asks[id].intact
}

// stalled notes that the platform has a medium and has not begun with it.
func (y *memory) stalled(m medium) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.asks[m.id] = ask{life: m.life, at: time.Now(), unbegun: true}
}

// found notes that there is a result, since some time between the last ask and then. Where the ask was much later than it
// was meant to be, for a pause, an outage or a restart, that tells nothing about how long results take.
func (y *memory) found(m medium, then time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	age := then.Sub(m.since)
	timely := !m.due.IsZero() && then.Sub(m.due) <= max(lateAsk, age/4)
	if m.plain && timely && age > m.asked {
		y.learned(m.class).Found(m.asked, age)
	}
}

// unbegun counts the media with which the platform had not begun when it was last asked.
func (y *memory) unbegun() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	n := 0
	for _, a := range y.asks {
		if a.unbegun {
			n++
		}
	}
	return n
}

// ended forgets a medium that has its answer.
func (y *memory) ended(m medium) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.asks, m.id)
}

// learned is what is known of a class. The lock is held.
func (y *memory) learned(c pace.Class) *pace.Learned {
	l := y.classes[c]
	if l == nil {
		l = &pace.Learned{}
		y.classes[c] = l
	}
	return l
}

// load reads what the cluster knows. Without it, it is learned again.
func (y *memory) load(ctx context.Context, model queue.Model) {
	own := pace.ClassOf(string(model), 0)
	for _, c := range append(own.Fallbacks(), own) {
		y.mu.Lock()
		_, known := y.classes[c]
		y.mu.Unlock()
		if known {
			continue
		}
		times, _, err := y.read(ctx, c)
		if err != nil {
			y.log.Warn("what was learned of processing times cannot be read, and is learned again", "class", c, "error", err)
		}
		y.mu.Lock()
		y.learned(c).Load(&times)
		y.mu.Unlock()
	}
}

func key(c pace.Class) string { return "times." + c.String() }

// read reads a class's record. One that is not there, or damaged, knows nothing.
func (y *memory) read(ctx context.Context, c pace.Class) (t pace.Times, revision uint64, err error) {
	e, err := y.bucket.Get(ctx, key(c))
	if err == nil && len(e.Data) > 0 && json.Unmarshal(e.Data, &t) != nil {
		y.log.Warn("the record of processing times is damaged, and begun anew", "class", c)
	}
	return t, e.Revision, err
}

// keep adds what is learned to the cluster's records until ctx ends.
func (y *memory) keep(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := report(ctx)
			defer cancel()
			y.save(last)
			return nil
		case <-tick.C:
			y.save(ctx)
			y.forget()
		}
	}
}

func (y *memory) save(ctx context.Context) {
	y.mu.Lock()
	classes := maps.Clone(y.classes)
	y.mu.Unlock()
	for c, l := range classes {
		if err := y.saveOne(ctx, c, l); err != nil {
			y.log.Debug("what was learned is kept for later", "class", c, "error", err)
		}
	}
}

// saveOne adds the news of a class to its record.
func (y *memory) saveOne(ctx context.Context, c pace.Class, l *pace.Learned) error {
	y.mu.Lock()
	news := l.Take()
	y.mu.Unlock()
	if news == (pace.Times{}) {
		return nil
	}
	for {
		record, err := y.add(ctx, c, &news)
		if errors.Is(err, queue.ErrConflict) {
			continue
		}
		y.mu.Lock()
		defer y.mu.Unlock()
		if err != nil {
			l.GiveBack(&news)
			return err
		}
		l.Load(&record)
		return nil
	}
}

// add adds to a class's record, and returns it as it is then.
func (y *memory) add(ctx context.Context, c pace.Class, news *pace.Times) (pace.Times, error) {
	record, revision, err := y.read(ctx, c)
	if err != nil {
		return record, err
	}
	record.Add(news)
	data, err := json.Marshal(&record)
	if err != nil {
		return record, err
	}
	_, err = y.bucket.Put(ctx, key(c), data, revision)
	return record, err
}

// forget drops old asks: of media that other workers have seen to.
func (y *memory) forget() {
	y.mu.Lock()
	defer y.mu.Unlock()
	maps.DeleteFunc(y.asks, func(_ authenta.MediaID, a ask) bool { return time.Since(a.at) > forgetAfter })
}
