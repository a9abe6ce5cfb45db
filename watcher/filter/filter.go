// Package filter decides, by names, places and sizes, which files below a watched folder count.
//
// It is a calculation: it looks at no disk, and its answers depend on nothing but the options. Names are bytes as the
// file system has them; letter case is ignored throughout, because cameras write IMG_1.JPG. A folder that is left out is
// left out with all below it.
//
// Whatever the options say, names that are never media are left out: hidden ones, other programs' half-written files,
// what systems and shares keep for themselves, and our own sidecars (see ignored).
package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Options say which files count. The zero value lets every name through that may be media.
type Options struct {
	// Include and Exclude are globs of doublestar's syntax (*, ?, [a-z], {a,b}, and ** for any number of folders). One
	// without a slash matches a name at any depth; one with a slash, the path below the watched folder. If Include is set,
	// only files count that match one of it. What matches Exclude is left out all the same; a folder, with all below it.
	Include, Exclude []string

	MinSize, MaxSize int64  // bytes, both inclusive; a MaxSize of 0 is no limit
	MaxDepth         int    // folders deep; 1 is the watched folder alone, 0 is no limit
	DoneSuffix       string // if set, clip.mp4 counts only when clip.mp4 + DoneSuffix is there too; those are never media
}

// A Filter is Options made ready. Nil is the zero Options. It is safe for concurrent use.
type Filter struct {
	options          Options
	include, exclude []glob
}

// New returns the filter of the options, or all mistakes in them, joined, each on a line of its own and naming the value.
func New(o Options) (*Filter, error) {
	f := &Filter{options: o}
	var mistakes []error
	for _, list := range []struct {
		to       *[]glob
		patterns []string
	}{{&f.include, o.Include}, {&f.exclude, o.Exclude}} {
		for _, p := range list.patterns {
			globs, err := compile(p)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("pattern %q: %w", p, err))
			}
			*list.to = append(*list.to, globs...)
		}
	}
	mistakes = append(mistakes, o.checkLimits(), checkSuffix(o.DoneSuffix))
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return f, nil
}

func (o Options) checkLimits() error {
	switch {
	case o.MinSize < 0 || o.MaxSize < 0:
		return fmt.Errorf("sizes from %d to %d bytes: want 0 or more", o.MinSize, o.MaxSize)
	case o.MaxSize > 0 && o.MinSize > o.MaxSize:
		return fmt.Errorf("at least %d and at most %d bytes is no file's size: swap the two", o.MinSize, o.MaxSize)
	case o.MaxDepth < 0:
		return fmt.Errorf("a depth of %d: want 1 for the watched folder alone, 2 for the folders in it too, or 0 for all", o.MaxDepth)
	}
	return nil
}

// checkSuffix refuses what no name can end in, or what must be a slip. Blanks at the ends would not be seen.
func checkSuffix(s string) error {
	switch {
	case !isText(s), strings.ContainsAny(s, "/*"), strings.ContainsFunc(s, unicode.IsControl), strings.TrimSpace(s) != s:
		return fmt.Errorf("suffix %q: want the end of a name, such as .done", s)
	case len(s) > 100: // a name has 255 bytes, and most of them should be left to the file
		return fmt.Errorf("suffix %.20q...: want 100 bytes or fewer", s)
	}
	return nil
}

// none is the filter that a nil one stands for.
var none Filter

// Folder reports whether a folder is to be entered. Its path is relative to the watched folder and has slashes; the
// watched folder itself, "" or ".", always is.
func (f *Filter) Folder(rel string) bool {
	if f == nil {
		f = &none
	}
	if rel == "" || rel == "." {
		return true
	}
	path := strings.ToLower(rel)
	return f.entered(path) && !f.leftOutFolder(path) && !f.tooDeep(depth(path)+1) // the depth of what is in it
}

// File reports whether a file counts by its name and place. It does not if any folder it lies in is left out.
func (f *Filter) File(rel string) bool {
	if f == nil {
		f = &none
	}
	path := strings.ToLower(rel)
	name := base(path)
	switch {
	case f.tooDeep(depth(path)), ignored(name), f.isMarker(rel), !f.entered(path):
		return false
	case len(f.include) > 0 && !matchFile(f.include, path, name):
		return false
	}
	return !matchFile(f.exclude, path, name)
}

// Size reports whether a complete file of so many bytes counts.
func (f *Filter) Size(bytes int64) bool {
	return f == nil || bytes >= f.options.MinSize && (f.options.MaxSize == 0 || bytes <= f.options.MaxSize)
}

// Marker is the path of the done-marker that must be there before a file counts; "" if none is asked for.
func (f *Filter) Marker(path string) string {
	if f == nil || f.options.DoneSuffix == "" {
		return ""
	}
	return path + f.options.DoneSuffix
}

// Marked is the path of the file that a marker is for; false if the path is no marker's.
func (f *Filter) Marked(path string) (string, bool) {
	if f == nil || !f.isMarker(path) {
		return "", false
	}
	file := path[:len(path)-len(f.options.DoneSuffix)]
	return file, base(file) != ""
}

func (f *Filter) isMarker(path string) bool {
	at := len(path) - len(f.options.DoneSuffix)
	return f.options.DoneSuffix != "" && at >= 0 && strings.EqualFold(path[at:], f.options.DoneSuffix)
}

// entered reports whether every folder above a path is entered, but for its depth. The path is in lower case.
func (f *Filter) entered(path string) bool {
	for i := range len(path) {
		if path[i] == '/' && f.leftOutFolder(path[:i]) {
			return false
		}
	}
	return true
}

// leftOutFolder looks at the folder alone, not at those above it.
func (f *Filter) leftOutFolder(path string) bool {
	name := base(path)
	return ignored(name) || matchFolder(f.exclude, path, name)
}

func (f *Filter) tooDeep(depth int) bool {
	return f.options.MaxDepth > 0 && depth > f.options.MaxDepth
}

func depth(path string) int { return strings.Count(path, "/") + 1 }

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
