package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// A broker is the connection to NATS, and the embedded server behind it, if it is that.
type broker struct {
	conn    *queue.Conn
	server  *embedded.Server // nil: external
	address string           // where subscribers find it, for the log
	listens string           // its addresses, comma-separated; empty: it has no listener
}

func openBroker(ctx context.Context, s settings, told *telemetry, log *slog.Logger) (*broker, error) {
	if s.NATSURL != "" {
		conn, err := queue.Dial(ctx, s.server(), log)
		told.broker.Store(conn)
		return &broker{conn: conn, address: redactAll(s.NATSURL), listens: s.NATSURL}, err
	}
	if err := embedded.AwaitDisk(ctx, s.StateDir, log); err != nil {
		return nil, err
	}
	o := s.embedded(log)
	o.Metrics = told
	server, err := embedded.Start(o)
	if err != nil {
		return nil, err
	}
	conn, err := server.Connect()
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	told.broker.Store(conn)
	address, listens := "embedded, no listener", ""
	if a := server.Addr(); a != "" {
		address, listens = "nats://"+a, a
	}
	return &broker{conn: conn, server: server, address: address, listens: listens}, nil
}

// room returns why the broker's disk takes nothing new, as far as that can be known.
func (b *broker) room() error {
	if b.server == nil {
		return nil
	}
	return b.server.Room()
}

// recover finds out what was lost of the store, if something may be, before anything is done with it.
func (b *broker) recover(ctx context.Context, q *queue.Queue, log *slog.Logger) error {
	blank, err := q.Blank(ctx)
	if err != nil {
		return err
	}
	if !blank && (b.server == nil || b.server.Clean()) {
		return nil
	}
	m, err := q.Recover(ctx)
	if err != nil || blank {
		return err
	}
	log.Info("the last run had no orderly end; the store was looked through", "mended", m)
	if b.server == nil {
		return nil
	}
	return q.Redeliver(ctx) // nothing is in hand yet
}

// run looks after the embedded server until ctx ends.
func (b *broker) run(ctx context.Context, c embedded.Care) error {
	if b.server == nil {
		<-ctx.Done()
		return nil
	}
	return b.server.Run(ctx, c)
}

func (b *broker) close() error {
	b.conn.Close()
	if b.server != nil {
		return b.server.Close()
	}
	return nil
}

// natsAddresses are the servers of a list such as NATS_URL, as host:port.
func natsAddresses(list string) []string {
	var found []string
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" {
			continue // NATS_URL was checked, and none of this kind is there
		}
		port := u.Port()
		if port == "" {
			port = defaultPorts[u.Scheme]
		}
		found = append(found, net.JoinHostPort(u.Hostname(), port))
	}
	return found
}

// defaultPorts are those that the NATS client assumes.
var defaultPorts = map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443"}
