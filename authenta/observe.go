package authenta

import "time"

// A Call is one attempt of a [Client] to have something done, and what came of it. One that could not be made, for want of keys
// or because the file or the upload URL was of no use, is none.
type Call struct {
	Op   Op
	Err  *Error        // nil: it was answered as it should be
	Took time.Duration // from the attempt to its answer, or to its end without one
	Sent int64         // bytes of the file that storage has taken
}

// observe tells of a call that began then.
func (c *Client) observe(op Op, began time.Time, e *Error, sent int64) {
	if c.observer == nil {
		return
	}
	if e != nil {
		sent = 0
	}
	c.observer(Call{Op: op, Err: e, Took: time.Since(began), Sent: sent})
}
