package main

import (
	"context"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

// What could not be looked through has to be looked through later, as the log promises.
func TestASuspicionLastsUntilItWasLookedInto(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Listen: embedded.Off, Sync: "1s", Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	q, err := queue.Open(t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{queue: q, log: discard}
	q.Suspect()
	away, cancel := context.WithCancel(t.Context())
	cancel() // the broker does not answer
	if d.tidy(away, false) == nil {
		t.Fatal("looked through")
	}
	if !q.Suspects() {
		t.Error("the suspicion is forgotten, and nothing was looked through")
	}
}
