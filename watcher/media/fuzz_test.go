package media

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// typeAndSubtype is what a content type may be, since it becomes a header.
var typeAndSubtype = regexp.MustCompile(`^[a-z]+/[a-z0-9.+_-]+$`)

// FuzzDetect looks at the beginning of files that say nothing but that they are there.
func FuzzDetect(f *testing.F) {
	m := Models{Images: []queue.Model{"IMG"}, Videos: []queue.Model{"VID"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		contentType := Detect(data)
		if !typeAndSubtype.MatchString(contentType) {
			t.Errorf("content type %q", contentType)
		}
		models := m.For(contentType)
		if Is(contentType) != (len(models) == 1) || isImage(contentType) && isVideo(contentType) {
			t.Errorf("%s is judged by %v", contentType, models)
		}
		// A file that is longer than what is looked at is what its beginning says.
		long := slices.Concat(data, bytes.Repeat([]byte{0}, 4096))
		if a, b := Detect(long), Detect(append(long, "\xff\xd8\xff and more"...)); a != b {
			t.Errorf("%s becomes %s by what comes at its end", a, b)
		}
	})
}
