package worker

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/authenta/authenta-ingest/queue"
)

// uploadPools are what uploads: a pool for the files that any machine may have, and one for those that wait for this machine.
// Neither waits for the other to have nothing to do: together they upload as many at a time as one would, in turn. At most as
// many again are in hand and wait for their turn, when both queues were empty and fill at the same moment.
func (w *Worker) uploadPools() []queue.Pool {
	all := queue.Pool{Stage: queue.Upload, Slots: w.Uploads, Grace: w.Grace, Handle: w.upload, Ready: w.readyToUpload}
	if w.Host == "" {
		return []queue.Pool{all}
	}
	turns := semaphore.NewWeighted(int64(w.Uploads)) // it gives them in the order in which they are asked for
	all.Ready = func(ctx context.Context) error {
		if err := w.readyToUpload(ctx); err != nil {
			return err
		}
		if err := turns.Acquire(ctx, 1); err != nil {
			return err
		}
		turns.Release(1) // whoever waits for a file holds nobody up
		return nil
	}
	all.Handle = func(ctx context.Context, t *queue.Task) queue.Settlement {
		if turns.Acquire(ctx, 1) != nil {
			return queue.RetryAfter(0)
		}
		defer turns.Release(1)
		return w.upload(ctx, t)
	}
	own := all
	own.Stage, own.Host = queue.UploadAt(w.Host), w.Host
	return []queue.Pool{all, own}
}
