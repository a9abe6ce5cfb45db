package after

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzNames fits names into what file systems take.
func FuzzNames(f *testing.F) {
	f.Add("clip.mp4", "other.mp4")
	f.Add(strings.Repeat("l", 251)+".mp4", strings.Repeat("l", 250)+"k.mp4")
	f.Add(strings.Repeat("ü", 126)+"ab", strings.Repeat("ü", 126)+"cd")
	f.Add(strings.Repeat("\xff", 255), strings.Repeat("\xff", 254)+"\xfe")
	f.Add("."+strings.Repeat("x", 254), ".")
	f.Fuzz(func(t *testing.T, one, two string) {
		if len(one) > maxName || len(two) > maxName || one == "" || two == "" {
			t.Skip("no names")
		}
		const drop = "0123456789abcdef01234567"
		all := func(name string) []string {
			out := append(names(name, drop), hidden(name, drop), writing(name, drop), fit(name, ".verdict.json"), fit(name, ".failure.json"))
			return append(out, fit(out[1], ".verdict.json"), fit(out[2], ".an-uncommonly-long-model-name.verdict.json"))
		}
		for i, got := range all(one) {
			if len(got) > maxName || got == "" || strings.ContainsAny(strings.ReplaceAll(got, one, ""), "/\x00") && !strings.ContainsAny(one, "/\x00") {
				t.Errorf("%q became %q, of %d bytes", one, got, len(got))
			}
			if utf8.ValidString(one) && !utf8.ValidString(got) {
				t.Errorf("%q became %q, which cuts a character", one, got)
			}
			if other := all(two)[i]; one != two && got == other {
				t.Errorf("%q and %q both became %q", one, two, got)
			}
		}
		_, ext := split(one)
		for _, got := range all(one)[:5] {
			if !strings.HasSuffix(got, ext) {
				t.Errorf("%q became %q, and lost %q", one, got, ext)
			}
		}
		if id, was, ok := unhide(hidden(one, drop)); !ok || id != drop || len(one) < 200 && was != one {
			t.Errorf("%q was hidden, and came back as %q, %q, %t", one, id, was, ok)
		}
	})
}
