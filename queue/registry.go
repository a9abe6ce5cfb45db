package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A FileEntry is what a watcher remembers of a file: the version that it has dealt with, and how.
type FileEntry struct {
	Path   string   `json:"path"`
	File   FileID   `json:"file"`
	Drops  []DropID `json:"drops,omitempty"`  // one a model
	Jobs   []JobKey `json:"jobs,omitempty"`   // those that were made of it, or joined
	Cached bool     `json:"cached,omitempty"` // one of its drops was answered at once
	Reason Reason   `json:"reason,omitempty"` // why it was refused; empty: it was submitted

	Since time.Time `json:"since,omitzero"` // when it was dealt with; an entry may be written again for the same version
}

// Entry reads what is remembered of a file; nil is nothing. An entry may be missing for a file that was dealt
// with just before a crash, or just before the registry was full, or because it was damaged.
func (q *Queue) Entry(ctx context.Context, path string) (*FileEntry, error) {
	msg, err := q.last(ctx, q.files, q.ns.file(path))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && len(msg.Data) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the registry for %s: %w", path, err)
	}
	var e FileEntry
	if err := json.Unmarshal(msg.Data, &e); err != nil {
		q.Log.Warn("the registry's entry of a file is damaged; it is taken for new", "file", path, "error", err)
		return nil, nil
	}
	return &e, nil
}

// Remember records that a file was dealt with.
func (q *Queue) Remember(ctx context.Context, e FileEntry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, _, err = q.publish(ctx, write{subject: q.ns.file(e.Path), data: data, last: anySequence, group: q.groups.files})
	return err
}

func (n Namespace) file(path string) string {
	sum := sha256.Sum256([]byte(path))
	return "$KV." + n.name("files") + "." + hex.EncodeToString(sum[:16])
}
