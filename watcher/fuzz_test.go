package watcher

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// typeAndSubtype is what a content type may be, since it becomes a header.
var typeAndSubtype = regexp.MustCompile(`^[a-z]+/[a-z0-9.+_-]+$`)

// FuzzDetect looks at the beginning of files that say nothing but that they are there.
func FuzzDetect(f *testing.F) {
	path := filepath.Join(f.TempDir(), "file.jpg")
	w := Watcher{Options: Options{Images: []queue.Model{"IMG"}, Videos: []queue.Model{"VID"}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		contentType := detected(t, path, data)
		if !typeAndSubtype.MatchString(contentType) {
			t.Errorf("content type %q", contentType)
		}
		models := w.modelsFor(contentType)
		if isMedia(contentType) != (len(models) == 1) || isImage(contentType) && isVideo(contentType) {
			t.Errorf("%s is judged by %v", contentType, models)
		}
		// A file that is longer than what is looked at is what its beginning says.
		long := slices.Concat(data, bytes.Repeat([]byte{0}, 4096))
		if a, b := detected(t, path, long), detected(t, path, append(long, "\xff\xd8\xff and more"...)); a != b {
			t.Errorf("%s becomes %s by what comes at its end", a, b)
		}
	})
}

func detected(t *testing.T, path string, data []byte) string {
	t.Helper()
	file, err := os.Open(put(t, path, data))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	contentType, err := detect(file)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := file.Seek(0, io.SeekCurrent); at != 0 || err != nil {
		t.Errorf("left at byte %d, %v, want the beginning", at, err)
	}
	return contentType
}
