package control

import (
	"context"
	"time"
)

// A GateEvent is the message on <ns>.events.paused and <ns>.events.resumed.
type GateEvent struct {
	Gate  string    `json:"gate"`
	At    time.Time `json:"at"`
	State           // in resumed: as it was before
}

// A telling is an event that is to be published.
type telling struct {
	kind, id string
	payload  any
}

// say has an event published. If more are waiting than anybody would read, it is dropped: the records are the truth.
func (c *Cluster) say(kind, id string, payload any) {
	select {
	case c.tells <- telling{kind, kind + "-" + id, payload}:
	default:
		c.Log.Debug("an event is not published", "kind", kind)
	}
}

// telling says when a gate closes, for another reason too, and when it opens.
func (c *Cluster) telling(gate string) func(was, is State) {
	return func(was, is State) {
		e := GateEvent{Gate: gate, At: is.At, State: is}
		switch {
		case is.Closed() && was.Why != is.Why, is.Hold != nil && was.Hold == nil:
			c.say("paused", gate+is.At.Format(time.RFC3339Nano), e)
		case was.Paused() && !is.Paused():
			e.State = was
			c.say("resumed", gate+is.At.Format(time.RFC3339Nano), e)
		}
	}
}

// publish publishes events until ctx ends, and then those that are waiting.
func (c *Cluster) publish(ctx context.Context) error {
	for {
		select {
		case t := <-c.tells:
			c.publishOne(ctx, t)
		case <-ctx.Done():
			for len(c.tells) > 0 && c.publishOne(ctx, <-c.tells) {
			}
			return nil
		}
	}
}

// publishOne publishes an event that has happened, even if ctx ends. A broker that is away is not waited for for long.
func (c *Cluster) publishOne(ctx context.Context, t telling) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := c.Queue.Event(ctx, t.kind, t.id, t.payload)
	if err != nil {
		c.Log.Debug("an event is not published", "kind", t.kind, "error", err)
	}
	return err == nil
}
