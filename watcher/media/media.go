// Package media knows which contents are media, and which models judge them.
//
// What a file is its first bytes say, whatever it is called.
package media

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/authenta/authenta-ingest/queue"
)

// Beginning is how many of a file's first bytes [Detect] looks at.
const Beginning = 3072

// Detect tells a file's content type by its first bytes; of more than [Beginning], the rest is not looked at.
func Detect(beginning []byte) string {
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

// Is reports whether a content type is one that some model may judge.
func Is(contentType string) bool { return isImage(contentType) || isVideo(contentType) }

// Models are those that judge what arrives, by its kind.
type Models struct {
	Images []queue.Model
	Videos []queue.Model
}

// For returns what judges files of a type; none: they cannot be judged.
func (m Models) For(contentType string) []queue.Model {
	switch {
	case isImage(contentType):
		return m.Images
	case isVideo(contentType):
		return m.Videos
	}
	return nil
}

// platform are the models of the platform that need nothing but the file, as its documentation has them.
var platform = Models{Images: []queue.Model{"AC-1", "FD-1", "FE-1", "FI-1"}, Videos: []queue.Model{"DF-1", "FI-1"}}

// Known reports whether a model can be asked for by its name: it is the platform's, or configured.
func (m Models) Known(model queue.Model) bool { return m.takesImages(model) || m.takesVideos(model) }

// Takes reports whether a model that is known judges files of a type.
func (m Models) Takes(model queue.Model, contentType string) bool {
	return isImage(contentType) && m.takesImages(model) || isVideo(contentType) && m.takesVideos(model)
}

func (m Models) takesImages(model queue.Model) bool {
	return slices.Contains(m.Images, model) || slices.Contains(platform.Images, model)
}

func (m Models) takesVideos(model queue.Model) bool {
	return slices.Contains(m.Videos, model) || slices.Contains(platform.Videos, model)
}

// Unsupported says why no model takes a content.
func Unsupported(contentType string, size int64) queue.Fault {
	what := "a file of type " + contentType
	if size == 0 {
		what = "an empty file"
	}
	return queue.Fault{Reason: queue.Unsupported, Message: fmt.Sprintf("%s is no image or video that can be judged", what)}
}
