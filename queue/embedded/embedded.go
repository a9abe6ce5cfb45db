// Package embedded runs a nats-server with JetStream inside the process, so that one machine needs nothing but
// the binary.
//
// It promises that one process at a time uses a state folder, that what was acknowledged is on the disk (see
// [Options.Sync]), that a disk that was full is written to again when it has room, and that nobody but this machine
// reaches the server unless a token is asked for.
package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

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

	Metrics prometheus.Registerer // nil: nothing is exported
}

// Check finds every mistake in the options without touching the machine.
func (o Options) Check() error {
	var mistakes []error
	if o.Listen != Off {
		host, port, err := net.SplitHostPort(o.Listen)
		if n, errPort := strconv.Atoi(port); err != nil || errPort != nil || n < 0 || n > 65535 {
			mistakes = append(mistakes, fmt.Errorf("INGEST_NATS_LISTEN=%q: want host:port, or off", o.Listen))
		} else if !Loopback(host) && o.Token == "" {
			mistakes = append(mistakes, fmt.Errorf("INGEST_NATS_LISTEN=%q would be open to other machines: "+
				"set INGEST_NATS_TOKEN, or listen on 127.0.0.1", o.Listen))
		}
	}
	if d, err := time.ParseDuration(o.Sync); o.Sync != SyncAlways && (err != nil || d <= 0) {
		mistakes = append(mistakes, fmt.Errorf("INGEST_SYNC=%q: want always, or a duration such as 1s", o.Sync))
	}
	return errors.Join(mistakes...)
}

// Loopback reports whether an address without its port is reached from this machine only.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// A Server is a nats-server, the folder of its state, and the lock on that. The nats-server is replaced by another on the
// same folder when its store has broken; to those who are connected it looks like a broker that was restarted.
type Server struct {
	o    Options
	lock *flock.Flock
	held os.FileInfo // the lock's file
	disk disk

	clean  bool        // the folder was as an orderly end had left it
	broken atomic.Bool // see Broken

	mu     sync.Mutex
	server *server.Server // nil: none runs at the moment
}

// Start locks the folder and starts the server; it returns when the server takes connections. Run looks after it.
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
	s := &Server{o: o, lock: lock, disk: disk{dir: o.Dir}}
	if err := s.open(); err != nil {
		s.stop()
		return nil, errors.Join(err, s.lock.Unlock())
	}
	s.export(o.Metrics)
	return s, nil
}

// open finds out how the folder was left, and starts a server on it.
func (s *Server) open() (err error) {
	if s.held, err = os.Stat(s.lock.Path()); err != nil {
		return err
	}
	if s.clean, err = takeMark(s.o.Dir); err != nil {
		return fmt.Errorf("look at the state folder: %w", err)
	}
	if err := s.start(); err != nil {
		return err
	}
	if !s.clean {
		s.adopt()
	}
	return nil
}

// Clean reports whether the folder was as an orderly end had left it when the server started. Otherwise something of it may
// be lost: after a crash of the machine, or because somebody has touched it.
func (s *Server) Clean() bool { return s.clean }

// adopt has streams made anew whose description is damaged. The server leaves them alone as long as there is one; without
// it, whoever makes a stream of that name finds its messages there.
func (s *Server) adopt() {
	for _, e := range s.server.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type != server.HealthzErrorStream || e.Stream == "" {
			continue
		}
		dir := filepath.Join(s.server.StoreDir(), e.Account, "streams", filepath.Base(e.Stream))
		s.o.Log.Error("the description of a stream is damaged, and made anew", "stream", e.Stream, "error", e.Error)
		for _, file := range []string{server.JetStreamMetaFile, server.JetStreamMetaFileSum} {
			if err := os.Remove(filepath.Join(dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.o.Log.Warn("a damaged file could not be removed", "error", err)
			}
		}
	}
}

// lockDir takes the folder for this process. nats-server itself does not: two on one folder corrupt it.
func lockDir(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder (INGEST_STATE_DIR): %w: set it to a folder that this user may write to", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	free, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the state folder (INGEST_STATE_DIR): %w: set it to a folder that this user may write to", err)
	}
	if !free {
		return nil, fmt.Errorf("the state folder %s is in use by another authenta-ingest: "+
			"stop that one, or give this one its own INGEST_STATE_DIR", dir)
	}
	return lock, nil
}

// start starts a nats-server on the folder and makes it the one that connections lead to.
func (s *Server) start() error {
	o := s.o
	opts := &server.Options{
		ServerName:         "authenta-ingest", // fixed: a stream's folder belongs to the server of this name
		StoreDir:           storeDir(o.Dir),
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
	srv.Start()
	if err := s.awaitReady(srv, fatal); err != nil {
		stop(srv)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = srv
	if a := srv.Addr(); a != nil { // the next one is looked for at the same
		s.o.Listen = a.String()
	}
	return nil
}

func (s *Server) awaitReady(srv *server.Server, fatal <-chan string) error {
	for deadline := time.Now().Add(time.Minute); ; { // recovery of a large store takes a while
		if srv.ReadyForConnections(100 * time.Millisecond) {
			return nil
		}
		select {
		case why := <-fatal:
			return fmt.Errorf("start the embedded NATS server (INGEST_NATS_LISTEN=%s, INGEST_STATE_DIR=%s): %s%s", s.o.Listen, s.o.Dir, why, advice(why))
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

// current is the nats-server that runs, or nil.
func (s *Server) current() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// Addr returns where the server listens; empty with Off.
func (s *Server) Addr() string {
	if srv := s.current(); srv != nil && srv.Addr() != nil {
		return srv.Addr().String()
	}
	return ""
}

// InProcessConn is a connection to the nats-server that runs now.
func (s *Server) InProcessConn() (net.Conn, error) {
	srv := s.current()
	if srv == nil {
		return nil, errors.New("the embedded NATS server is being restarted")
	}
	return srv.InProcessConn()
}

// Connect returns a connection that does not leave the process. The caller closes it before the server.
func (s *Server) Connect() (*queue.Conn, error) {
	c, err := queue.Connect("", s.o.Log, nats.InProcessServer(s), nats.Token(s.o.Token))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return c, nil
}

// Close stops the server, waits until its files are closed, and gives the folder back.
func (s *Server) Close() error {
	broken := s.fault().why != ""
	if s.stop() && !broken {
		if err := leaveMark(s.o.Dir); err != nil {
			s.o.Log.Info("the next start will look at the store more closely", "error", err)
		}
	}
	return s.lock.Unlock()
}

// stop ends the nats-server that runs, and reports whether one did.
func (s *Server) stop() bool {
	s.mu.Lock()
	srv := s.server
	s.server = nil
	s.mu.Unlock()
	if srv == nil {
		return false
	}
	stop(srv)
	return true
}

func stop(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}
