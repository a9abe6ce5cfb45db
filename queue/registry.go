package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A FileEntry is what a watcher remembers of a file: the version that it has dealt with, and how.
type FileEntry struct {
	URI    string   `json:"uri"`
	File   FileID   `json:"file"`
	Drops  []DropID `json:"drops,omitempty"`  // one a model
	Jobs   []JobKey `json:"jobs,omitempty"`   // those that were made of it, or joined
	Cached bool     `json:"cached,omitempty"` // one of its drops was answered at once
	Reason Reason   `json:"reason,omitempty"` // why it was refused; empty: it was submitted

	// Owed are the jobs whose answers are waited for before something is done with the file, in the order of Drops; an empty
	// key stands for a refusal. No keys: nothing is to be done.
	Owed []JobKey `json:"owed,omitempty"`

	Since time.Time `json:"since,omitzero"` // when it was dealt with; an entry may be written again for the same version

	revision uint64 // when it was read
}

// A FileKey names a file in a registry.
type FileKey [16]byte

// FileKeyOf returns the key of the file at a path.
func FileKeyOf(path string) FileKey {
	sum := sha256.Sum256([]byte(path))
	return FileKey(sum[:16])
}

// A Registry is what the watchers of one machine remember of its files. It is safe for concurrent use.
type Registry struct {
	q    *Queue
	host string // as a token of subjects
}

// Registry returns the registry of a machine. Machines that share a broker have different names; where there is but one,
// it needs none.
func (q *Queue) Registry(host string) *Registry {
	sum := sha256.Sum256([]byte(host))
	return &Registry{q: q, host: hex.EncodeToString(sum[:4])}
}

func (r *Registry) subject(key string) string {
	return r.q.ns.fileSubject(r.host + "." + key)
}

func (k FileKey) String() string { return hex.EncodeToString(k[:]) }

func (n Namespace) fileSubject(s string) string { return "$KV." + n.name("files") + "." + s }

// Entry reads what is remembered of a file; nil is nothing. An entry may be missing for a file that was dealt
// with just before a crash, or just before the registry was full, or because it was damaged.
func (r *Registry) Entry(ctx context.Context, k FileKey) (*FileEntry, error) {
	msg, err := r.q.last(ctx, r.q.files, r.subject(k.String()))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && len(msg.Data) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the registry of files: %w", err)
	}
	e := FileEntry{revision: msg.Sequence}
	if err := json.Unmarshal(msg.Data, &e); err != nil {
		r.q.Log.Warn("the registry's entry of a file is damaged; it is taken for new", "entry", k.String(), "error", err)
		return nil, nil
	}
	return &e, nil
}

// Remember records that a file was dealt with, whatever was recorded before.
func (r *Registry) Remember(ctx context.Context, k FileKey, e FileEntry) error {
	return r.write(ctx, k, e, anySequence, 0)
}

// Alter writes an entry over the one that it was read as, or returns ErrConflict. If it has a life, which is in whole
// seconds, it goes by itself after that, unless it is written again.
func (r *Registry) Alter(ctx context.Context, k FileKey, e FileEntry, life time.Duration) error {
	return r.write(ctx, k, e, int64(e.revision), life)
}

func (r *Registry) write(ctx context.Context, k FileKey, e FileEntry, last int64, life time.Duration) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	w := write{subject: r.subject(k.String()), data: data, last: last, ttl: life, file: e.Mark(k).header()}
	if last == anySequence { // else it has to be heard whether it was taken
		w.group = r.q.groups.files
	}
	_, err = r.q.publish(ctx, w)
	return err
}

// Forget removes an entry that was read, or returns ErrConflict if it was written since.
func (r *Registry) Forget(ctx context.Context, k FileKey, e FileEntry) error {
	w := write{subject: r.subject(k.String()), last: int64(e.revision), ttl: time.Minute, removal: true}
	_, err := r.q.publish(ctx, w)
	return err
}

// A FileMark is what can be known of an entry without reading it.
type FileMark struct {
	Key      FileKey
	Print    FilePrint // of its FileID; 0: there is no entry any more
	Again    bool      // it is to be dealt with again, see [FileEntry.Again]
	Owed     bool      // something is to be done with it
	Expiring bool      // it will go by itself
}

// Again reports whether a file is to be dealt with again, though it is the same: it may be readable by now, or what is to be
// done with it after its refusal is not done.
func (e FileEntry) Again() bool { return e.Reason == Unreadable || e.Reason != "" && len(e.Owed) > 0 }

// Mark returns what Follow tells of an entry that is remembered.
func (e FileEntry) Mark(k FileKey) FileMark {
	return FileMark{Key: k, Print: e.File.Print(), Again: e.Again(), Owed: len(e.Owed) > 0}
}

func (m FileMark) header() string {
	s := strconv.FormatUint(uint64(m.Print), 16)
	if m.Again {
		s += " again"
	}
	if m.Owed {
		s += " owed"
	}
	return s
}

// markOf reads a mark from an entry's headers. What has none is no entry: a removal.
func markOf(k FileKey, h nats.Header) FileMark {
	first, rest, _ := strings.Cut(h.Get(fileHeader), " ")
	print, err := strconv.ParseUint(first, 16, 64)
	if err != nil {
		return FileMark{Key: k}
	}
	return FileMark{
		Key: k, Print: FilePrint(print), Again: strings.Contains(rest, "again"), Owed: strings.Contains(rest, "owed"),
		Expiring: h.Get(jetstream.MsgTTLHeader) != "",
	}
}

// Follow hands over the marks of all entries, calls caughtUp once, and then hands over each that changes, until ctx ends.
func (r *Registry) Follow(ctx context.Context, receive func(FileMark), caughtUp func()) error {
	return r.q.read(ctx, r.q.files.CachedInfo().Config.Name, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{r.subject("*")}, HeadersOnly: true,
	}, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) {
		var k FileKey
		if n, err := hex.Decode(k[:], []byte(lastToken(msg.Subject()))); err == nil && n == len(k) {
			receive(markOf(k, msg.Headers()))
		}
	}, caughtUp)
}
