package queue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

func TestWhatIsRememberedOfAFileIsReadBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := s.Registry("a")
	for _, path := range []string{"/in/a.mp4", "/in/with space/*.>", "/in/\xff invalid", "/in/अ.jpg"} {
		k := queue.FileKeyOf(path)
		if e, err := r.Entry(deadline(t), k); e != nil || err != nil {
			t.Errorf("%q: %v, %v before anything was remembered", path, e, err)
		}
		want := entryFor(path)
		for _, reason := range []queue.Reason{queue.Unreadable, ""} { // the later one counts
			want.Reason = reason
			if err := r.Remember(deadline(t), k, want); err != nil {
				t.Fatal(err)
			}
		}
		got, err := r.Entry(deadline(t), k)
		if err != nil || fmt.Sprint(got.URI, got.File, got.Drops, got.Reason) != fmt.Sprint(want.URI, want.File, want.Drops, want.Reason) {
			t.Errorf("%q: %+v, %v, want %+v", path, got, err, want)
		}
		if back, err := queue.FilePath(got.URI); back != path || err != nil {
			t.Errorf("%q came back as %q, %v", path, back, err)
		}
		if e, err := s.Registry("b").Entry(deadline(t), k); e != nil || err != nil {
			t.Errorf("%q: another machine remembers %v, %v", path, e, err)
		}
	}
}

func entryFor(path string) queue.FileEntry {
	return queue.FileEntry{
		URI: queue.FileURI(path), Drops: []queue.DropID{"a", "b"},
		File: queue.FileID{Device: 1, Inode: 2, Size: 3, ModTime: time.Unix(1, 23).UTC(), ChangeTime: time.Unix(2, 34).UTC()},
	}
}

// Whoever follows a registry knows at any time what reading it would tell.
func TestARegistryIsFollowed(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r, other := s.Registry("a"), s.Registry("b")
	k, e := queue.FileKeyOf("/in/a"), entryFor("/in/a")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.Remember(deadline(t), k, e))
	must(other.Remember(deadline(t), queue.FileKeyOf("/in/b"), e))
	marks, caughtUp := make(chan queue.FileMark, 10), make(chan struct{})
	follow(t, func(ctx context.Context) error {
		return r.Follow(ctx, func(m queue.FileMark) { marks <- m }, func() { close(caughtUp) })
	})
	want := func(m queue.FileMark) {
		t.Helper()
		select {
		case got := <-marks:
			if got != m {
				t.Errorf("heard %+v, want %+v", got, m)
			}
		case <-deadline(t).Done():
			t.Fatalf("did not hear of %+v", m)
		}
	}
	mark := queue.FileMark{Key: k, Print: e.File.Print()}
	want(mark)
	<-caughtUp
	e.Reason, e.Owed = queue.Unreadable, []queue.JobKey{"job"}
	mark.Again, mark.Owed = true, true
	must(r.Remember(deadline(t), k, e))
	want(mark)
	read := func() queue.FileEntry {
		t.Helper()
		e, err := r.Entry(deadline(t), k)
		must(err)
		return *e
	}
	must(r.Forget(deadline(t), k, read()))
	want(queue.FileMark{Key: k})
	e.Reason, e.Owed = "", nil
	must(r.Remember(deadline(t), k, e))
	want(queue.FileMark{Key: k, Print: e.File.Print()})
	old := read()
	must(r.Alter(deadline(t), k, read(), time.Second))
	for what, err := range map[string]error{"altered": r.Alter(deadline(t), k, old, 0), "forgotten": r.Forget(deadline(t), k, old)} {
		if !errors.Is(err, queue.ErrConflict) {
			t.Errorf("an old entry is %s: %v", what, err)
		}
	}
	want(queue.FileMark{Key: k, Print: e.File.Print(), Expiring: true})
	want(queue.FileMark{Key: k}) // it has gone by itself
	if got, err := r.Entry(deadline(t), k); got != nil || err != nil {
		t.Errorf("left: %v, %v", got, err)
	}
}

// follow has something run until the test ends.
func follow(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestTheSameFileHasTheSamePrintAndOthersHaveNot(t *testing.T) {
	t.Parallel()
	id := entryFor("").File
	for name, change := range map[string]struct {
		do          func(*queue.FileID)
		same, alike bool
	}{
		"nothing":     {func(*queue.FileID) {}, true, true},
		"zone":        {func(f *queue.FileID) { f.ModTime = f.ModTime.Local() }, true, true},
		"device":      {func(f *queue.FileID) { f.Device++ }, true, true},
		"inode":       {func(f *queue.FileID) { f.Inode++ }, false, false},
		"size":        {func(f *queue.FileID) { f.Size++ }, false, false},
		"time":        {func(f *queue.FileID) { f.ModTime = f.ModTime.Add(1) }, false, false},
		"change time": {func(f *queue.FileID) { f.ChangeTime = f.ChangeTime.Add(1) }, false, true},
	} {
		other := id
		change.do(&other)
		if id.Same(other) != change.same || id.Alike(other) != change.alike || (id.Print() == other.Print()) != change.same {
			t.Errorf("%s: same %t, alike %t, prints %x and %x", name, id.Same(other), id.Alike(other), id.Print(), other.Print())
		}
	}
}

func TestADropIsTheSameWhereverItsFileIsMounted(t *testing.T) {
	file := queue.FileID{Device: 1, Inode: 2, Size: 3, ModTime: t1}
	id := func(change func(uri *string, f *queue.FileID, d *queue.Digest, m *queue.Model)) queue.DropID {
		uri, f, d, m := "file:///a", file, queue.Digest("d"), queue.Model("DF-1")
		change(&uri, &f, &d, &m)
		return queue.DropIDOf(uri, f, d, m)
	}
	type (
		s = *string
		f = *queue.FileID
		d = *queue.Digest
		m = *queue.Model
	)
	first := id(func(s, f, d, m) {})
	if same := id(func(_ s, file f, _ d, _ m) {
		file.Device, file.Inode, file.ModTime, file.ChangeTime = 8, 9, t1.Local(), t2
	}); same != first {
		t.Error("another device or zone is another drop")
	}
	for what, other := range map[string]queue.DropID{
		"place":   id(func(uri s, _ f, _ d, _ m) { *uri = "file:///b" }),
		"size":    id(func(_ s, file f, _ d, _ m) { file.Size++ }),
		"time":    id(func(_ s, file f, _ d, _ m) { file.ModTime = t2 }),
		"content": id(func(_ s, _ f, digest d, _ m) { *digest = "e" }),
		"model":   id(func(_ s, _ f, _ d, model m) { *model = "AC-1" }),
	} {
		if other == first {
			t.Errorf("another %s is the same drop", what)
		}
	}
}
