// Package embedded runs a nats-server with JetStream inside the process, so that one machine needs nothing but
// the binary.
//
// It promises that one process at a time uses a state folder, that what was acknowledged is on the disk (see
// [Options.Sync]), and that nobody but this machine reaches the server unless a token is asked for.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/queue"
)

// Off as [Options.Listen] keeps the server within the process.
const Off = "off"

// SyncAlways as [Options.Sync] writes every message through to the disk before it is acknowledged.
const SyncAlways = "always"

// Options say where the server keeps its files and who may reach it.
type Options struct {
	Dir    string       // the state folder; made if missing
	Listen string       // host:port for subscribers and the command line, or Off
	Token  string       // asked of whoever connects over Listen; needed if that is not a loopback address
	Sync   string       // SyncAlways, or how often: what is younger may be lost with the power
	Log    *slog.Logger // default slog.Default()
}

// Check finds every mistake in the options without touching the machine.
func (o Options) Check() error {
	var mistakes []error
	if o.Listen != Off {
		host, port, err := net.SplitHostPort(o.Listen)
		if n, errPort := strconv.Atoi(port); err != nil || errPort != nil || n < 0 || n > 65535 {
			mistakes = append(mistakes, fmt.Errorf("INGEST_NATS_LISTEN=%q: want host:port, or off", o.Listen))
		} else if !loopback(host) && o.Token == "" {
			mistakes = append(mistakes, fmt.Errorf("INGEST_NATS_LISTEN=%q would be open to other machines: "+
				"set INGEST_NATS_TOKEN, or listen on 127.0.0.1", o.Listen))
		}
	}
	if d, err := time.ParseDuration(o.Sync); o.Sync != SyncAlways && (err != nil || d <= 0) {
		mistakes = append(mistakes, fmt.Errorf("INGEST_SYNC=%q: want always, or a duration such as 1s", o.Sync))
	}
	return errors.Join(mistakes...)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// A Server is a running server and the lock on its folder.
type Server struct {
	server *server.Server
	lock   *flock.Flock
	token  string
	log    *slog.Logger
}

// Start locks the folder and starts the server; it returns when the server takes connections.
func Start(o Options) (*Server, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock, token: o.Token, log: o.Log}
	if err := s.start(o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// lockDir takes the folder for this process. nats-server itself does not: two on one folder corrupt it.
func lockDir(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	free, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the state folder %s: %w", dir, err)
	}
	if !free {
		return nil, fmt.Errorf("the state folder %s is in use by another authenta-ingest: "+
			"stop that one, or give this one its own INGEST_STATE_DIR", dir)
	}
	return lock, nil
}

func (s *Server) start(o Options) error {
	opts := &server.Options{
		ServerName:         "authenta-ingest", // fixed: a stream's folder belongs to the server of this name
		StoreDir:           filepath.Join(o.Dir, "jetstream"),
		JetStream:          true,
		JetStreamMaxMemory: 64 << 20, // nothing of ours is kept in memory
		JetStreamMaxStore:  1 << 50,  // each stream has its own cap, and another namespace may be in the store
		Authorization:      o.Token,
		NoSigs:             true,
		DontListen:         o.Listen == Off,
	}
	if o.Listen != Off {
		host, port, _ := net.SplitHostPort(o.Listen) // checked
		opts.Host = host
		opts.Port, _ = strconv.Atoi(port)
		if opts.Port == 0 {
			opts.Port = server.RANDOM_PORT
		}
	}
	if opts.SyncAlways = o.Sync == SyncAlways; !opts.SyncAlways {
		opts.SyncInterval, _ = time.ParseDuration(o.Sync) // checked
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start the embedded NATS server: %w", err)
	}
	fatal := make(chan string, 8)
	srv.SetLoggerV2(logger{o.Log, fatal}, false, false, false)
	s.server = srv
	srv.Start()
	for deadline := time.Now().Add(time.Minute); ; { // recovery of a large store takes a while
		if srv.ReadyForConnections(100 * time.Millisecond) {
			return nil
		}
		select {
		case why := <-fatal:
			return fmt.Errorf("start the embedded NATS server (INGEST_NATS_LISTEN=%s, INGEST_STATE_DIR=%s): %s%s", o.Listen, o.Dir, why, advice(why))
		default:
		}
		if time.Now().After(deadline) {
			return errors.New("the embedded NATS server did not start within a minute")
		}
	}
}

// advice is what to do about a reason not to start.
func advice(why string) string {
	if strings.Contains(why, "address already in use") {
		return ": is another NATS server here? Set INGEST_NATS_LISTEN to a free address, or to off"
	}
	return ""
}

// Addr returns where the server listens; empty with Off.
func (s *Server) Addr() string {
	if a := s.server.Addr(); a != nil {
		return a.String()
	}
	return ""
}

// Connect returns a connection that does not leave the process. The caller closes it before the server.
func (s *Server) Connect() (*queue.Conn, error) {
	c, err := queue.Connect("", s.log, nats.InProcessServer(s.server), nats.Token(s.token))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return c, nil
}

// Close stops the server, waits until its files are closed, and gives the folder back.
func (s *Server) Close() error {
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	return s.lock.Unlock()
}
