package queue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stream makes a stream, or makes one that is there as it is wanted. What whoever runs the NATS servers may have chosen for
// it stays: more copies, where they are, what they are compressed with.
func (q *Queue) stream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	for {
		s, err := q.js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s, err = q.js.CreateStream(ctx, oneCopyIsRead(want))
			if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) && pause(ctx, 50*time.Millisecond) == nil {
				continue // another process was faster, and wants something else
			}
		} else if err == nil {
			s, err = q.adjust(ctx, s, want)
		}
		if err != nil {
			return nil, q.advise(fmt.Errorf("create stream %s (%d replicas, %d MB): %w", want.Name, want.Replicas, want.MaxBytes>>20, err), want)
		}
		return s, nil
	}
}

// adjust makes a stream as it is wanted, if it is not.
func (q *Queue) adjust(ctx context.Context, s jetstream.Stream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	have := s.CachedInfo().Config
	next := adjusted(have, want)
	if next.Replicas > want.Replicas {
		q.Log.Warn("a stream has more copies than INGEST_REPLICAS asks for; it keeps them, so that processes with different settings do not "+
			"change it to and fro", "stream", want.Name, "copies", next.Replicas, "INGEST_REPLICAS", want.Replicas)
	}
	if next.Replicas < want.Replicas {
		q.Log.Warn("a stream keeps its one copy, whatever INGEST_REPLICAS says, as it was made by a server that was alone. It only remembers "+
			"which files were dealt with: stop all processes, delete it, and start them again. Files are read again, and none is paid for twice",
			"stream", want.Name, "INGEST_REPLICAS", want.Replicas)
	}
	if reflect.DeepEqual(have, next) {
		return s, nil
	}
	return q.js.UpdateStream(ctx, next)
}

// adjusted is how a stream is to be that is there, so that any number of processes, whatever their settings, come to the same.
func adjusted(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	next := have
	next.Subjects, next.Retention, next.Discard = want.Subjects, want.Retention, want.Discard
	next.MaxBytes, next.MaxAge = want.MaxBytes, want.MaxAge
	if want.MaxMsgsPerSubject != 0 {
		next.MaxMsgsPerSubject = want.MaxMsgsPerSubject
	}
	next.AllowRollup, next.DenyDelete, next.AllowDirect = want.AllowRollup, want.DenyDelete, want.AllowDirect
	next.AllowMsgTTL, next.SubjectDeleteMarkerTTL = want.AllowMsgTTL, want.SubjectDeleteMarkerTTL
	next.AllowAtomicPublish = want.AllowAtomicPublish
	next.Replicas = max(have.Replicas, want.Replicas)
	if have.PersistMode == jetstream.AsyncPersistMode { // it cannot be changed, and excludes these
		next.Replicas, next.AllowAtomicPublish = have.Replicas, false
	} else if want.PersistMode == jetstream.AsyncPersistMode {
		next.AllowAtomicPublish = true
	}
	return oneCopyIsRead(next)
}

// oneCopyIsRead has messages read from any copy of a stream if there is but one: a replica that lags behind would tell what
// a job was.
func oneCopyIsRead(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.AllowDirect = c.AllowDirect && c.Replicas <= 1
	return c
}

// clustered reports whether the NATS server is one of several.
func (q *Queue) clustered() bool { return q.conn.ConnectedClusterName() != "" }

// warnOfOneCopy says what one copy means where there could be several.
func (q *Queue) warnOfOneCopy() {
	if q.clustered() && q.ledger.CachedInfo().Config.Replicas == 1 {
		q.Log.Warn("each stream has one copy, on one server of the NATS cluster: while that server is down nothing goes on, and if its disk is "+
			"lost, so is what is queued, which files were paid for, and their verdicts. Set INGEST_REPLICAS=3", "INGEST_REPLICAS", q.Replicas)
	}
}
