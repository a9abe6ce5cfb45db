package watcher

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// known mirrors the registry of files in memory, some 50 bytes a file, so that a scan of a million known files asks
// nobody. It is safe for concurrent use.
type known struct {
	registry *queue.Registry
	loaded   chan struct{} // closed when it has all that the registry has

	mu    sync.Mutex
	files map[queue.FileKey]trace
}

// A trace is what is held of a file.
type trace struct {
	print    queue.FilePrint // of the version that was dealt with
	scan     uint32          // the last one that has seen it; 0: none of this run
	root     int16           // whose scans those are; see unplaced, foreign
	again    bool            // every scan has it dealt with again
	owed     bool            // something is to be done with it
	expiring bool            // it had vanished, and is about to be forgotten
}

const (
	unplaced = -1 // not seen in this run: only its entry tells where it was
	foreign  = -2 // below none of our folders: another daemon's, or one's that was watched before
)

func newKnown(r *queue.Registry) *known {
	return &known{registry: r, loaded: make(chan struct{}), files: map[queue.FileKey]trace{}}
}

// run keeps the mirror true until ctx ends.
func (k *known) run(ctx context.Context) error {
	return k.registry.Follow(ctx, k.note, func() { close(k.loaded) })
}

// note takes over what the registry says of a file.
func (k *known) note(m queue.FileMark) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m.Print == 0 {
		delete(k.files, m.Key)
		return
	}
	t, ok := k.files[m.Key]
	if !ok {
		t.root = unplaced
	}
	t.print, t.again, t.owed, t.expiring = m.Print, m.Again, m.Owed, m.Expiring
	k.files[m.Key] = t
}

// remember records that a file was dealt with.
func (k *known) remember(ctx context.Context, path string, e queue.FileEntry) error {
	key := queue.FileKeyOf(path)
	if err := k.registry.Remember(ctx, key, e); err != nil {
		return err
	}
	k.note(e.Mark(key))
	return nil
}

// alter writes an entry that was read, with what was changed in it, unless somebody else has changed it: then it is of
// another version. With a life, it goes by itself after that.
func (k *known) alter(ctx context.Context, key queue.FileKey, e queue.FileEntry, life time.Duration) error {
	err := k.registry.Alter(ctx, key, e, life)
	if errors.Is(err, queue.ErrConflict) {
		return nil
	}
	if err == nil {
		mark := e.Mark(key)
		mark.Expiring = life > 0
		k.note(mark)
	}
	return err
}

// A memory is what is known of a file.
type memory struct {
	ever     bool // some version of it was dealt with
	done     bool // this version was, for good
	expiring bool // it had vanished
}

func (t trace) memoryOf(id queue.FileID) memory {
	return memory{ever: true, done: t.print == id.Print() && !t.again, expiring: t.expiring}
}

// of returns what is known of a version of a file.
func (k *known) of(path string, id queue.FileID) memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t, ok := k.files[queue.FileKeyOf(path)]; ok {
		return t.memoryOf(id)
	}
	return memory{}
}

// forget removes an entry that was read, likewise.
func (k *known) forget(ctx context.Context, key queue.FileKey, e queue.FileEntry) error {
	err := k.registry.Forget(ctx, key, e)
	if errors.Is(err, queue.ErrConflict) {
		return nil
	}
	if err == nil {
		k.note(queue.FileMark{Key: key})
	}
	return err
}

// owed lists the files that something is to be done with.
func (k *known) owed() []queue.FileKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []queue.FileKey
	for key, t := range k.files {
		if t.owed {
			keys = append(keys, key)
		}
	}
	return keys
}

// see is of, for a scan, which is noted.
func (k *known) see(key queue.FileKey, id queue.FileID, root int, scan uint32) memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.files[key]
	if !ok {
		return memory{}
	}
	t.root, t.scan = int16(root), scan
	k.files[key] = t
	return t.memoryOf(id)
}

// place notes where a file was that no scan of this run has seen.
func (k *known) place(key queue.FileKey, root int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t, ok := k.files[key]; ok && t.root == unplaced {
		t.root = int16(root)
		k.files[key] = t
	}
}

// missing lists the files of a root that its latest scan has not seen, and those that may be its; at most limit.
func (k *known) missing(root int, scan uint32, limit int) []queue.FileKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []queue.FileKey
	for key, t := range k.files {
		if len(keys) == limit {
			break
		}
		if !t.expiring && (t.root == unplaced || t.root == int16(root) && t.scan < scan) {
			keys = append(keys, key)
		}
	}
	return keys
}
