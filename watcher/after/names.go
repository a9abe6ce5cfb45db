package after

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/authenta/authenta-ingest/queue"
)

const (
	// maxName is how many bytes a name may have on nearly all file systems.
	maxName = 255
	// maxExtension is the longest ending of a name that is kept when the name is shortened.
	maxExtension = 32
	// hiddenPrefix begins the name of somebody's file that is set aside, writingPrefix that of ours that is not complete.
	hiddenPrefix  = ".authenta-ingest."
	writingPrefix = ".authenta-ingest-writing."
)

// names are those that a file may get in another folder, in the order in which they are tried. They depend on nothing but
// the file, so that a second try finds what the first has left.
func names(name string, drop queue.DropID) []string {
	stem, ext := split(name)
	short := drop[:min(8, len(drop))]
	return []string{name, fit(stem, "-"+string(short)+ext), fit(stem, "-"+string(drop)+ext)}
}

// hidden is the name that a file has while it is looked at once more. It keeps the file's own, so that a person, or
// [PutBack], can see what it was.
func hidden(name string, drop queue.DropID) string { return prefixed(hiddenPrefix, name, drop) }

// writing is the name that a file has while it is written.
func writing(name string, drop queue.DropID) string { return prefixed(writingPrefix, name, drop) }

func prefixed(prefix, name string, drop queue.DropID) string {
	stem, ext := split(name)
	return fit(prefix+string(drop)+"."+stem, ext)
}

// Hidden reports whether a name is one that [Plan.Do] gives to files while it looks at them once more, and for which drop.
func Hidden(name string) (queue.DropID, bool) {
	drop, _, ok := unhide(name)
	return drop, ok
}

// unhide takes a hidden name apart.
func unhide(name string) (drop queue.DropID, was string, ok bool) {
	rest, ok := strings.CutPrefix(name, hiddenPrefix)
	if !ok {
		return "", "", false
	}
	id, was, ok := strings.Cut(rest, ".")
	return queue.DropID(id), was, ok && id != "" && was != ""
}

// split cuts a name before its extension, if it has one that looks like it.
func split(name string) (stem, ext string) {
	ext = filepath.Ext(name)
	if len(ext) > maxExtension || len(ext) == len(name) {
		return name, ""
	}
	return name[:len(name)-len(ext)], ext
}

// fit returns stem and ending as one name. A stem that is too long for that is cut, and gets part of its digest, so that
// two names stay two.
func fit(stem, ending string) string {
	if len(stem)+len(ending) <= maxName {
		return stem + ending
	}
	sum := sha256.Sum256([]byte(stem))
	ending = "~" + hex.EncodeToString(sum[:8]) + ending
	return cut(stem, max(0, maxName-len(ending))) + ending
}

// cut returns at most n bytes of the beginning of a text, and no part of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for i := n; i > 0 && i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			return text[:i]
		}
	}
	return text[:n] // no characters
}
