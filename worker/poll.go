package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
)

// poll asks for the result of an uploaded medium, when it is time to.
func (w *Worker) poll(ctx context.Context, t *queue.Task) queue.Settlement {
	since := t.UploadedAt
	if t.ResumedAt.After(since) {
		since = t.ResumedAt
	}
	age := time.Since(since)
	if age < w.FirstPoll {
		return queue.RetryAfter(nextPoll(age, w.FirstPoll))
	}
	m, err := w.get(ctx, authenta.MediaID(t.MediaID))
	late := age > w.PollTimeout
	switch {
	case err != nil:
		e, ok := errors.AsType[*authenta.Error](err)
		if late && ok && e.Kind == authenta.KindRejected { // the platform answers, and not about this record
			w.answered(query)
			return queue.Reject(queue.Fault{Reason: queue.Timeout, Code: e.Code, Message: message(e)})
		}
		return w.refused(ctx, query, err).NoSoonerThan(nextPoll(age, w.FirstPoll))
	case m.Status == authenta.StatusProcessed:
		return queue.Conclude(judge(m))
	case m.Status.Final():
		return queue.Reject(queue.Fault{
			Reason: queue.AnalysisFailed, Code: string(m.Status),
			Message: fmt.Sprintf("the platform could not judge media %s", m.ID),
		})
	case late && m.Status != authenta.StatusInited: // that one waits for credits, which is not its fault
		return queue.Reject(queue.Fault{
			Reason: queue.Timeout, Code: string(m.Status),
			Message: fmt.Sprintf("no result of media %s after %s", m.ID, age.Round(time.Second)),
		})
	}
	return queue.RetryAfter(nextPoll(age, w.FirstPoll))
}

// get makes one Query call within the rate, if the gate lets it.
func (w *Worker) get(ctx context.Context, id authenta.MediaID) (authenta.Media, error) {
	if err := w.enter(ctx, query); err != nil {
		return authenta.Media{}, err
	}
	m, err := w.Client.Get(ctx, id)
	if err == nil {
		w.answered(query)
	}
	return m, err
}
