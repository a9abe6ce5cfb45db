package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// A glob is one alternative of a pattern, in lower case.
type glob struct {
	file   string // what a file has to match
	folder string // what a folder has to match; raw/** is the folder raw too, and no file of that name
	name   bool   // matches names, not paths
}

func (g glob) of(path, name string) string {
	if g.name {
		return name
	}
	return path
}

func matchFile(globs []glob, path, name string) bool {
	return slices.ContainsFunc(globs, func(g glob) bool { return doublestar.MatchUnvalidated(g.file, g.of(path, name)) })
}

func matchFolder(globs []glob, path, name string) bool {
	return slices.ContainsFunc(globs, func(g glob) bool { return doublestar.MatchUnvalidated(g.folder, g.of(path, name)) })
}

// alternatives is how many ways through its braces a pattern may have: more than anybody writes by hand.
const alternatives = 1000

// compile returns a pattern's alternatives, or what is wrong with it and what to write instead.
func compile(pattern string) ([]glob, error) {
	switch {
	case !isText(pattern):
		return nil, errors.New("it is not UTF-8: write ? for each character that cannot be written")
	case !doublestar.ValidatePattern(pattern):
		return nil, errors.New(`a bracket or brace has no partner, or it ends in a backslash: write a backslash before one that is part of a name`)
	}
	plain := expand(strings.ToLower(pattern))
	if len(plain) > alternatives {
		return nil, fmt.Errorf("its braces stand for more than %d patterns: write fewer", alternatives)
	}
	globs := make([]glob, 0, len(plain))
	for _, p := range plain {
		if err := checkSegments(p); err != nil {
			return nil, err
		}
		g, err := newGlob(p)
		if err != nil {
			return nil, err
		}
		globs = append(globs, g)
	}
	return globs, nil
}

// isText reports whether a string is UTF-8 without the replacement character, which would match any byte that is not.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError) }

// checkSegments refuses paths that lead nowhere below the watched folder, and what would not mean what it seems to.
func checkSegments(p string) error {
	segments := strings.Split(p, "/")
	switch {
	case p == "":
		return errors.New("it is empty: write * for every name")
	case segments[0] == "":
		return errors.New("it is an absolute path: write it from the watched folder on, as in raw/**")
	case slices.Contains(segments, ".."):
		return errors.New("it leads out of the watched folder (..): write it from the watched folder on, as in raw/**")
	case segments[len(segments)-1] == "":
		return fmt.Errorf("a slash at its end: write %q for all that is in such a folder", strings.TrimRight(p, "/")+"/**")
	case slices.Contains(segments, ""), slices.Contains(segments, "."):
		return errors.New("a part of the path is empty, or a dot: leave it out")
	}
	for _, s := range segments {
		switch {
		case s != "**" && strings.Contains(s, "**"):
			return errors.New("** stands for folders, and alone between slashes, as in raw/**/*.mp4: write * for a part of a name")
		case !doublestar.ValidatePattern(s):
			return errors.New("there is a slash between brackets: write it outside of them")
		}
	}
	return nil
}

func newGlob(p string) (glob, error) {
	if !strings.Contains(p, "/") {
		return glob{file: p, folder: p, name: true}, nil
	}
	p, err := sparingSlashes(p)
	file := p
	if folder, ok := strings.CutSuffix(p, "/**"); ok {
		file = folder + "/**/*"
	}
	return glob{file: file, folder: p}, err
}

// sparingSlashes has no class in a pattern match a slash: for doublestar, [!a] does.
func sparingSlashes(p string) (string, error) {
	var out strings.Builder
	for len(p) > 0 {
		part := p[:token(p)]
		p = p[len(part):]
		if part[0] == '[' && doublestar.MatchUnvalidated(part, "/") {
			if part[1] != '!' && part[1] != '^' {
				return "", fmt.Errorf("%q has a range that takes in the slash: write it as two", part)
			}
			part = part[:2] + "/-/" + part[2:] // as a range, so that a dash after it stays a dash
		}
		out.WriteString(part)
	}
	return out.String(), nil
}
