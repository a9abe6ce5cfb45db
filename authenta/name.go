package authenta

import (
	"path/filepath"
	"strings"
)

// What a name given to the platform is made of: 15 + 1 + 8 are the 24 characters that one of its own clients cuts names to.
const (
	maxStem    = 15
	digestPart = 8
)

// Name is the name that a file gets on the platform: at most 24 characters of [A-Za-z0-9 _-]. It begins like the file's
// own stem, so that a person recognises it in the console, and ends in the first 8 digits of its hex digest, so that a
// lost record can be found by it. An extension, if stem still has one, is cut.
func Name(stem, digest string) string {
	shown := strings.Trim(readable(strings.TrimSuffix(stem, filepath.Ext(stem))), "- ")
	if shown == "" {
		shown = "media"
	}
	shown = strings.TrimRight(shown[:min(len(shown), maxStem)], "- ")
	return shown + "-" + digest[:min(len(digest), digestPart)]
}

// readable puts one '-' in place of every run of characters that a name cannot have.
func readable(s string) string {
	var b strings.Builder
	replaced := false
	for _, r := range s {
		if r < 0x80 && (r == ' ' || isWordByte(byte(r))) {
			b.WriteRune(r)
			replaced = false
		} else if !replaced {
			b.WriteByte('-')
			replaced = true
		}
	}
	return b.String()
}
