package queue_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/authenta/authenta-ingest/queue"
)

func TestOnlyFileURIsAreFiles(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"file:///in/a.mp4":            "/in/a.mp4",
		"file:///in/a%20b%25%3F.mp4":  "/in/a b%?.mp4",
		"file:///in/%E0%A4%85.mp4":    "/in/अ.mp4",
		"https://host/a.mp4":          "",
		"nats-object://bucket/a.mp4":  "",
		"/in/a.mp4":                   "",
		"file:":                       "",
		"":                            "",
		"file:///in/%zz.mp4":          "",
		"file:///in/with\x00zero.mp4": "",
	} {
		got, err := queue.FilePath(uri)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", uri, got, err, want)
		}
	}
}

// FuzzFilePath reads URIs of files. What is taken names one file, and this one only.
func FuzzFilePath(f *testing.F) {
	f.Fuzz(func(t *testing.T, uri string) {
		if back, err := queue.FilePath(queue.FileURI("/" + uri)); err != nil || back != "/"+uri {
			t.Errorf("the file /%s is named %s, which is %q, %v", uri, queue.FileURI("/"+uri), back, err)
		}
		path, err := queue.FilePath(uri)
		if err != nil {
			if path != "" || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q, %q", path, err)
			}
			return
		}
		if !strings.HasPrefix(path, "/") {
			t.Errorf("%q is no whole path", path)
		}
		if again, err := queue.FilePath(queue.FileURI(path)); err != nil || again != path {
			t.Errorf("%q, and then %q, %v", path, again, err)
		}
		if _, rest, _ := strings.Cut(uri, ":"); strings.ContainsAny(rest, "?#") || strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///") {
			t.Errorf("%q was read as %q", uri, path)
		}
	})
}
