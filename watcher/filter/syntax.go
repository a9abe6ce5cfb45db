package filter

import "strings"

// Globs is a list of patterns that is written on one line, with commas between them. Commas between the braces or
// brackets of a pattern, or after a backslash, are the pattern's own: *.mp4,IMG_*.{jpg,png} are two.
type Globs []string

// UnmarshalText reads such a line. It leaves out the blanks around patterns, and empty ones; whether they make sense is for
// New to say.
func (g *Globs) UnmarshalText(text []byte) error {
	*g = nil
	for _, pattern := range split(string(text)) {
		if pattern = strings.TrimSpace(pattern); pattern != "" {
			*g = append(*g, pattern)
		}
	}
	return nil
}

// String is the line.
func (g Globs) String() string { return strings.Join(g, ",") }

// expand returns what the braces of a valid pattern stand for, as a shell would; of too many, one too many.
func expand(p string) []string {
	open, depth := 0, 0
	for i := 0; i < len(p); i += token(p[i:]) {
		switch p[i] {
		case '{':
			if depth++; depth == 1 {
				open = i
			}
		case '}':
			if depth--; depth == 0 {
				var all []string
				for _, inner := range split(p[open+1 : i]) {
					all = append(all, expand(p[:open]+inner+p[i+1:])...)
					if len(all) > alternatives {
						return all[:alternatives+1]
					}
				}
				return all
			}
		}
	}
	return []string{p}
}

// split cuts at the commas that are not between braces or brackets, and not after a backslash.
func split(list string) []string {
	var parts []string
	begin, depth := 0, 0
	for i := 0; i < len(list); i += token(list[i:]) {
		switch list[i] {
		case '{':
			depth++
		case '}':
			depth = max(0, depth-1)
		case ',':
			if depth == 0 {
				parts = append(parts, list[begin:i])
				begin = i + 1
			}
		}
	}
	return append(parts, list[begin:])
}

// token is the length of what a pattern begins with: a backslash and its byte, a class in brackets, or one byte.
func token(p string) int {
	switch p[0] {
	case '\\':
		return min(2, len(p))
	case '[':
		for i := 1; i < len(p); i++ {
			switch p[i] {
			case '\\':
				i++
			case ']':
				return i + 1
			}
		}
		return len(p) // it is not closed
	}
	return 1
}
