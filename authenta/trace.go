package authenta

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// A trace observes how far a request gets.
type trace struct {
	dialing, connected atomic.Bool
}

func (t *trace) follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Called again if net/http found that nothing left over the first connection, and tries another.
		GetConn: func(string) { t.connected.Store(false); t.dialing.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	})
}

// maybe reports whether any of the request may have left: it may not only if a connection was looked for and none got.
// A transport that does not say leaves it in doubt.
func (t *trace) maybe() bool { return t.connected.Load() || !t.dialing.Load() }
