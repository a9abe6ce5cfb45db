package queue

import (
	"context"
	"errors"
	"slices"
)

// lasting reports whether what a URI names stays where it is until its drop is answered. Otherwise the staged bytes are all there
// is of them.
func lasting(uri string) bool {
	_, file := FilePath(uri)
	_, _, object := ObjectName(uri)
	return file == nil || object == nil
}

// stageFor stages a submission's bytes, if that was asked for and not done yet, and notes where they are.
func (q *Queue) stageFor(ctx context.Context, s *Submission) error {
	if s.Bytes == nil {
		return nil
	}
	open, name := s.Bytes, string(s.Drop.ID)
	s.Bytes = nil
	err := q.stage(ctx, staging{name: name, open: open, size: s.Size, job: KeyOf(s.Digest, s.Model), digest: s.Digest})
	if errors.Is(err, ErrTooLarge) && lasting(s.Drop.URI) { // workers that see it can read it where it is
		q.Log.Warn("a file is not staged: only workers that see it can upload it", "file", s.Drop.URI, "error", err)
		return nil
	}
	if err == nil {
		s.Drop.Staged = name
	}
	return err
}

// stageJoined is stageFor a drop that joins a job in work. That has bytes already, those of its other drops, so that another copy
// is only needed if they may be lost: one that is staged stays until the job has ended. Others are where they are found as long
// as somebody leaves them there. While they are to be uploaded yet, a copy in the bucket makes sure that every worker can do it;
// once they are, bytes are needed again only if the platform loses them, and that should not cost a drop that has no other place.
func (q *Queue) stageJoined(ctx context.Context, j Job, s *Submission) error {
	staged := slices.ContainsFunc(j.Drops, func(d Drop) bool { return d.Staged != "" })
	if staged || j.State == Uploaded && lasting(s.Drop.URI) {
		return nil
	}
	return q.stageFor(ctx, s)
}

// needsBytes reports whether the job's bytes may be asked for: it is in work, or a retry may go on with it.
func (j Job) needsBytes() bool {
	return !j.State.ended() || j.State == Failed && j.Fault.Reason.Retryable()
}

// stages reports whether a drop of the job has its bytes in an object.
func (j Job) stages(name string) bool {
	return slices.ContainsFunc(j.Drops, func(d Drop) bool { return d.Staged == name })
}

// discard removes the staged bytes of drops that a job does not need. What cannot be removed is swept: it holds nothing up.
func (q *Queue) discard(ctx context.Context, j Job, drops ...Drop) {
	for _, d := range drops {
		if d.Staged == "" || j.needsBytes() && j.stages(d.Staged) {
			continue
		}
		if err := q.Unstage(ctx, d.Staged); err != nil {
			q.Log.Debug("staged bytes are left to the sweep", "job", j.Key, "error", err)
		}
	}
}
