package queue_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

func TestWhatIsRememberedOfAFileIsReadBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, path := range []string{"/in/a.mp4", "/in/with space/*.>", "/in/\xff invalid", "/in/अ.jpg"} {
		if e, err := s.Entry(deadline(t), path); e != nil || err != nil {
			t.Errorf("%q: %v, %v before anything was remembered", path, e, err)
		}
		want := queue.FileEntry{
			Path: path, File: queue.FileID{Device: 1, Inode: 2, Size: 3, ModTime: time.Unix(1, 23).UTC()},
			Drops: []queue.DropID{"a", "b"},
		}
		for _, reason := range []queue.Reason{queue.Unreadable, ""} { // the later one counts
			want.Reason = reason
			if err := s.Remember(deadline(t), want); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Entry(deadline(t), path)
		if err != nil || got == nil {
			t.Fatalf("%q: %v, %v", path, got, err)
		}
		got.Path = path // JSON has no room for invalid UTF-8
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: %+v, want %+v", path, *got, want)
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
	if same := id(func(_ s, file f, _ d, _ m) { file.Device, file.Inode, file.ModTime = 8, 9, t1.Local() }); same != first {
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
