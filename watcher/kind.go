package watcher

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/authenta/authenta-ingest/queue"
)

// detect tells a file's type by its first bytes, whatever its name says, and leaves the file at its beginning.
func detect(f *os.File) (string, error) {
	t, err := mimetype.DetectReader(f)
	if err != nil {
		return "", fmt.Errorf("read the beginning: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	base, _, _ := strings.Cut(t.String(), ";")
	return base, nil
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
