package filter

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// FuzzFilter gives the filter any patterns and any path. What is refused is said on one line a mistake; a file counts only
// if every folder above it is entered; and patterns mean the same as in the plain reading of them.
func FuzzFilter(f *testing.F) {
	f.Fuzz(func(t *testing.T, include, exclude, suffix, path string, depth uint8) {
		if len(include)+len(exclude)+len(path) > 1000 {
			t.Skip("longer says nothing more")
		}
		o := Options{Include: list(include), Exclude: list(exclude), DoneSuffix: suffix, MaxDepth: int(depth % 8)}
		filter, err := New(o)
		if err != nil {
			if lines := strings.Count(err.Error(), "\n") + 1; lines > len(o.Include)+len(o.Exclude)+2 {
				t.Errorf("%d lines for %d patterns: %v", lines, len(o.Include)+len(o.Exclude), err)
			}
			return
		}
		counts := filter.File(path)
		for i := range len(path) {
			if path[i] != '/' {
				continue
			}
			if !filter.Folder(path[:i]) && (counts || filter.Folder(path)) {
				t.Errorf("%q counts below %q, which is left out", path, path[:i])
			}
		}
		if file, ok := filter.Marked(path); ok && (counts || !strings.EqualFold(filter.Marker(file), path)) {
			t.Errorf("the marker %q of %q counts: %v", path, file, counts)
		}
		if strings.ToLower(path) == path && utf8.ValidString(path) && isASCII(path) && filter.File(strings.ToUpper(path)) != counts {
			t.Errorf("letter case matters to %q", path)
		}
		if path == "" || strings.Contains("/"+path+"/", "//") {
			return // no file has that path
		}
		for _, pattern := range append(o.Include, o.Exclude...) {
			for _, p := range expand(strings.ToLower(pattern)) {
				g, err := newGlob(p)
				if err != nil {
					t.Fatal(err)
				}
				path := strings.ToLower(path)
				if got, want := matchFile([]glob{g}, path, base(path)), bySegments(p, path); !g.name && got != want {
					t.Errorf("%q matches the file %q: %v, want %v", p, path, got, want)
				}
			}
		}
	})
}

// FuzzNames takes any name for a pattern, each character of it escaped. It matches that name and no other.
func FuzzNames(f *testing.F) {
	f.Fuzz(func(t *testing.T, name, other string) {
		if strings.Contains(name, "/") || strings.Contains(other, "/") {
			t.Skip("no name has a slash")
		}
		var pattern strings.Builder
		for _, r := range name {
			pattern.WriteString(`\` + string(r))
		}
		filter, err := New(Options{Include: []string{pattern.String()}})
		if valid := name != "" && utf8.ValidString(name) && !strings.ContainsRune(name, utf8.RuneError); (err == nil) != valid {
			t.Fatalf("name %q: %v", name, err)
		}
		if err != nil {
			return
		}
		var none *Filter
		if filter.File(name) != none.File(name) {
			t.Errorf("%q does not match %q", pattern.String(), name)
		}
		if filter.File(other) && strings.Map(unicode.ToLower, other) != strings.Map(unicode.ToLower, name) {
			t.Errorf("%q matches %q", pattern.String(), other)
		}
	})
}

// bySegments is what a pattern with slashes means for a file: ** is any number of folders, and each other part is that of
// one name.
func bySegments(pattern, path string) bool {
	first, rest, more := strings.Cut(pattern, "/")
	if first == "**" && !more {
		return true
	}
	name, below, deeper := strings.Cut(path, "/")
	if first == "**" {
		return bySegments(rest, path) || deeper && bySegments(pattern, below)
	}
	if !doublestar.MatchUnvalidated(first, name) || more != deeper {
		return false
	}
	return !more || bySegments(rest, below)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}
