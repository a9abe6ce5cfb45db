package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// soak is how long the soak takes; 20 minutes is the least that shows something.
var soak = flag.Duration("soak", 0, "let the daemon work for so long, and see that it does not grow")

// What a file may leave behind for good: its verdict, its record and its entry in the registry, and in memory their places
// in the store's indexes. All else that grows is a leak.
const (
	verdictBytes  = 2000
	recordBytes   = 2000
	entryBytes    = 1000
	memoryPerFile = 500

	// blocks is two of the buffers of 8 MB in which nats-server keeps a block of messages for a while after it has read it:
	// how many there are differs from minute to minute.
	blocks = 16 << 20
)

// Files arrive at a steady rate, are judged, and are taken away. Meanwhile the daemon is watched.
func TestADaemonThatWorksForLongDoesNotGrow(t *testing.T) {
	if *soak == 0 {
		t.Skip("takes as long as it is told to: -soak=20m")
	}
	const perSecond = 20
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t, sandbox.Options{Seed: seed, Latency: 2 * time.Second, Spread: 2 * time.Second, Outcome: oneInTwentyFails})
	var hit hits
	w.platform.Faults(rarely(faultsOfEveryKind(&hit))...)
	w.listen()
	told := filepath.Join(t.TempDir(), "told")
	p := w.start(map[string]string{tellSelf: told}, "run", w.inbox)
	w.status() // it answers
	conn, err := queue.Connect("nats://"+w.env["INGEST_NATS_LISTEN"], discard)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q, err := queue.Open(t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	var answered atomic.Int64
	takeAway := func(h queue.Head) {
		answered.Add(1)
		if u, err := url.Parse(h.URI); err != nil || os.Remove(u.Path) != nil {
			t.Errorf("%s cannot be taken away", h.URI)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	followed := make(chan error)
	go func() {
		followed <- q.Follow(ctx, queue.Position{}, queue.Reader{
			Verdict: func(v queue.Verdict, _ []byte, _ uint64) { takeAway(v.Head) },
			Failure: func(f queue.Failure, _ []byte, _ uint64) { takeAway(f.Head) },
		})
	}()
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		t.Fatal(err)
	}
	observed := &observer{t: t, pid: p.cmd.Process.Pid, told: told, js: js, state: w.state}

	files := 0
	arrival := time.NewTicker(time.Second / perSecond)
	defer arrival.Stop()
	sampling := time.NewTicker(max(*soak/240, time.Second))
	defer sampling.Stop()
	for over := time.After(*soak); over != nil; {
		select {
		case <-arrival.C:
			w.write(fmt.Sprintf("%06d.jpg", files), picture(files))
			files++
		case <-sampling.C:
			observed.sample(files, int(answered.Load()))
		case <-p.exited:
			t.Fatal("ended by itself")
		case <-over:
			over = nil
		}
	}
	t.Logf("%d files in %s; faults: %s", files, *soak, &hit)
	w.platform.Faults()
	eventually(t, finishTime, "all files are answered", func() bool { return int(answered.Load()) >= files })
	eventually(t, time.Minute, "the queue is empty", func() bool {
		depths, err := q.Depths(t.Context())
		return err == nil && depths == queue.Depths{}
	})
	rest := observed.sample(files, int(answered.Load()))
	stop()
	if err := <-followed; err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", observed.table())
	observed.check(rest)
	p.terminate()
	wantFiles(t, w.inbox)
	w.promises(files, files)
}

// rarely makes one call in a hundred of faults that strike one in twenty.
func rarely(faults []sandbox.Fault) []sandbox.Fault {
	for i := range faults {
		faults[i].Rate /= 5
	}
	return faults
}

// A sample is what a daemon takes at one time.
type sample struct {
	after                  time.Duration
	files, answered        int
	rss, heap              int // bytes
	threads, fds           int
	goroutines, disk       int // disk: bytes of its state folder
	streamBytes, streamLen map[string]int
}

// An observer takes samples of a process.
type observer struct {
	t       *testing.T
	pid     int
	told    string // what the process tells of itself
	js      jetstream.JetStream
	state   string
	began   time.Time
	samples []sample
}

func (o *observer) sample(files, answered int) sample {
	o.t.Helper()
	if o.began.IsZero() {
		o.began = time.Now()
	}
	s := sample{after: time.Since(o.began), files: files, answered: answered, streamBytes: map[string]int{}, streamLen: map[string]int{}}
	proc := fmt.Sprintf("/proc/%d/", o.pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		o.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "VmRSS":
			fmt.Sscan(value, &s.rss)
			s.rss <<= 10
		case "Threads":
			fmt.Sscan(value, &s.threads)
		}
	}
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		o.t.Fatal(err)
	}
	s.fds = len(fds)
	s.heap, s.goroutines = o.ask()
	streams := o.js.ListStreams(o.t.Context())
	for info := range streams.Info() {
		s.streamBytes[info.Config.Name] = int(info.State.Bytes)
		s.streamLen[info.Config.Name] = int(info.State.Msgs)
	}
	if err := streams.Err(); err != nil {
		o.t.Fatal(err)
	}
	_ = filepath.WalkDir(o.state, func(_ string, d os.DirEntry, _ error) error { // files come and go meanwhile
		if d != nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				s.disk += int(info.Size())
			}
		}
		return nil
	})
	o.samples = append(o.samples, s)
	return s
}

// ask has the process tell of itself.
func (o *observer) ask() (heap, goroutines int) {
	o.t.Helper()
	_ = os.Remove(o.told)
	if err := syscall.Kill(o.pid, syscall.SIGUSR1); err != nil {
		o.t.Fatal(err)
	}
	eventually(o.t, time.Minute, "the process tells of itself", func() bool {
		data, err := os.ReadFile(o.told)
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(data), &heap, &goroutines)
		return err == nil
	})
	return heap, goroutines
}

// The streams whose sizes are watched, as the table names them.
var watched = []struct{ short, name string }{
	{"jobs", "authenta-jobs"}, {"ledger", "KV_authenta-ledger"}, {"files", "KV_authenta-files"},
	{"verdicts", "authenta-verdicts"}, {"failures", "authenta-failures"}, {"events", "authenta-events"}, {"control", "KV_authenta-control"},
}

// table is some twenty of the samples.
func (o *observer) table() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "after\tfiles\tanswered\tRSS MB\theap MB\tthreads\tfds\tgoroutines\tdisk kB\t")
	for _, s := range watched {
		fmt.Fprintf(table, "%s\tkB\t", s.short)
	}
	fmt.Fprintln(table)
	every := max(1, len(o.samples)/20)
	for i, s := range o.samples {
		if i%every != 0 && i != len(o.samples)-1 {
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%.1f\t%.1f\t%d\t%d\t%d\t%d\t", s.after.Round(time.Second), s.files, s.answered,
			float64(s.rss)/1e6, float64(s.heap)/1e6, s.threads, s.fds, s.goroutines, s.disk/1000)
		for _, stream := range watched {
			fmt.Fprintf(table, "%d\t%d\t", s.streamLen[stream.name], s.streamBytes[stream.name]/1000)
		}
		fmt.Fprintln(table)
	}
	table.Flush()
	return b.String()
}

// check compares the last third of the samples with the middle one, and what is left at rest with the files that were there.
func (o *observer) check(rest sample) {
	o.t.Helper()
	n := len(o.samples) - 1 // without the one at rest
	middle, last := o.samples[n/3:n*2/3], o.samples[n*2/3:n]
	files := median(last, func(s sample) int { return s.files }) - median(middle, func(s sample) int { return s.files })
	for _, c := range []struct {
		what  string
		of    func(sample) int
		slack int // more than a tenth
	}{
		{"RSS", func(s sample) int { return s.rss }, files*memoryPerFile + blocks},
		{"live heap", func(s sample) int { return s.heap }, files*memoryPerFile + blocks},
		{"threads", func(s sample) int { return s.threads }, 4},
		{"file descriptors", func(s sample) int { return s.fds }, 8},
		{"goroutines", func(s sample) int { return s.goroutines }, 20},
		{"queue", func(s sample) int { return s.streamLen["authenta-jobs"] }, 40},
		{"control records", func(s sample) int { return s.streamLen["KV_authenta-control"] }, 2},
	} {
		was, is := median(middle, c.of), median(last, c.of)
		o.t.Logf("%s: %d, then %d", c.what, was, is)
		if is > was+was/10+c.slack {
			o.t.Errorf("%s grew from %d to %d", c.what, was, is)
			if c.what == "goroutines" {
				profile, _ := os.ReadFile(o.told)
				o.t.Logf("%s", profile)
			}
		}
	}
	for stream, most := range map[string]int{
		"authenta-jobs":       0,
		"KV_authenta-ledger":  rest.files * recordBytes,
		"KV_authenta-files":   rest.files * entryBytes,
		"authenta-verdicts":   rest.files * verdictBytes,
		"authenta-failures":   rest.files * verdictBytes,
		"KV_authenta-control": 64 << 10,
		"authenta-events":     1 << 20,
	} {
		if is := rest.streamBytes[stream]; is > most {
			o.t.Errorf("%s has %d bytes after %d files, at most %d", stream, is, rest.files, most)
		}
	}
	for _, stream := range []string{"KV_authenta-ledger", "KV_authenta-files"} {
		if is := rest.streamLen[stream]; is > rest.files {
			o.t.Errorf("%s has %d entries of %d files", stream, is, rest.files)
		}
	}
	o.t.Logf("%d bytes on the disk for a file", rest.disk/rest.files)
	if most := 2 * (recordBytes + entryBytes + verdictBytes); rest.disk/rest.files > most && rest.disk > 64<<20 {
		o.t.Errorf("%d bytes on the disk for a file, at most %d", rest.disk/rest.files, most)
	}
}

func median(samples []sample, of func(sample) int) int {
	var all []int
	for _, s := range samples {
		all = append(all, of(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
