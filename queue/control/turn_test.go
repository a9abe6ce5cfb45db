package control_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// What the loop that gives signs of life has to write is tried on while NATS is away. It turns all the same: whoever watches
// it starts the process anew otherwise, which brings no NATS back.
func TestSignsOfLifeGoOnWhileAPauseEndsThatNATSCannotBeTold(t *testing.T) {
	t.Parallel()
	o := embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Sync: "1s", Log: quiet}
	server, err := embedded.Start(o)
	must(t, err)
	o.Listen = server.Addr()
	conn, err := queue.Connect("nats://"+o.Listen, quiet)
	must(t, err)
	t.Cleanup(conn.Close)
	q, err := queue.Open(deadline(t), conn, queue.Options{Platform: "https://platform.example", Log: quiet})
	must(t, err)
	var beats atomic.Int64
	c := control.New(control.Options{Queue: q, MutationRate: 5, QueryRate: 10, Log: quiet, Beat: func() { beats.Add(1) }})
	ended := make(chan error, 1)
	go func() { ended <- c.Run(t.Context()) }()
	t.Cleanup(func() { // after the test's context has ended, and before its connection
		must(t, <-ended)
		must(t, server.Close())
	})
	must(t, c.Synced(deadline(t)))

	must(t, c.Uploads.Pause(deadline(t), "for a moment", time.Second))
	must(t, server.Close())
	await(t, "NATS is missed", func() bool { return !conn.IsConnected() })
	<-time.After(time.Until(c.Uploads.State().Hold.Until))
	was := beats.Load()
	await(t, "it turns on", func() bool { return beats.Load() >= was+3 })
	if !c.Uploads.State().Paused() {
		t.Error("a pause has ended of which NATS does not know")
	}
	if c.Here() {
		t.Error("the cluster counts a process in of which it has not heard")
	}
	server, err = embedded.Start(o)
	must(t, err)
	await(t, "uploads go on", func() bool { return !c.Uploads.State().Paused() })
	await(t, "it is there again", c.Here)
}
