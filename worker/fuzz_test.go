package worker

import (
	"strings"
	"testing"
	"unicode"
)

// FuzzFilePath reads URIs of files. What is taken names one file, and this one only.
func FuzzFilePath(f *testing.F) {
	f.Fuzz(func(t *testing.T, uri string) {
		if back, err := filePath(uriOf("/" + uri)); err != nil || back != "/"+uri {
			t.Errorf("the file /%s is named %s, which is %q, %v", uri, uriOf("/"+uri), back, err)
		}
		path, err := filePath(uri)
		if err != nil {
			if path != "" || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q, %q", path, err)
			}
			return
		}
		if !strings.HasPrefix(path, "/") {
			t.Errorf("%q is no whole path", path)
		}
		if again, err := filePath(uriOf(path)); err != nil || again != path {
			t.Errorf("%q, and then %q, %v", path, again, err)
		}
		if _, rest, _ := strings.Cut(uri, ":"); strings.ContainsAny(rest, "?#") || strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///") {
			t.Errorf("%q was read as %q", uri, path)
		}
	})
}
