package worker

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/worker/pace"
)

const (
	// gatherTime is how long the media that are due at one time are waited for. They come within the broker's lateness,
	// which is 126 ms at the 99th percentile with 100,000 waiting.
	gatherTime = 100 * time.Millisecond
	// slowPage is how long a page may take; a list that takes longer is not asked for a while.
	slowPage = 10 * time.Second
	// firstRest and longestRest bound how long a list that does not help is left alone.
	firstRest, longestRest = time.Minute, time.Hour
	// seenTime is how long it is remembered what a page said.
	seenTime = 10 * time.Minute
)

// list is what pages of the platform's list have said, and who waits for the next one.
type list struct {
	turn chan struct{} // held by the one who asks for pages

	mu        sync.Mutex
	seen      map[authenta.MediaID]sighting
	gathering []*question
	left      int           // how many of those that were asked about the last look left unfinished
	size      int           // records on a page, as far as is known
	rest      time.Duration // how long it was left alone last
	until     time.Time     // when it may be asked again
}

// A sighting is what a page said of a medium.
type sighting struct {
	status authenta.Status
	at     time.Time
}

// A question is a medium that is due.
type question struct {
	id     authenta.MediaID
	trace  queue.Trace
	chance float64   // that it is finished
	fresh  time.Time // a page from before tells nothing new
	answer chan answer
}

// An answer is what came of a question.
type answer struct {
	sighting                   // zero: the list was not asked, or does not know
	off      *queue.Settlement // no call can be made now
}

func newList() *list {
	return &list{turn: make(chan struct{}, 1), seen: map[authenta.MediaID]sighting{}, size: listPage}
}

// pageSize is how many records a page has; 0: the list does not help now.
func (l *list) pageSize() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.until) {
		return 0
	}
	return l.size
}

// said returns what the pages have said of a medium: for ever that it is finished, but that it is not only from a time on.
func (l *list) said(id authenta.MediaID, fresh time.Time) (sighting, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.seen[id]
	return s, ok && (s.status.Final() || !s.at.Before(fresh))
}

// note remembers a page that was asked for at a time, and returns how many records on it no page has had since the look
// began.
func (l *list) note(p authenta.Page, began, at time.Time) (news int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range p.Media {
		if s, ok := l.seen[m.ID]; !ok || s.at.Before(began) {
			news++
		}
		l.seen[m.ID] = sighting{m.Status, at}
	}
	if n := len(p.Media); n > 0 && n < l.size && p.Offset+n < p.Total { // it gives less than was asked for
		l.size = n
	}
	maps.DeleteFunc(l.seen, func(_ authenta.MediaID, s sighting) bool { return at.Sub(s.at) > seenTime })
	return news
}

// helped notes whether a look at all of the list was worth its calls. If not, it is left alone for a while.
func (l *list) helped(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if yes {
		l.rest = 0
		return
	}
	l.rest = min(max(2*l.rest, firstRest), longestRest)
	l.until = time.Now().Add(l.rest)
}

// join adds a question to those that are gathered, and reports whether it is the first.
func (l *list) join(q *question) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gathering = append(l.gathering, q)
	return len(l.gathering) == 1
}

func (l *list) take() []*question {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.gathering
	l.gathering = nil
	return taken
}

// byList asks about a medium together with others that are due. Whoever comes first asks for all.
func (w *Worker) byList(ctx context.Context, q *question) answer {
	if w.list.join(q) {
		err := sleep(ctx, gatherTime)
		questions := w.list.take()
		if err == nil {
			questions = w.sweep(ctx, questions)
		}
		for _, left := range questions {
			left.answer <- answer{off: brokenOff(err)}
		}
	}
	select {
	case a := <-q.answer:
		return a
	case <-ctx.Done():
		return answer{off: brokenOff(ctx.Err())}
	}
}

// brokenOff is the settlement of work that ends with its context.
func brokenOff(err error) *queue.Settlement {
	if err == nil {
		return nil
	}
	s := queue.RetryAfter(0)
	return &s
}

// sweep asks for pages of the list, newest first, for as long as they take fewer calls than asking singly, and answers
// the questions that they answer. It returns the others.
func (w *Worker) sweep(ctx context.Context, questions []*question) []*question {
	select {
	case w.list.turn <- struct{}{}:
		defer func() { <-w.list.turn }()
	case <-ctx.Done():
		return questions
	}
	questions = w.list.reply(questions) // somebody has asked meanwhile
	began, left, pages := time.Now(), questions, w.crowd().Pages()
	most := pages + 1 // what is further down is not found cheaply; others use the account, too
	for n, offset := 0, 0; n < most && pace.Choose(pages, chances(left)) == pace.ByList; n, pages = n+1, 1 {
		at := time.Now()
		p, err := w.sweepPage(ctx, offset, left)
		if err != nil {
			return left
		}
		news := w.list.note(p, began, at)
		left = w.list.reply(left)
		deaf := news == 0 && len(p.Media) > 0 // it gives the same page, whatever it is asked for
		slow := time.Since(at) > slowPage
		if offset += len(p.Media); deaf || slow || news == 0 || offset >= p.Total {
			most = 0
		}
		if n+1 >= most { // that was all of it that can be had
			w.list.helped(len(left) < len(questions) && !deaf && !slow)
		}
	}
	w.list.look(questions)
	return left
}

// reply answers the questions that pages have answered, and returns the others.
func (l *list) reply(questions []*question) []*question {
	var left []*question
	for _, q := range questions {
		if s, ok := l.said(q.id, q.fresh); ok {
			q.answer <- answer{sighting: s}
		} else {
			left = append(left, q)
		}
	}
	return left
}

// look counts what a look at the list has left unfinished of what was asked about.
func (l *list) look(asked []*question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := 0
	for _, q := range asked {
		if s, ok := l.seen[q.id]; ok && !s.status.Final() {
			left++
		}
	}
	if len(asked) > 0 {
		l.left = left
	}
}

// unfinished is how many the last look at the list left unfinished.
func (l *list) unfinished() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

func chances(questions []*question) []float64 {
	c := make([]float64, len(questions))
	for i, q := range questions {
		c[i] = q.chance
	}
	return c
}

// sweepPage makes one Query call for a page, about some questions. What only the list is to blame for closes no gate: single polls will tell
// whether it is more.
func (w *Worker) sweepPage(ctx context.Context, offset int, about []*question) (authenta.Page, error) {
	t, err := w.enter(ctx, control.Query, w.perhaps)
	if err != nil {
		return authenta.Page{}, err
	}
	p, err := w.listed(ctx, authenta.ListOptions{Limit: max(w.list.pageSize(), 1), Offset: offset}, about)
	if err == nil {
		t.answered(ctx)
		return p, nil
	}
	if ctx.Err() != nil { // we broke it off ourselves
		t.withdrawn(ctx)
		return authenta.Page{}, err
	}
	e, ok := errors.AsType[*authenta.Error](err)
	if ok && (e.Kind == authenta.KindNotFound || e.Kind == authenta.KindRejected || e.Kind == authenta.KindUnavailable) {
		t.withdrawn(ctx)
		w.list.helped(false)
		return authenta.Page{}, err
	}
	t.refused(ctx, err)
	return authenta.Page{}, err
}
