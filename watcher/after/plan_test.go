package after_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/watcher/after"
)

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]after.Policy{
		"": {}, "keep": {}, "delete": {Action: after.Delete},
		"move:done": {Action: after.Move, Dir: "done"}, "move:./a//b/": {Action: after.Move, Dir: "a/b"}, "move:/x/../y": {Action: after.Move, Dir: "/y"},
		"move:with: colon": {Action: after.Move, Dir: "with: colon"},
	} {
		got, err := after.ParsePolicy(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := after.ParsePolicy(got.String()); err != nil || again != want {
			t.Errorf("%q is written %q, which is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"Keep", "move", "move:", "move:.", "move:..", "move:../done", "move:a/../..", "remove", "delete:x", " keep"} {
		if got, err := after.ParsePolicy(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestParseSidecar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]after.Sidecar{
		"": {}, "off": {}, "on": {On: true}, "./on": {On: true, Dir: "on"}, "/x/": {On: true, Dir: "/x"}, "a/b": {On: true, Dir: "a/b"},
	} {
		if got, err := after.ParseSidecar(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{".", "..", "../x"} {
		if got, err := after.ParseSidecar(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestTargetsAreNoMedia(t *testing.T) {
	t.Parallel()
	p := plan(t, "move:done", "move:/away", "verdicts")
	want := []string{"/in/done", "/in2/done", "/away", "/in/verdicts", "/in2/verdicts"}
	if got := p.Targets("/in", "/in2"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, none := range []after.Plan{{}, plan(t, "delete", "keep", "on")} {
		if got := none.Targets("/in"); len(got) != 0 {
			t.Errorf("%q", got)
		}
	}
}

func TestCheckTellsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, other := filepath.Join(dir, "in"), filepath.Join(dir, "up", "in2")
	for _, d := range []string{root, other} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "file"), "")
	if err := errors.Join(os.Symlink(root, filepath.Join(dir, "link")), os.Symlink(dir, filepath.Join(root, "out"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		onVerdict, onFailure, sidecar string
		want                          []string // parts of the mistakes, one each
	}{
		{"keep", "keep", "off", nil},
		{"move:done", "move:" + dir + "/new/failed", "verdicts", nil},
		{"move:" + root, "move:" + dir, dir + "/link", []string{"INGEST_AFTER=", "INGEST_AFTER_FAIL=", "INGEST_SIDECAR="}},
		{"move:" + dir + "/up", "keep", "off", []string{other}},
		{"move:file", "move:file/x", "out/x", []string{"INGEST_AFTER=", "INGEST_AFTER_FAIL=", "INGEST_SIDECAR="}},
		{"move:" + root + "/file", "keep", "/dev/null/x", []string{"INGEST_AFTER=", "INGEST_SIDECAR="}},
	} {
		err := plan(t, c.onVerdict, c.onFailure, c.sidecar).Check([]string{root, other, filepath.Join(dir, "missing")})
		var mistakes []string
		if err != nil {
			mistakes = strings.Split(err.Error(), "\n")
		}
		if len(mistakes) != len(c.want) {
			t.Errorf("%s, %s, %s: %q, want %d", c.onVerdict, c.onFailure, c.sidecar, mistakes, len(c.want))
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(mistakes[i], want) {
				t.Errorf("%s, %s, %s: %q does not name %q", c.onVerdict, c.onFailure, c.sidecar, mistakes[i], want)
			}
		}
	}
	for _, made := range []string{root + "/done", other + "/done", dir + "/new/failed", root + "/verdicts"} {
		if entries, err := os.ReadDir(made); err != nil || len(entries) != 0 {
			t.Errorf("%s: %v, %v", made, entries, err)
		}
	}
	if exists(filepath.Join(dir, "x")) {
		t.Error("a link was followed")
	}
}
