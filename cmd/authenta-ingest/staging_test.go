package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// TestStagedFilesAreJudgedByWhoNeverSawThem has one process take files in while the platform is out, and go down; its folder is
// removed. Another, with a folder of its own and the same NATS, uploads all of them; then nothing is staged any more.
func TestStagedFilesAreJudgedByWhoNeverSawThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	var out atomic.Bool
	out.Store(true)
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpCreate, Do: func(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		if out.Load() {
			http.Error(rw, "down", http.StatusServiceUnavailable)
			return
		}
		next(rw, r)
	}})
	address, port := freePort(t)
	broker := natsServer(t, port, t.TempDir())
	defer func() {
		broker.Shutdown()
		broker.WaitForShutdown()
	}()
	w.env["NATS_URL"] = "nats://" + address
	conn, err := queue.Dial(t.Context(), queue.Server{URL: w.env["NATS_URL"]}, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q, err := queue.Open(t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	const files = 20
	for n := range files - 1 {
		w.write(fmt.Sprintf("%02d.jpg", n), picture(n))
	}
	w.write("large.jpg", append(picture(files), bytes.Repeat([]byte("x"), 5<<20)...))

	first := w.start(map[string]string{"INGEST_STAGE": "store"}, "run", w.inbox)
	eventually(t, finishTime, "all files are on the queue", func() bool {
		d, err := q.Depths(t.Context())
		return err == nil && d.Upload == files
	})
	if staged := staged(t, conn); staged < 2*files {
		t.Fatalf("%d messages are staged of %d files", staged, files)
	}
	first.kill()
	if err := os.RemoveAll(w.inbox); err != nil {
		t.Fatal(err)
	}

	out.Store(false)
	empty := filepath.Join(t.TempDir(), "inbox")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	w.start(map[string]string{"INGEST_STATE_DIR": w.state + "-2"}, "run", empty)
	eventually(t, finishTime, "all are judged", func() bool {
		end, err := q.End(t.Context())
		d, errD := q.Depths(t.Context())
		return errors.Join(err, errD) == nil && end.Verdicts+end.Failures >= files && d == queue.Depths{}
	})
	w.check(readTerminals(t, q), files, files)
	eventually(t, time.Minute, "nothing is staged any more", func() bool { return staged(t, conn) == 0 })
}

// staged counts the messages in the staging bucket.
func staged(t *testing.T, conn *queue.Conn) uint64 {
	t.Helper()
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "OBJ_authenta-media")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}
