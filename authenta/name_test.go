package authenta

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

func TestNamesAreRecognisableAndFitThePlatform(t *testing.T) {
	const digest = "0123abcd4567"
	legal := regexp.MustCompile(`^[A-Za-z0-9 _-]{1,24}$`)
	for stem, want := range map[string]string{
		"clip":                     "clip-0123abcd",
		"clip.mp4":                 "clip-0123abcd",
		"my clip_1":                "my clip_1-0123abcd",
		"interview-2025-12-02.mov": "interview-2025-0123abcd",
		"a.b.c.mp4":                "a-b-c-0123abcd",
		"übung (1).png":            "bung -1-0123abcd",
		"видео.mp4":                "media-0123abcd",
		".hidden":                  "media-0123abcd",
		"":                         "media-0123abcd",
		"x/../y":                   "x-y-0123abcd",
		strings.Repeat("a", 300):   "aaaaaaaaaaaaaaa-0123abcd",
	} {
		if got := Name(stem, digest); got != want || !legal.MatchString(got) {
			t.Errorf("%q: got %q, want %q", stem, got, want)
		}
	}
	if got := Name("clip", "01"); got != "clip-01" {
		t.Errorf("a short digest: got %q", got)
	}
}

func TestMediaIDsAreSafeInAPath(t *testing.T) {
	for _, s := range []string{"692f406f9f68d4b70080bb80", "a", "A_b-9", strings.Repeat("x", 64)} {
		if id, err := ParseMediaID(s); err != nil || string(id) != s {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", ".", "..", "a/b", "a?b", "a b", "ä", "a\n", strings.Repeat("x", 65)} {
		if _, err := ParseMediaID(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	url := PresignedURL("https://user:5ec2e7@s3.test/bucket/key?X-Amz-Signature=5ec2e7")
	for _, v := range []any{url, PresignedURL("%zz5ec2e7"), Media{UploadURL: url}, Upload{URL: url},
		Credentials{ClientID: "5ec2e7", ClientSecret: "5ec2e7"}, Credentials{APIKey: "5ec2e7"}} {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		if got := fmt.Sprintf("%v %+v %#v %s %q ", v, v, v, v, v) + log.String(); strings.Contains(got, "5ec2e7") {
			t.Errorf("%T prints as %s", v, got)
		}
	}
	if got := url.String(); got != "https://s3.test/bucket/key?[redacted]" {
		t.Errorf("got %s", got)
	}
	if b, err := json.Marshal(url); err != nil || string(b) != `"`+string(url)+`"` {
		t.Errorf("JSON must carry the real one: %s, %v", b, err)
	}
}
