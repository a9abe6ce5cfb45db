package queue

import (
	"slices"
	"testing"
)

func TestASubjectThatMediaMayComeFrom(t *testing.T) {
	t.Parallel()
	for subject, ok := range map[string]bool{
		"media.in": true, "media": true, "media.>": true, "media.*.in": true, "a-b_c.d": true, "authenta.intake": true,
		"": false, ".": false, "a..b": false, "a.": false, ".a": false, "a b": false, "a\tb": false, "a.>.b": false, "a.b*": false, "a>": false,
		">": false, "*": false, "*.in": false, "$JS.API.>": false, "$KV.x": false, "_INBOX.x": false,
		"authenta.verdicts.>": false, "authenta.>": false, "authenta.jobs.upload.x": false, "authentad.in": true,
	} {
		if err := Namespace("authenta").CheckSubject(subject); (err == nil) != ok {
			t.Errorf("%q: %v", subject, err)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false},
		{"*", "a", true}, {"*", "a.b", false}, {"a.*", "a.b", true}, {"*.b", "a.b", true}, {"a.b", "a.*", false},
		{">", "a", true}, {">", "a.b", true}, {">", ">", true}, {"a.>", "a", false}, {"a.>", "a.b", true}, {"a.>", "a.b.c", true},
		{"a.>", "a.*", true}, {"a.*", "a.>", false}, {"*", ">", false}, {"a.*.c", "a.b.c", true}, {"a.*.c", "a.b.d", false}, {"a.>", "b.>", false},
	} {
		if got := covers(c.a, c.b); got != c.want {
			t.Errorf("%s covers %s: %v", c.a, c.b, got)
		}
	}
	got := leaveOutCovered([]string{"m.x", "m.>", "m.>", "n", "n", "o.*", "o.a.b"})
	if want := []string{"m.>", "n", "o.*", "o.a.b"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
