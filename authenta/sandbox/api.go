package sandbox

import (
	"net/http"
	"net/url"
	"strconv"
)

// The list's pages, in records. The platform's own figures are not published.
const (
	defaultLimit = 20
	maxLimit     = 100
)

func (p *Platform) create(w http.ResponseWriter, r *http.Request) {
	req, bad := readCreate(r)
	p.answer(w, r, OpCreate, func(urls presigner) (any, *refusal) {
		if bad != nil {
			return nil, bad
		}
		mid := p.newMID(urls.now)
		p.commit(event{Kind: created, At: urls.now, MID: mid, Create: &req})
		m := p.state.media[mid]
		v := m.summary(urls.now)
		v.UploadURL = urls.upload(m)
		if p.opts.ExpiresIn {
			v.ExpiresIn = urls.seconds()
		}
		return v, nil
	})
}

func (p *Platform) get(w http.ResponseWriter, r *http.Request, mid string) {
	p.answer(w, r, OpGet, func(urls presigner) (any, *refusal) {
		m := p.state.media[mid]
		if m == nil {
			return nil, noSuchMedia
		}
		return m.detail(urls), nil
	})
}

func (p *Platform) delete(w http.ResponseWriter, r *http.Request, mid string) {
	p.answer(w, r, OpDelete, func(presigner) (any, *refusal) {
		if p.state.media[mid] == nil {
			return nil, noSuchMedia
		}
		p.commit(event{Kind: deleted, MID: mid})
		return nil, nil
	})
}

// list answers with the newest first.
func (p *Platform) list(w http.ResponseWriter, r *http.Request) {
	limit, offset := paging(r.URL.Query())
	p.answer(w, r, OpList, func(urls presigner) (any, *refusal) {
		oldestFirst := p.state.order
		page := struct {
			Limit  int         `json:"limit"`
			Offset int         `json:"offset"`
			Total  int         `json:"total"`
			Data   []mediaView `json:"data"`
		}{limit, offset, len(oldestFirst), []mediaView{}}
		for i := len(oldestFirst) - 1 - offset; i >= 0 && len(page.Data) < limit; i-- {
			page.Data = append(page.Data, oldestFirst[i].summary(urls.now))
		}
		return page, nil
	})
}

// answer answers one API call. Once the call is admitted, work runs under the lock and returns a reply that shares
// nothing with the state; no reply is 204.
func (p *Platform) answer(w http.ResponseWriter, r *http.Request, op Op, work func(presigner) (any, *refusal)) {
	p.mu.Lock()
	refused := p.admit(r, op)
	var reply any
	if refused == nil {
		reply, refused = work(p.presigner(r))
	}
	p.mu.Unlock()
	switch {
	case refused != nil:
		refused.write(w, r)
	case reply == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, http.StatusOK, reply)
	}
}

// admit is the platform's checks in their order. A call that passes the quota consumes one of it, whatever becomes of
// it after that. The lock is held.
func (p *Platform) admit(r *http.Request, op Op) *refusal {
	if refused := p.keys.check(r, op); refused != nil {
		return refused
	}
	if !isBearer(r) {
		if p.state.quota(op).empty() {
			return quotaUsedUp
		}
		p.commit(event{Kind: consumed, Op: op})
	}
	if op == OpCreate && p.state.credits.empty() {
		return outOfCredits
	}
	return nil
}

// paging reads limit and offset, or else pageSize and page (from 1). What makes no sense is ignored.
func paging(q url.Values) (limit, offset int) {
	limit = min(count(q, "limit", count(q, "pageSize", defaultLimit)), maxLimit)
	page := min(count(q, "page", 1), 1<<30)
	if q.Has("offset") {
		return limit, count(q, "offset", 0)
	}
	return limit, (page - 1) * limit
}

func count(q url.Values, name string, otherwise int) int {
	if n, err := strconv.Atoi(q.Get(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}
