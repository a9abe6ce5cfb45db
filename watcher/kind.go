package watcher

import (
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/authenta/authenta-ingest/queue"
)

// detect tells a file's type by its first bytes, whatever its name says. It looks at 3 kB of them.
func detect(beginning []byte) string {
	base, _, _ := strings.Cut(mimetype.Detect(beginning).String(), ";")
	return base
}

// images are the types that pictures are exchanged in. Others that call themselves images, of drawing programs or of
// icons, show nobody's face.
var images = []string{
	"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff",
	"image/heic", "image/heif", "image/avif", "image/jxl", "image/jp2",
}

func isImage(contentType string) bool { return slices.Contains(images, contentType) }

func isVideo(contentType string) bool { return strings.HasPrefix(contentType, "video/") }

func isMedia(contentType string) bool { return isImage(contentType) || isVideo(contentType) }

// modelsFor returns what judges files of a type; none: they cannot be judged.
func (w *Watcher) modelsFor(contentType string) []queue.Model {
	switch {
	case isImage(contentType):
		return w.Images
	case isVideo(contentType):
		return w.Videos
	}
	return nil
}
