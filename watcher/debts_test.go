package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/after"
)

// then has files dealt with after their answers.
func then(t testing.TB, onVerdict, onFailure, sidecar string) func(*Options) {
	t.Helper()
	var p after.Plan
	var err [3]error
	p.OnVerdict, err[0] = after.ParsePolicy(onVerdict)
	p.OnFailure, err[1] = after.ParsePolicy(onFailure)
	p.Sidecar, err[2] = after.ParseSidecar(sidecar)
	if err := errors.Join(err[:]...); err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		o.After = p
		o.Exclude = append(o.Exclude, p.Targets(o.Dirs...)...)
	}
}

// paid waits until everything is done with the files that is to be done.
func (r running) paid() {
	r.t.Helper()
	r.caughtUp()
	await(r.t, "nothing is owed to any file", func() bool {
		open, failing := r.Owing()
		return open+failing == 0
	})
}

// tree lists the files in the watched folder.
func (w *world) tree() []string {
	w.t.Helper()
	var all []string
	err := filepath.Walk(w.dir, func(path string, info os.FileInfo, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it has gone just now
			return nil
		}
		if err == nil && info.Mode().IsRegular() {
			all = append(all, strings.TrimPrefix(path, w.dir+"/"))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) wantTree(want ...string) {
	w.t.Helper()
	if got := w.tree(); !slices.Equal(got, want) {
		w.t.Errorf("the folder has %q, want %q", got, want)
	}
}

func TestFilesAreDealtWithOnceTheirAnswersAreThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		onVerdict, onFailure, sidecar string
		want                          []string
	}{
		"keep":    {"keep", "keep", "off", []string{"a/clip.jpg", "a/note.txt", "b.jpg"}},
		"sidecar": {"keep", "keep", "on", []string{"a/clip.jpg", "a/clip.jpg.verdict.json", "a/note.txt", "a/note.txt.failure.json", "b.jpg", "b.jpg.verdict.json"}},
		"delete":  {"delete", "keep", "off", []string{"a/note.txt"}},
		"move":    {"move:done", "move:failed", "on", []string{"done/a/clip.jpg", "done/a/clip.jpg.verdict.json", "done/b.jpg", "done/b.jpg.verdict.json", "failed/a/note.txt", "failed/a/note.txt.failure.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "a")), "clip.jpg"), picture(1))
			put(t, filepath.Join(w.dir, "a/note.txt"), []byte("text"))
			w.judgeAll()
			r := w.run(then(t, c.onVerdict, c.onFailure, c.sidecar))
			r.caughtUp()
			put(t, filepath.Join(w.dir, "b.jpg"), picture(2))
			await(t, "the file that came later is judged", func() bool { return len(w.verdicts()) == 2 })
			await(t, "all is done", func() bool { return slices.Equal(w.tree(), c.want) })
			r.paid()
			r.stop()
			w.scanned(then(t, c.onVerdict, c.onFailure, c.sidecar))
			w.wantTree(c.want...)
			if v, f := len(w.verdicts()), len(w.failures()); v != 2 || f != 1 {
				t.Errorf("%d verdicts and %d failures, want 2 and 1", v, f)
			}
		})
	}
}

func TestASidecarHoldsTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.judgeAll()
	w.run(then(t, "keep", "keep", "on")).paid()
	data, err := os.ReadFile(path + ".verdict.json")
	if err != nil {
		t.Fatal(err)
	}
	var v queue.Verdict
	if err := json.Unmarshal(data, &v); err != nil || v.ID != w.verdicts()[0].ID || v.URI != queue.FileURI(path) {
		t.Errorf("the sidecar says %s, %v", data, err)
	}
}

// Judged while no watcher ran: the next one finds out.
func TestWhatIsOwedIsNotForgottenOverARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := then(t, "move:done", "move:failed", "on")
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	put(t, filepath.Join(w.dir, "b.jpg"), picture(2))
	w.scanned(plan)
	w.judgeAll()
	await(t, "the files are judged", func() bool { return len(w.verdicts()) == 2 && w.queued() == 0 })
	w.run(plan).paid()
	w.wantTree("done/a.jpg", "done/a.jpg.verdict.json", "done/b.jpg", "done/b.jpg.verdict.json")
}

// The same content was judged before: nobody hears of its answer but the one who submits it.
func TestAKnownContentIsDealtWithAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := then(t, "delete", "keep", "off")
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.judgeAll()
	r := w.run(plan)
	r.paid()
	w.wantTree()
	for range 2 { // under a name that is new, and under one that was there
		put(t, filepath.Join(w.dir, "b.jpg"), picture(1))
		await(t, "the copy is deleted", func() bool { return len(w.tree()) == 0 })
	}
	r.paid()
}

// What was taken in before anything was to be done with it is left alone.
func TestAPlanIsForWhatComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.judgeAll()
	w.scanned()
	await(t, "it is judged", func() bool { return len(w.verdicts()) == 1 })
	r := w.run(then(t, "delete", "delete", "off"))
	r.caughtUp()
	put(t, filepath.Join(w.dir, "b.jpg"), picture(2))
	await(t, "the new file is deleted", func() bool { return len(w.verdicts()) == 2 && len(w.tree()) == 1 })
	r.paid()
	w.wantTree("a.jpg")
}

func TestAFileThatChangesBeforeItsVerdictIsKeptUntilTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	plan := then(t, "delete", "keep", "off")
	w.scanned(plan)
	put(t, path, picture(2))
	w.judgeAll()
	r := w.run(plan)
	await(t, "both versions are judged, and the file is deleted", func() bool { return len(w.verdicts()) == 2 && len(w.tree()) == 0 })
	r.paid()
}

// A file that a folder below the target does not let in is tried again, and nothing is lost.
func TestWhatCannotBeDoneNowIsDoneLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "a")), "a.jpg"), picture(1))
	done := mkdir(t, filepath.Join(w.dir, "done"))
	put(t, filepath.Join(done, "a"), []byte("is no folder"))
	w.judgeAll()
	log := &logbook{}
	watcher := w.watcher(then(t, "move:done", "keep", "off"), func(o *Options) { o.Log = log.logger() })
	r := start(t, watcher)
	r.caughtUp()
	await(t, "it is told", func() bool { return len(log.warnings(path)) == 1 })
	w.wantTree("a/a.jpg", "done/a")
	remove(t, filepath.Join(done, "a"))
	watcher.debts.retry(time.Now().Add(time.Hour))
	await(t, "it is moved", func() bool { return slices.Equal(w.tree(), []string{"done/a/a.jpg"}) })
	r.paid()
}

// Whatever point the watcher stops at, the file is where it was or where it should be, and the next one ends it.
func TestAStopAtAnyStepAfterAVerdictLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judgeAll()
	plan := then(t, "move:done", "keep", "on")
	every := 4
	if *long {
		every = 1
	}
	for n := 0; ; n += every {
		path := put(t, filepath.Join(w.dir, fmt.Sprintf("%d.jpg", n)), picture(n))
		reached := w.stopAtStep(n, plan)
		there := 0
		for _, name := range w.tree() {
			if base := filepath.Base(path); strings.HasSuffix(name, base) && !strings.Contains(name, "writing") {
				there++
			}
		}
		if there != 1 {
			t.Fatalf("stopped at step %d, the file is there %d times: %q", n, there, w.tree())
		}
		r := w.run(plan)
		r.paid()
		r.stop()
		moved := "done/" + filepath.Base(path)
		w.wantTree(moved, moved+".verdict.json")
		if got := w.of(path); len(got) != 1 {
			t.Errorf("stopped at step %d: arrived %v", n, got)
		}
		remove(t, filepath.Join(w.dir, "done"))
		if !reached {
			if n < 10 {
				t.Errorf("there are fewer than %d steps", n)
			}
			return
		}
	}
}

// stopAtStep runs a watcher whose context ends at the nth step that changes a disk or the broker, from which on nothing is
// changed any more; false: there were fewer.
func (w *world) stopAtStep(n int, plan func(*Options)) (reached bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	left := n
	step := func(string) error {
		mu.Lock()
		defer mu.Unlock()
		if left--; left < 0 {
			reached = true
			cancel()
			return context.Canceled
		}
		return nil
	}
	q := w.open(func(at string) {
		if strings.Contains(at, "KV_") || strings.Contains(at, "$KV.authenta-files") {
			_ = step(at)
		}
	})
	watcher := w.watcher(plan, func(o *Options) {
		o.Queue = q
		o.After.Step = step
	})
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(ctx) }()
	await(w.t, "the watcher is done, or was stopped", func() bool {
		open, failing := watcher.Owing()
		moved, _ := filepath.Glob(filepath.Join(w.dir, "*.jpg"))
		return ctx.Err() != nil || open+failing == 0 && len(moved) == 0
	})
	cancel()
	if err := <-ended; err != nil {
		w.t.Error(err)
	}
	return reached
}

// The ledger was asked about the version that was there before.
func TestAnOldAnswerIsNotTheNewVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	watcher := w.watcher(then(t, "delete", "keep", "off"))
	d := watcher.debts
	old := d.newDebt(seen(t, path), digestOf(picture(1)), []queue.DropID{"one", "two"}, []queue.JobKey{"1", "2"})
	old.safe = true
	d.open[path] = old
	put(t, path, picture(2))
	d.expect(seen(t, path), digestOf(picture(2)), []queue.DropID{"three"}, []queue.JobKey{"3"})
	d.told(path, old, []*queue.Answer{{}, {}})
	if err := d.waive(deadline(t), path, old); err != nil {
		t.Fatal(err)
	}
	now := d.open[path]
	if now == nil || now.safe || now.complete() {
		t.Fatalf("what is owed to the new version is %+v", now)
	}
	if err := d.ask(deadline(t), path); err != nil || d.open[path] != now {
		t.Errorf("of one that is not submitted yet the ledger was asked: %v, %v", d.open[path], err)
	}
}

// It was expected to be answered, could not be submitted, and is gone by the next try.
func TestAFileThatWentIsOwedNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	watcher := w.watcher(then(t, "delete", "keep", "off"))
	watcher.debts.recalled.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // stands for a broker that is away
	g := seen(t, path)
	err := watcher.submit(ctx, g, content{digest: digestOf(picture(1)), contentType: "image/jpeg"}, nil)
	if err == nil {
		t.Fatal("it was submitted")
	}
	watcher.failed(ctx, g, err)
	remove(t, path)
	if r := watcher.take(deadline(t), g); r.again {
		t.Error("it is to be looked at again")
	}
	if open, failing := watcher.Owing(); open+failing != 0 {
		t.Errorf("%d files are owed something, and %d more", open, failing)
	}
}

// The file's rights are changed while it is being moved: the same drop is expected once more.
func TestOneAtATimeActsOnADrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	watcher := w.watcher(then(t, "move:done", "keep", "off"))
	d := watcher.debts
	complete := func() {
		d.expect(seen(t, path), digestOf(picture(1)), []queue.DropID{"drop"}, []queue.JobKey{"key"})
		d.remembered(path, &queue.Answer{})
	}
	complete()
	if debt, _ := d.begin(path); debt == nil {
		t.Fatal("it cannot be begun")
	}
	complete()
	if debt, _ := d.begin(path); debt != nil {
		t.Error("it is begun twice")
	}
	d.due.take()
	d.end(deadline(t), path, nil, after.Result{}, nil)
	if due, _ := d.due.take(); len(due) != 1 {
		t.Error("the second time is not due when the first has ended")
	}
}

func TestWhatNobodyHasReadIsNotDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := then(t, "delete", "delete", "off")
	empty, err := os.Create(filepath.Join(w.dir, "empty.jpg")) // its writer is about to begin
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	r := w.run(plan)
	await(t, "the empty file is refused", func() bool { return len(w.failures()) == 1 })
	r.paid()
	r.stop()
	closed := put(t, filepath.Join(w.dir, "closed.jpg"), picture(1))
	watcher := w.watcher(plan)
	fault := queue.Fault{Reason: queue.Unreadable, Message: "permission denied"}
	if err := watcher.refuse(deadline(t), seen(t, closed), "", fault); err != nil {
		t.Fatal(err)
	}
	watcher.debts.pay(deadline(t), closed)
	odd := put(t, filepath.Join(w.dir, "odd.jpg"), picture(2))
	fault.Reason = queue.Crash
	if err := watcher.refuse(deadline(t), seen(t, odd), "", fault); err != nil {
		t.Fatal(err)
	}
	put(t, odd, picture(3)) // overwritten since
	watcher.debts.pay(deadline(t), odd)
	w.wantTree("closed.jpg", "empty.jpg", "odd.jpg")
}

func TestSomebodysOwnFileOfASidecarsNameStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	theirs := []string{put(t, path+".verdict.json", []byte("mine")), put(t, path+".failure.json", []byte("mine"))}
	w.judgeAll()
	w.run(then(t, "keep", "keep", "on")).paid()
	for _, path := range theirs {
		if data, err := os.ReadFile(path); string(data) != "mine" {
			t.Errorf("%s holds %.20q, %v", path, data, err)
		}
	}
}

// Nothing can be found out about one of them: its job's record is damaged.
func TestOneFileWhoseAnswerCannotBeReadKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := then(t, "move:done", "keep", "off")
	for i := range 5 {
		put(t, filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i)), picture(i))
	}
	w.scanned(plan)
	w.judgeAll()
	await(t, "the files are judged", func() bool { return len(w.verdicts()) == 5 && w.queued() == 0 })
	key := queue.KeyOf(digestOf(picture(0)), "AC-1")
	if _, err := w.js.Publish(deadline(t), "$KV.authenta-ledger."+string(key), []byte("{")); err != nil {
		t.Fatal(err)
	}
	w.run(plan)
	await(t, "the others are moved", func() bool {
		return slices.Equal(w.tree(), []string{"0.jpg", "done/1.jpg", "done/2.jpg", "done/3.jpg", "done/4.jpg"})
	})
}
