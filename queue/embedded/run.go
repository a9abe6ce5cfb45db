package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// lookEvery is how often Run looks at the folder, the store and the clock.
	lookEvery = time.Second
	// mostRest bounds the time between two restarts of a store that breaks again and again.
	mostRest = time.Minute
	// wellFor is how long a store has to work for its next breakage to be the first.
	wellFor = 5 * time.Minute
	// setBack is by how much the clock has to be set back to matter: ticks are late on a busy machine, clocks drift.
	setBack = 2 * time.Second
)

// Care is what those who use a server do for it.
type Care struct {
	// Redeliver has everything handed out again that was put off. It is called, until it succeeds, after the clock was set
	// back: nats-server counts by the wall clock, and would wait for as much longer.
	Redeliver func(context.Context) error
	// Damaged is called when something of the store is lost.
	Damaged func()
}

// Run looks after the server until ctx ends. A store that could not be written to is restarted, which nats-server needs for
// it, as soon as the disk has room.
//
// It is an error when the state folder was removed: what is written then is lost with the process.
func (s *Server) Run(ctx context.Context, c Care) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	broken := breakage{server: s, damaged: c.Damaged}
	var clock clock
	for owed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.stillThere(); err != nil {
			return err
		}
		broken.mend()
		now := time.Now()
		if jump := clock.jumped(now, now.Round(0)); jump < -setBack {
			owed = true
			s.o.Log.Warn("the clock was set back; what was put off is handed out again", "by", (-jump).Round(time.Second))
		}
		if owed && c.Redeliver(ctx) == nil {
			owed = false
		}
	}
}

// stillThere reports that the state folder is no longer the one that this process has locked.
func (s *Server) stillThere() error {
	now, err := os.Stat(s.lock.Path())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, s.held) {
		return fmt.Errorf("the state folder %s was removed or replaced while it was in use: start again; what the watched folders hold is then taken in anew", s.o.Dir)
	}
	return nil
}

// Room returns why nothing new should be taken in: the disk is nearly full. Nil: there is room.
func (s *Server) Room() error { return s.disk.room() }

// A breakage is a store that cannot be written to, and what is done about it. Only Run touches it.
type breakage struct {
	server  *Server
	damaged func()
	since   time.Time     // zero: the store works
	rest    time.Duration // until the next restart
	next    time.Time     // when that is
}

// mend restarts a store that has broken, when that can help.
func (b *breakage) mend() {
	f := b.server.fault()
	b.server.broken.Store(f.why != "")
	log := b.server.o.Log
	switch {
	case f.why == "" && b.since.IsZero():
		return
	case f.why == "":
		log.Info("the store of the embedded NATS server takes writes again", "after", time.Since(b.since).Round(time.Second))
		b.since = time.Time{}
		return
	case b.since.IsZero():
		b.since = time.Now()
		if time.Since(b.next) > wellFor {
			b.rest = 0
		}
		log.Error("the store of the embedded NATS server cannot be written to; work waits until it can", "INGEST_STATE_DIR", b.server.o.Dir, "error", f.why)
	}
	if !b.server.disk.writable() || time.Now().Before(b.next) {
		return
	}
	b.rest = min(max(2*b.rest, lookEvery), mostRest)
	b.server.stop()
	if f.corrupt() {
		b.server.rebuild(f.stream)
		b.damaged()
	}
	if err := b.server.start(); err != nil {
		log.Error("the embedded NATS server did not start again", "next_try", b.rest, "error", err)
	}
	b.next = time.Now().Add(b.rest)
}

// A fault is why a store takes no writes.
type fault struct {
	why    string // empty: it does
	stream string // the folder of the stream that is broken; empty: it is none
}

// corrupt reports whether the fault lies in what is on the disk already.
func (f fault) corrupt() bool {
	return f.stream != "" && (strings.Contains(f.why, "corrupt") || strings.Contains(f.why, "malformed"))
}

// fault finds out whether the store takes writes. One that failed ends a stream until its server is started again.
func (s *Server) fault() fault {
	srv := s.current()
	if srv == nil {
		return fault{why: "no server runs"}
	}
	for _, e := range srv.Healthz(&server.HealthzOptions{Details: true}).Errors {
		switch {
		case e.Type == server.HealthzErrorJetStream:
			return fault{why: e.Error}
		case strings.Contains(e.Error, "write error") && e.Stream != "":
			return fault{e.Error, filepath.Join(srv.StoreDir(), e.Account, "streams", filepath.Base(e.Stream))}
		}
	}
	return fault{}
}

// rebuild has the server find out anew what a stream has, by its messages and not by what was noted of them: it stops at the
// damage.
func (s *Server) rebuild(stream string) {
	s.o.Log.Error("a stream of the store is damaged, and is read anew; something of it may be lost", "folder", stream)
	if err := os.Remove(filepath.Join(stream, "msgs", "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("a damaged file could not be removed", "error", err)
	}
}

// A clock notices that the wall clock was set.
type clock struct{ mono, wall time.Time }

// jumped returns by how much the wall clock was set forward since the last call. mono is a time with a monotonic reading,
// wall one without.
func (c *clock) jumped(mono, wall time.Time) time.Duration {
	last := *c
	*c = clock{mono, wall}
	if last.mono.IsZero() {
		return 0
	}
	return wall.Sub(last.wall) - mono.Sub(last.mono)
}
