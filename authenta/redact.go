package authenta

import (
	"regexp"
	"strings"
	"unicode"
)

// maxMessage is how much is kept of a text that came from outside, in characters.
const maxMessage = 300

const redacted = "[redacted]"

// queryString matches what a presigned URL has after its path, whether or not the rest of the URL is there, and S3's
// parameters by themselves.
var queryString = regexp.MustCompile(`(?i)(\?|\bX-Amz-)[\w.~%-]+=[^\s"'<>]*`)

// clean makes a text that came from outside fit for errors and logs: without the given keys and any query string, on
// one line, and not long.
func clean(text string, keys ...string) string {
	text = strings.Map(toPrintable, text) // first: what it drops may be within a secret
	for _, key := range keys {
		if key != "" {
			text = strings.ReplaceAll(text, key, redacted)
		}
	}
	text = queryString.ReplaceAllString(text, "${1}"+redacted)
	if runes := []rune(text); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "…"
	}
	return text
}

// toPrintable turns line breaks into spaces and drops other control characters.
func toPrintable(r rune) rune {
	switch {
	case unicode.IsPrint(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	}
	return -1
}
