package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// A damage is what a power cut, a bad disk or a person may do to the folder of a stream.
type damage struct {
	name string
	do   func(t *testing.T, random *rand.Rand, stream string)
}

var damages = []damage{
	{"the end of its newest block is missing", func(t *testing.T, random *rand.Rand, stream string) {
		rewrite(t, newestBlock(t, stream), func(b []byte) []byte {
			n := 1 + random.IntN(len(b))
			t.Logf("the last %d of %d bytes are missing", n, len(b))
			return b[:len(b)-n]
		})
	}},
	{"a middle of its newest block is missing", func(t *testing.T, random *rand.Rand, stream string) {
		rewrite(t, newestBlock(t, stream), func(b []byte) []byte {
			n := 1 + random.IntN(len(b)/2)
			at := random.IntN(len(b) - n)
			t.Logf("%d of %d bytes are missing, from %d on", n, len(b), at)
			return slices.Delete(b, at, at+n)
		})
	}},
	{"the end of its newest block is zeros", func(t *testing.T, _ *rand.Rand, stream string) {
		rewrite(t, newestBlock(t, stream), func(b []byte) []byte {
			clear(b[max(0, len(b)-1000):])
			return b
		})
	}},
	{"its meta.inf is empty", func(t *testing.T, _ *rand.Rand, stream string) {
		rewrite(t, filepath.Join(stream, "meta.inf"), func([]byte) []byte { return nil })
	}},
	{"its folder is gone", func(t *testing.T, _ *rand.Rand, stream string) {
		if err := os.RemoveAll(stream); err != nil {
			t.Fatal(err)
		}
	}},
}

func TestAStreamIsDamagedAndNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"KV_authenta-ledger", "authenta-jobs", "KV_authenta-files", "authenta-verdicts", "KV_authenta-control"} {
		for i, d := range damages {
			t.Run(stream+": "+d.name, func(t *testing.T) {
				if !*long && (i > 0 || !slices.Contains([]string{"KV_authenta-ledger", "authenta-jobs"}, stream)) {
					t.Skip("-long")
				}
				t.Parallel()
				survives(t, func(random *rand.Rand, state string) { d.do(t, random, streamFolder(t, state, stream)) })
			})
		}
	}
}

func TestAllStateIsGoneAndNothingIsLostNorPaidTwice(t *testing.T) {
	t.Parallel()
	survives(t, func(_ *rand.Rand, state string) {
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
	})
}

// survives kills the program when some files are judged, some sent, and some not, damages its state, and checks that the
// next run finishes everything and pays for nothing again. Some files are copies of others, under names of their own.
func survives(t *testing.T, damage func(random *rand.Rand, state string)) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const files, contents = 60, 55
	w := newWorld(t, sandbox.Options{Latency: 200 * time.Millisecond, Spread: 300 * time.Millisecond})
	for n := range files {
		w.write(fmt.Sprintf("%02d.jpg", n), picture(n%contents))
	}
	judged := 10 + random.IntN(files-20)
	p := w.start(map[string]string{"AUTHENTA_MUTATION_RATE": "10"}, "run", "--json", w.inbox)
	eventually(t, finishTime, "some are judged", func() bool { return p.judged() >= judged })
	p.kill()
	before := w.platform.Ledger()
	t.Logf("killed with %d of %d contents sent, and %d files judged", len(before.Paid), contents, p.judged())
	damage(random, w.state)
	p = w.start(nil, "run", "--once", w.inbox)
	if code := p.wait(finishTime); code != exitDone {
		t.Errorf("the next run ended with %d:\n%s", code, p.stderr.String())
	}
	w.promises(files, contents)
}

func streamFolder(t *testing.T, state, name string) string {
	t.Helper()
	return only(t, filepath.Join(state, "jetstream", "jetstream", "*", "streams", name))
}

func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

func newestBlock(t *testing.T, stream string) string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no blocks in %s: %v", stream, err)
	}
	number := func(path string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".blk"))
		return n
	}
	return slices.MaxFunc(blocks, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(data), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
