package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestKilledUnderLoadNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	kills := 2
	if *long {
		kills = 10
	}
	const writers, most = 8, 200 // files that may wait to be sent
	w := newWorld(t, sandbox.Options{Latency: 100 * time.Millisecond})
	var calls, written, sent atomic.Int64
	w.platform.Faults(
		sandbox.Fault{Op: sandbox.OpAny, Do: func(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) { calls.Add(1); next(rw, r) }},
		sandbox.Fault{Op: sandbox.OpPut, Do: func(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(rw, r); sent.Add(1) }},
	)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing errgroup.Group
	for i := range writers {
		writing.Go(func() error {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; {
				if written.Load()-sent.Load() < most {
					name := fmt.Sprintf("%d-%05d.jpg", i, n)
					if err := deposit(filepath.Join(w.inbox, name), picture(n*writers+i)); err != nil {
						return err
					}
					written.Add(1)
					n++
				}
				<-tick.C
			}
			return nil
		})
	}
	busy := 0
	for range kills {
		enough := calls.Load() + 100 + random.Int64N(300)
		p := w.start(nil, "run", w.inbox)
		eventually(t, finishTime, "it is at work", func() bool { return calls.Load() >= enough })
		p.kill()
		waiting := written.Load() - sent.Load()
		t.Logf("killed with %d files written and %d sent", written.Load(), sent.Load())
		if waiting >= most/4 {
			busy++
		}
	}
	if busy < kills/2 {
		t.Errorf("only %d of %d kills came under load", busy, kills)
	}
	stop()
	if err := writing.Wait(); err != nil {
		t.Fatal(err)
	}
	if code := w.start(nil, "run", "--once", w.inbox).wait(finishTime); code != exitDone {
		t.Errorf("the last run ended with %d", code)
	}
	files := int(written.Load())
	w.promises(files, files)
}
