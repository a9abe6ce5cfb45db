package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// A Conn is a connection to the broker that comes back by itself.
type Conn struct {
	*nats.Conn
	dialer *dialer
	denied atomic.Pointer[error] // the last permission that the server refused; it only says so asynchronously
	missed atomic.Int64          // when the broker was last missed, in nanoseconds; see miss

	mu      sync.Mutex
	renewed chan struct{} // closed and replaced when the connection was made anew
}

// Server says how to reach an external NATS.
type Server struct {
	URL           string // one or several, comma-separated
	Creds         string // a credentials file; empty: none
	CA, Cert, Key string // PEM files for TLS; empty: the system's roots, no client certificate
}

// Dial connects to an external NATS. A server that cannot be reached is waited for until ctx ends; that none of them takes
// us, or can be trusted, is an error.
func Dial(ctx context.Context, s Server, log *slog.Logger) (*Conn, error) {
	if err := CheckURL(s.URL); err != nil {
		return nil, err
	}
	opts, err := s.secured()
	if err != nil {
		return nil, err
	}
	tries := &tries{servers: 1 + strings.Count(s.URL, ","), log: log, dialer: newDialer()}
	opts = append(opts, nats.RetryOnFailedConnect(true), nats.ReconnectErrHandler(tries.failed))
	c, err := connect(s.URL, log, tries.dialer, opts...)
	if err == nil {
		if err = c.awaitConnected(ctx, tries); err != nil {
			c.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at NATS_URL: %w", explainRefusal(err))
	}
	return c, nil
}

// CheckURL reports what is wrong with a list of addresses, without repeating them: they may have passwords.
func CheckURL(list string) error {
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("NATS_URL: want nats://host:port, tls://host:port, or several of them, comma-separated")
		}
	}
	return nil
}

// Connect connects with the options that this package relies on: it reconnects for ever, with jitter, and a
// publish during an outage fails at once instead of being buffered.
func Connect(url string, log *slog.Logger, opts ...nats.Option) (*Conn, error) {
	return connect(url, log, newDialer(), opts...)
}

func connect(url string, log *slog.Logger, d *dialer, opts ...nats.Option) (*Conn, error) {
	c := &Conn{dialer: d, renewed: make(chan struct{})}
	opts = append([]nats.Option{
		nats.SetCustomDialer(d),
		nats.Name("authenta-ingest"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(20 * time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				c.denied.Store(&err)
				log.Error("NATS refused a permission", "error", err)
				return
			}
			log.Debug("NATS", "error", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.miss()
			if err != nil {
				log.Warn("lost the connection to NATS; going on when it is back", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			c.miss()
			c.renew()
			log.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted())
		}),
	}, opts...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, d.reason(err)
	}
	c.Conn = nc
	return c, nil
}

// A dialer remembers why a server cannot be reached: the client only says that there is none.
type dialer struct {
	net.Dialer
	last atomic.Pointer[error]
}

func newDialer() *dialer { return &dialer{Dialer: net.Dialer{Timeout: nats.DefaultTimeout}} }

// Dial is what the client calls.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := d.Dialer.Dial(network, address)
	d.last.Store(&err)
	return c, err
}

// reason is why there is no connection: what the client says, or what dialing has come to, if that says more.
func (d *dialer) reason(err error) error {
	last := d.last.Load()
	if last == nil || *last == nil || err != nil && !errors.Is(err, nats.ErrNoServers) {
		return err
	}
	return *last
}

// awaitConnected waits for the first connection.
func (c *Conn) awaitConnected(ctx context.Context, t *tries) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		refused := t.refused()
		switch {
		case c.IsConnected():
			return nil
		case c.IsClosed():
			return c.lastError()
		case errors.Is(c.LastError(), nats.ErrAuthorization), errors.Is(c.LastError(), nats.ErrAuthExpired):
			return c.LastError()
		case refused != nil:
			return refused
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w: does a NATS server run there, and is that its address?", context.Cause(ctx), c.lastError())
		case <-tick.C:
		}
	}
}

func (c *Conn) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.renewed)
	c.renewed = make(chan struct{})
}

// untilRenewed returns a context that ends with ctx, and when the connection is made anew.
func (c *Conn) untilRenewed(ctx context.Context) (context.Context, context.CancelFunc) {
	c.mu.Lock()
	renewed := c.renewed
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-renewed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// miss notes that the broker did not do what it should have done.
func (c *Conn) miss() { c.missed.Store(time.Now().UnixNano()) }

// missedLately reports whether what another process had in hand may have come here because the broker was away.
func (c *Conn) missedLately() bool { return time.Since(time.Unix(0, c.missed.Load())) < 4*ackWait }

func (c *Conn) lastError() error {
	if err := c.dialer.reason(c.LastError()); err != nil {
		return err
	}
	return errors.New("no connection")
}

// explain adds to a request's error the permission that the server refused meanwhile: to the requester it
// looks like a time-out.
func (c *Conn) explain(err error) error {
	if err == nil {
		return nil
	}
	if denied := c.denied.Swap(nil); denied != nil {
		return fmt.Errorf("%w: the NATS user lacks a permission: %w", err, *denied)
	}
	return err
}
