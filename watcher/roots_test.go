package watcher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRootsTellHowEachFolderIsFollowedAndWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := mkdir(t, filepath.Join(w.dir, "a")), mkdir(t, filepath.Join(w.dir, "b"))
	r := w.run(func(o *Options) { o.Dirs = []string{a, b} })
	want := func(what string, state func(RootState) bool) {
		t.Helper()
		await(t, what, func() bool {
			got := r.Roots()
			return len(got) == 2 && got[0].Path == a && got[0].Mode == ModeEvents && got[0].Why == "" && got[1].Path == b && state(got[1])
		})
	}
	r.caughtUp()
	want("both are followed by events", func(s RootState) bool { return s == RootState{Path: b, Mode: ModeEvents} })
	away := b + " away"
	if err := os.Rename(b, away); err != nil {
		t.Fatal(err)
	}
	want("one is missing", func(s RootState) bool { return s.Mode == ModeMissing && strings.Contains(s.Why, "no such file") })
	if err := os.Rename(away, b); err != nil {
		t.Fatal(err)
	}
	want("it is back", func(s RootState) bool { return s == RootState{Path: b, Mode: ModeEvents} })
}

func TestAPolledRootSaysWhatHasItPolled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run(func(o *Options) { o.Poll = Poll(time.Hour) })
	await(t, "the settings are named", func() bool {
		return r.Roots()[0] == RootState{Path: w.dir, Mode: ModePolling, Why: "INGEST_POLL_DIRS=1h0m0s"}
	})
}

func TestTheMetricsOfAFolderAreWhatRootsTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	r := w.run(func(o *Options) { o.Metrics = registry })
	r.caughtUp()
	r.roots[0].unread.Store(3)
	r.roots[0].shown.Store(&showing{ModeMissing, "it is away"})
	expect := strings.ReplaceAll(`
# HELP authenta_ingest_watcher_root_unread Files and folders in a watched folder that could not be looked at. Above 0: the log names them; mostly it is their permissions.
# TYPE authenta_ingest_watcher_root_unread gauge
authenta_ingest_watcher_root_unread{root="DIR"} 3
`, "DIR", w.dir)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(expect), "authenta_ingest_watcher_root_unread"); err != nil {
		t.Error(err)
	}
	for _, mode := range []Mode{ModeEvents, ModePolling, ModeMissing} {
		value := 0.0
		if mode == ModeMissing {
			value = 1
		}
		if got := gathered(t, registry, "authenta_ingest_watcher_root", string(mode)); got != value {
			t.Errorf("mode %s is %v, want %v", mode, got, value)
		}
	}
}

// gathered is the value of a gauge or counter, or the number of a histogram's observations; label is a value of one of its labels,
// or empty.
func gathered(t *testing.T, from prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			has := label == ""
			for _, l := range m.GetLabel() {
				has = has || l.GetValue() == label
			}
			if f.GetName() == name && has {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("there is no %s %s", name, label)
	return 0
}

// A file that is there already, one that comes, and one that is no media: each is waited for once, and media are hashed once.
func TestAFileIsMeasuredOnceAsItSettlesAndIsHashed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	put(t, filepath.Join(w.dir, "there.jpg"), picture(1))
	r := w.run(func(o *Options) { o.Metrics = registry })
	r.caughtUp()
	path := put(t, filepath.Join(w.dir, "comes.jpg"), picture(2))
	w.awaitArrivals(path)
	put(t, filepath.Join(w.dir, "text.jpg"), []byte("no picture"))
	await(t, "the text is refused", func() bool { return len(w.failures()) == 1 })
	size := float64(len(picture(1)) + len(picture(2)))
	for name, want := range map[string]float64{"settle_seconds": 3, "hash_seconds": 2, "hashed_bytes_total": size} {
		if got := gathered(t, registry, "authenta_ingest_"+name, ""); got != want {
			t.Errorf("%s counts %v, want %v", name, got, want)
		}
	}
}
