package worker

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

const (
	// gapsEvery is how old what is known of the ledger's gaps may be. A file that is taken in again takes longer to settle.
	gapsEvery = 2 * time.Second
	// pastPages is how much of the platform's list is read at most: a call a hundred files is little beside paying for them.
	pastPages = 1000
	// pastTries is how often in a row a page may fail, while other calls are answered, before the list is given up.
	pastTries = 5
	// listLate is how late the list may show a record that was made.
	listLate = 5 * time.Second
	// copyTime is how long a file waits for a copy of it that may be known to the platform under its own name, while the folders
	// are scanned.
	copyTime = 10 * time.Second
	// pastPatience is after how long it is given up anyway.
	pastPatience = time.Hour
)

// past is what the platform's list tells of media records that the ledger does not know of, because it has a gap. It is read
// as far back as is needed, newest first, once.
type past struct {
	turn chan struct{} // held by the one who looks

	gaps   []queue.Gap
	asked  time.Time                     // when the gaps were read
	seen   map[string][]authenta.Media   // our kind of records, by the part of the digest in their names
	ids    map[authenta.MediaID]struct{} // of those
	offset int                           // how much of the list was read
	reach  time.Time                     // everything younger is in seen, if the list is in its order
	jumble bool                          // it is not: younger ones were further down
	whole  bool                          // there is no more to read
	began  time.Time                     // when reading it began

	failed int       // pages in a row
	since  time.Time // the first of them
}

func newPast() *past {
	return &past{turn: make(chan struct{}, 1), seen: map[string][]authenta.Media{}, ids: map[authenta.MediaID]struct{}{}}
}

// again has the list read anew, for what was made since.
func (p *past) again() {
	q := newPast()
	p.seen, p.ids, p.offset, p.reach, p.jumble, p.whole, p.failed = q.seen, q.ids, 0, time.Time{}, false, false, 0
	p.began = time.Time{}
}

// lookInGaps looks whether a job that seems to be at its beginning has been uploaded in a gap of the ledger. What has its
// bytes is adopted; of what may be getting them the platform is asked again, as after any PUT that was not answered.
func (w *Worker) lookInGaps(ctx context.Context, t *queue.Task) (queue.Settlement, bool) {
	select {
	case w.past.turn <- struct{}{}:
		defer func() { <-w.past.turn }()
	case <-ctx.Done():
		return queue.RetryAfter(0), true
	}
	gaps, err := w.past.hiding(ctx, w.Queue, t.Job)
	if err != nil {
		return w.letGo(t, err), true
	}
	if len(gaps) == 0 {
		return queue.Settlement{}, false
	}
	if s, settled := w.readPast(ctx, gaps); settled {
		return s, true
	}
	m := w.past.find(t.Job, gaps)
	switch {
	case m == nil && w.past.mayBeACopy(t.Job, gaps) && time.Since(t.QueuedAt) < copyTime:
		return queue.RetryAfter(time.Second), true
	case m == nil:
		return queue.Settlement{}, false
	case m.Status != authenta.StatusInited:
		w.Log.Info("a file is at the platform already, which the ledger had lost", "file", t.Drops[0].URI, "mid", m.ID)
		if err := t.Apply(ctx, queue.Adopted{MediaID: string(m.ID), At: w.now()}); err != nil {
			return w.letGo(t, err), true
		}
		return queue.HandOver(), true
	}
	e := w.created(*m, false)
	if m.UploadURL == "" {
		e.Expires = e.At // nothing can be sent to it
	}
	if err := t.Apply(ctx, e); err != nil {
		return w.letGo(t, err), true
	}
	w.note(t, queue.Unanswered{})
	return queue.RetryAfter(0), true
}

// hiding returns the gaps in which a job may have been uploaded.
func (p *past) hiding(ctx context.Context, q *queue.Queue, j queue.Job) ([]queue.Gap, error) {
	if time.Since(p.asked) > gapsEvery {
		gaps, err := q.Gaps(ctx)
		if err != nil {
			return nil, err
		}
		p.gaps, p.asked = gaps, time.Now()
	}
	var hiding []queue.Gap
	for _, g := range p.gaps {
		if g.Hides(j) {
			hiding = append(hiding, g)
		}
	}
	return hiding, nil
}

// readPast reads the list as far back as gaps go. With a settlement, that cannot be done now.
func (w *Worker) readPast(ctx context.Context, gaps []queue.Gap) (queue.Settlement, bool) {
	p, from := w.past, gaps[0].From
	for _, g := range gaps {
		if g.To.After(p.began) {
			p.again()
			break
		}
	}
	for _, g := range gaps {
		if g.From.Before(from) {
			from = g.From
		}
		// The list may be a little late in showing what was made last.
		if young := listLate - w.now().Sub(g.From); !g.From.IsZero() && young > 0 {
			return queue.RetryAfter(min(young, listLate)), true
		}
	}
	for !p.whole && (p.jumble || p.reach.IsZero() || from.Add(-clockSkew).Before(p.reach)) {
		if p.offset >= pastPages*listPage {
			w.Log.Warn("the platform's list is too long to be read to its end: of what was uploaded earlier, and lost from the ledger, some may be paid for again", "records", p.offset, "back_to", p.reach)
			p.whole = true
			break
		}
		if p.offset == 0 {
			p.began = w.now()
		}
		page, off := w.pastPage(ctx)
		if off != nil {
			return *off, true
		}
		p.note(page)
	}
	return queue.Settlement{}, false
}

// pastPage makes one Query call for the next page. A list that is not there, or does not answer, keeps no file waiting for
// long.
func (w *Worker) pastPage(ctx context.Context) (authenta.Page, *queue.Settlement) {
	p := w.past
	t, err := w.enter(ctx, control.Query, w.certainly)
	if err != nil {
		s := t.refused(ctx, err)
		return authenta.Page{}, &s
	}
	page, err := w.listed(ctx, authenta.ListOptions{Limit: listPage, Offset: p.offset}, nil)
	if err == nil {
		p.failed = 0
		t.answered(ctx)
		return page, nil
	}
	e, ok := errors.AsType[*authenta.Error](err)
	switch {
	case ctx.Err() != nil || !ok:
	case e.Kind == authenta.KindNotFound, e.Kind == authenta.KindRejected:
		t.withdrawn(ctx)
		return authenta.Page{}, nil
	case e.Kind == authenta.KindUnavailable && e.Status > 0: // it answers, and may be the only one that is broken
		t.withdrawn(ctx)
		if p.failed++; p.failed == 1 {
			p.since = time.Now()
		}
		if p.failed >= pastTries && (w.answered.Load() > p.since.UnixNano() || time.Since(p.since) > pastPatience) {
			w.Log.Warn("the platform's list does not answer: what was uploaded earlier, and lost from the ledger, may be paid for again", "error", err)
			return authenta.Page{}, nil
		}
		s := queue.RetryAfter(backoff())
		return authenta.Page{}, &s
	}
	s := t.refused(ctx, err)
	return authenta.Page{}, &s
}

// note remembers a page. One that is empty, or has nothing new, is the last.
func (p *past) note(page authenta.Page) {
	news := 0
	for _, m := range page.Media {
		if _, known := p.ids[m.ID]; known {
			continue
		}
		if at := m.CreatedAt; !at.IsZero() {
			p.jumble = p.jumble || !p.reach.IsZero() && at.After(p.reach.Add(clockSkew))
			if p.reach.IsZero() || at.Before(p.reach) {
				p.reach = at
			}
		}
		p.ids[m.ID] = struct{}{}
		news++
		if digest := digestIn(m.Name); digest != "" {
			m.Participants, m.ResultURL, m.HeatmapURL, m.SourceURL = nil, "", "", "" // there may be many records
			p.seen[digest] = append(p.seen[digest], m)
		}
	}
	p.offset += len(page.Media)
	p.whole = news == 0 || p.offset >= page.Total
}

// digestIn is the part of a file's digest that is in the name that we give to the platform; empty: the name is not ours.
func digestIn(name string) string {
	i := strings.LastIndexByte(name, '-')
	digest := name[i+1:]
	if i < 0 || len(digest) != digestDigits || strings.Trim(digest, "0123456789abcdef") != "" {
		return ""
	}
	return digest
}

// digestDigits is how many digits of a digest are in a name (see authenta.Name).
const digestDigits = 8

// find returns the media record that a job has, made in one of the gaps; nil: none. One that has its bytes is as good as
// another; of those that have none the newest may be getting them.
func (p *past) find(j queue.Job, gaps []queue.Gap) *authenta.Media {
	var best *authenta.Media
	for _, m := range p.seen[string(j.Digest)[:digestDigits]] {
		inGap := func(g queue.Gap) bool {
			return m.CreatedAt.IsZero() || m.CreatedAt.After(g.From.Add(-clockSkew)) && m.CreatedAt.Before(g.To.Add(clockSkew))
		}
		if !mayBeOf(m, j) || !slices.ContainsFunc(gaps, inGap) {
			continue
		}
		if best == nil || best.Status == authenta.StatusInited && (m.Status != authenta.StatusInited || m.CreatedAt.After(best.CreatedAt)) {
			best = &m
		}
	}
	return best
}

// mayBeACopy reports whether there is a record of what seems to be the same content under another name, and its file may not have
// been taken in again so far. Once that joins the job, its name tells.
func (p *past) mayBeACopy(j queue.Job, gaps []queue.Gap) bool {
	unscanned := func(g queue.Gap) bool { return g.CaughtUp.IsZero() }
	like := func(m authenta.Media) bool { return m.Size == 0 && m.Model == authenta.Model(j.Model) }
	return slices.ContainsFunc(p.seen[string(j.Digest)[:digestDigits]], like) && slices.ContainsFunc(gaps, unscanned)
}

// mayBeOf reports whether a record whose name has the job's digest is one of it. Eight digits are little to go by: the size
// has to be the same or, where the list does not tell it, all of the name.
func mayBeOf(m authenta.Media, j queue.Job) bool {
	same := m.Size == j.Size
	if m.Size == 0 {
		same = slices.ContainsFunc(j.Drops, func(d queue.Drop) bool { return m.Name == nameOf(d, j.Digest) })
	}
	return same && m.Model == authenta.Model(j.Model) && !slices.Contains(j.Abandoned, string(m.ID))
}

// nameOf is how a drop's file is called at the platform.
func nameOf(d queue.Drop, digest queue.Digest) string {
	return authenta.Name(strings.TrimSuffix(d.Name, filepath.Ext(d.Name)), string(digest))
}
