package watcher

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/authenta/authenta-ingest/queue"
)

func TestFilesOfAnyNameArriveAndTheirURIsNameThem(t *testing.T) {
	t.Parallel()
	names := []string{
		"line\nbreak.jpg", "not \xff\xfe UTF-8.jpg", "-rf.jpg", "--help", "- ", strings.Repeat("ä", 127) + "x", strings.Repeat("n", 255),
		"名前.jpg", "e\u0301.jpg", "\u00e9.jpg", "a b.jpg", "100%.jpg", "%2F.jpg", "%zz.jpg", "?query.jpg", "#fragment.jpg", "a?b#c.jpg",
		"+.jpg", "a:b.jpg", ":", "*", "\\", "\\..\\x.jpg", "'\"`$(x).jpg", "[1].jpg", "{a}.jpg", "<a>.jpg", "a&b=c;d.jpg", "\x7f\x01\t.jpg",
		"\u202egpj.exe", "😀.jpg", "file:", "C:", "nul", " ", "   .jpg", "x ", "x.", "💩\x80",
	}
	for b := 1; b < 256; b++ {
		if b != '/' && b != '.' && b != '~' {
			names = append(names, "b"+string([]byte{byte(b)}))
		}
	}
	w := newWorld(t)
	r := w.run()
	r.caughtUp()
	var paths []string
	for i, name := range names {
		path := filepath.Join(w.dir, name)
		if i%8 == 0 { // in a folder of that name as well
			path = filepath.Join(mkdir(t, filepath.Join(w.dir, "d", name)), name)
		}
		paths = append(paths, put(t, path, picture(i)))
	}
	await(t, "all arrive", func() bool { return w.remembered() == len(paths) })
	r.stop()
	w.scanned()
	w.wantOnly(paths...)
}

func TestAURIGivesThePathBackByteForByte(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		path := make([]byte, r.IntN(30))
		for i := range path {
			path[i] = byte(1 + r.IntN(255))
			if r.IntN(3) == 0 {
				path[i] = "/%?#:;@+ .*\\&="[r.IntN(14)]
			}
		}
		want := filepath.Clean("/" + string(path))
		d := dropOf(sightingOf(want, 1, 0), "digest", "M")
		if got := pathOf(t, d.URI); got != want || !utf8.ValidString(d.URI) {
			t.Fatalf("seed %d: path %q, URI %q, back %q", seed, want, d.URI, got)
		}
		if d.Name != filepath.Base(want) {
			t.Fatalf("seed %d: path %q, name %q", seed, want, d.Name)
		}
	}
}

func TestADropsIDHangsOnPathVersionContentAndModel(t *testing.T) {
	t.Parallel()
	id := func(path string, size int64, d queue.Digest, m queue.Model) queue.DropID {
		return dropOf(sightingOf(path, size, 0), d, m).ID
	}
	all := map[queue.DropID]string{}
	for _, path := range []string{"/a", "/b", "/a b", "/a%20b", "/\xff", "/\ufffd"} {
		for _, size := range []int64{1, 2} {
			for _, d := range []queue.Digest{"x", "y"} {
				for _, m := range []queue.Model{"M", "N"} {
					what := fmt.Sprint(path, size, d, m)
					if other, ok := all[id(path, size, d, m)]; ok {
						t.Errorf("%q and %q have one id", what, other)
					}
					all[id(path, size, d, m)] = what
				}
			}
		}
	}
	later := sightingOf("/a", 1, 500) // the inode was changed, the file was not
	if dropOf(later, "x", "M").ID != id("/a", 1, "x", "M") {
		t.Error("the change time makes another drop")
	}
}
