package authenta

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ListOptions ask for a part of the account's media, in the platform's order. The platform may do otherwise: see [Page].
type ListOptions struct {
	Limit  int // records; 0: the platform's choice
	Offset int // records to skip; a multiple of Limit, where the platform counts in pages
}

// A Page is a part of the account's media. Limit, Offset and Total are what the platform says it did, 0 where it does
// not say.
type Page struct {
	Limit  int // most records in a page
	Offset int // records before this page
	Total  int // records in all

	// Media holds no participants, result or heatmap: Get brings those. A record without a usable id is left out.
	Media []Media
}

// List returns a page of the account's media. It is a Query.
func (c *Client) List(ctx context.Context, o ListOptions) (Page, error) {
	var p Page
	err := c.do(ctx, call{op: OpList, method: http.MethodGet, query: o.query()}, func(body []byte) (err error) {
		p, err = decodePage(body, time.Now())
		return err
	})
	return p, err
}

// query names everything twice, since the platform's names are not published: once as its answers do, and once in pages,
// from 1, as one of its clients does.
func (o ListOptions) query() url.Values {
	offset := max(o.Offset, 0)
	q := url.Values{"offset": {strconv.Itoa(offset)}}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
		q.Set("pageSize", strconv.Itoa(o.Limit))
		q.Set("page", strconv.Itoa(offset/o.Limit+1))
	}
	return q
}
