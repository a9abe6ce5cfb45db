package media

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

// samples are real files, of the end-to-end tests.
const samples = "../../cmd/authenta-ingest/testdata/media"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheFirstBytesSayWhichModelJudges(t *testing.T) {
	t.Parallel()
	const image, video, none = "IMG", "VID", ""
	box := func(brand string) []byte {
		return []byte("\x00\x00\x00\x18ftyp" + brand + "\x00\x00\x00\x00" + brand + "isom" + "\x00\x00\x00\x08free")
	}
	for name, c := range map[string]struct {
		data []byte
		want string // content type
		kind queue.Model
	}{
		"jpg":            {sample(t, "portrait.jpg"), "image/jpeg", image},
		"png":            {sample(t, "collage.png"), "image/png", image},
		"mp4":            {sample(t, "interview.mp4"), "video/mp4", video},
		"webm":           {sample(t, "street.webm"), "video/webm", video},
		"mov":            {sample(t, "phone.mov"), "video/quicktime", video},
		"mov, old":       {[]byte("\x00\x00\x00\x08wide\x00\x00\x10\x00mdat"), "video/quicktime", video},
		"gif":            {[]byte("GIF89a\x01\x00\x01\x00"), "image/gif", image},
		"webp":           {[]byte("RIFF\x10\x00\x00\x00WEBPVP8 "), "image/webp", image},
		"heic":           {box("heic"), "image/heic", image},
		"avif":           {box("avif"), "image/avif", image},
		"m4v":            {box("M4V "), "video/x-m4v", video},
		"3gp":            {box("3gp4"), "video/3gpp", video},
		"avi":            {[]byte("RIFF\x10\x00\x00\x00AVI LIST\x10\x00\x00\x00hdrl"), "video/x-msvideo", video},
		"mpeg":           {[]byte("\x00\x00\x01\xba\x44\x00"), "video/mpeg", video},
		"m4a":            {box("M4A "), "audio/x-m4a", none},
		"wav":            {[]byte("RIFF\x10\x00\x00\x00WAVEfmt "), "audio/wav", none},
		"svg":            {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>`), "image/svg+xml", none},
		"svg, declared":  {[]byte(`<?xml version="1.0" encoding="UTF-8"?><svg xmlns="http://www.w3.org/2000/svg"/>`), "image/svg+xml", none},
		"text":           {[]byte("a note about clip.mp4\n"), "text/plain", none},
		"html":           {[]byte("<!DOCTYPE html><html></html>"), "text/html", none},
		"pdf":            {[]byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "application/pdf", none},
		"zip":            {[]byte("PK\x03\x04\x14\x00\x00\x00\x08\x00clip.mp4"), "application/zip", none},
		"one byte":       {[]byte{0xff}, "text/plain", none},
		"zeros":          {make([]byte, 100), "application/octet-stream", none},
		"jpg, too late":  {append([]byte("\x00"), sample(t, "portrait.jpg")...), "application/octet-stream", none},
		"nothing at all": {nil, "text/plain", none}, // the intake looks at the size first
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Detect(c.data)
			if got != c.want {
				t.Errorf("content type %q, want %q", got, c.want)
			}
			m := Models{Images: []queue.Model{image}, Videos: []queue.Model{video}}
			var kind queue.Model
			if models := m.For(got); len(models) > 0 {
				kind = models[0]
			}
			if kind != c.kind {
				t.Errorf("judged by %q, want %q", kind, c.kind)
			}
			if Is(got) != (c.kind != none) {
				t.Errorf("%s is media: %v", got, Is(got))
			}
		})
	}
}
