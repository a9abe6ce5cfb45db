package watcher

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/authenta/authenta-ingest/queue"
)

// within reports whether a condition comes to hold in a while.
func within(d time.Duration, holds func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); !holds(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// fsnotify reports the failed inotify_rm_watch of a folder that was moved out and deleted while it holds its lock.
func TestAFolderMovedOutAndDeletedStopsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 300
	for i := range n {
		mkdir(t, filepath.Join(w.dir, fmt.Sprintf("d%d", i)))
	}
	out := t.TempDir()
	watcher := w.watcher()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(ctx) }()
	<-watcher.CaughtUp()
	for i := range n {
		to := filepath.Join(out, fmt.Sprint(i))
		move(t, filepath.Join(w.dir, fmt.Sprintf("d%d", i)), to)
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
	}
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	if !within(10*time.Second, func() bool { return len(w.of(path)) == 1 }) {
		t.Error("no more files are taken")
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		panic("Run does not end") // with the stacks
	}
}

// As many unreadable files as the window holds are older than a new one.
func TestUnreadableFilesDoNotKeepNewOnesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watcher()
	watcher.window = 100
	watcher.found = make(chan sighting)
	r := watcher.roots[0]
	for i := range watcher.window {
		path := filepath.Join(w.dir, fmt.Sprintf("%05d.jpg", i))
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		watcher.files.note(queue.FileMark{Key: queue.FileKeyOf(path), Print: seen(t, path).version.Print(), Again: true})
	}
	path := put(t, filepath.Join(w.dir, "new.jpg"), picture(1))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan bool)
	go func() { r.scanWhole(ctx, false); close(ended) }()
	for total := 0; total < 4*watcher.window; total++ { // the loop, which is quick
		select {
		case g := <-watcher.found:
			if g.path == path {
				return
			}
		case <-ended:
			t.Fatal("the scan ended")
		}
	}
	t.Errorf("%d scans on, the new file was not handed over, and the scan goes on for ever", r.scans)
	cancel()
	<-ended
}

// The file system gives the new folder the old one's inode.
func TestARootDeletedAndMadeAgainAtOnceIsStillWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := put(t, filepath.Join(w.dir, "first.jpg"), picture(0))
	w.run().caughtUp()
	before, _ := placeOf(w.dir)
	remove(t, w.dir)
	mkdir(t, w.dir)
	if now, _ := placeOf(w.dir); now != before {
		t.Skip("another inode")
	}
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	if !within(3*checkEvery, func() bool { return len(w.of(path)) == 1 }) {
		t.Errorf("not heard of, and not looked for before the safety scan: %v", w.arrivals())
	}
	_ = first
}

// It was moved away and back.
func TestARootMovedAwayAndBackIsStillWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run()
	r.caughtUp()
	away := filepath.Join(t.TempDir(), "away")
	move(t, w.dir, away)
	within(time.Second/5, func() bool { return false }) // the event is dealt with
	move(t, away, w.dir)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	if !within(3*checkEvery, func() bool { return len(w.of(path)) == 1 }) {
		t.Error("not heard of, and not looked for before the safety scan")
	}
}

// A part is asked for, or polled, before the tick that would have noticed that the root is back.
func TestAPartScannedFirstDoesNotHideThatTheRootIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watcher()
	watcher.events.open()
	defer watcher.events.source.Close()
	r := watcher.roots[0]
	ctx := deadline(t)
	r.scanWhole(ctx, false)
	remove(t, w.dir)
	if r.arrive(ctx) {
		t.Fatal("it is there")
	}
	sub := mkdir(t, filepath.Join(w.dir, "sub"))
	r.toScan.add(sub)
	r.scanParts(ctx)
	if !r.moved() && !watcher.events.watches(w.dir) {
		t.Error("the root is taken for known, and neither watched nor scanned")
	}
}

func TestALinkedFolderStaysWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	real := mkdir(t, filepath.Join(w.dir, ".store/cam"))
	if err := os.Symlink(real, filepath.Join(w.dir, "cam")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(real, "first.jpg"), picture(0))
	r := w.run(func(o *Options) { o.FollowSymlinks = true })
	r.caughtUp()
	if len(w.arrivals()) != 1 {
		t.Fatal(w.arrivals())
	}
	put(t, filepath.Join(real, "second.jpg"), picture(1))
	if !within(5*time.Second, func() bool { return len(w.arrivals()) == 2 }) {
		t.Errorf("not heard of; watched: %v", r.events.watches(filepath.Join(w.dir, "cam")))
	}
}

func TestOneForbiddenFolderDoesNotHaveTheOthersPolled(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	var dirs []string
	for i := range 20 {
		dirs = append(dirs, mkdir(t, filepath.Join(w.dir, fmt.Sprint(i))))
	}
	if err := os.Chmod(dirs[7], 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dirs[7], 0o755) })
	said := &said{}
	r := w.run(func(o *Options) { o.Log = slog.New(said) })
	r.caughtUp()
	unwatched := 0
	for i, d := range dirs {
		if i != 7 && !r.events.watches(d) {
			unwatched++
		}
	}
	if unwatched > 0 {
		t.Errorf("%d of 19 readable folders are not watched; said: %q", unwatched, said.all())
	}
}

type said struct {
	lines atomic.Pointer[[]string]
}

func (*said) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (s *said) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += fmt.Sprintf(" %s=%v", a.Key, a.Value); return true })
	for {
		was := s.lines.Load()
		now := []string{line}
		if was != nil {
			now = append(slices.Clone(*was), line)
		}
		if s.lines.CompareAndSwap(was, &now) {
			return nil
		}
	}
}
func (s *said) WithAttrs([]slog.Attr) slog.Handler { return s }
func (s *said) WithGroup(string) slog.Handler      { return s }
func (s *said) all() []string {
	if p := s.lines.Load(); p != nil {
		return *p
	}
	return nil
}
func (s *said) count(part string) (n int) {
	for _, l := range s.all() {
		if strings.Contains(l, part) {
			n++
		}
	}
	return n
}

// A file system is mounted again between two looks, and has the device and inode that it had.
func TestARootMountedAgainIsWatched(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"."} {
		t.Run(where, func(t *testing.T) {
			w := newWorld(t)
			at := mkdir(t, filepath.Join(w.dir, where))
			mount := func() {
				if err := syscall.Mount("x", at, "tmpfs", 0, ""); err != nil {
					t.Skip(err)
				}
			}
			mount()
			t.Cleanup(func() { syscall.Unmount(at, syscall.MNT_DETACH) })
			w.run().caughtUp()
			before, _ := placeOf(at)
			if err := syscall.Unmount(at, 0); err != nil {
				t.Skip(err)
			}
			mount()
			if now, _ := placeOf(at); now != before {
				t.Skip("another device")
			}
			path := filepath.Join(at, "a.jpg")
			if err := os.WriteFile(path, picture(1), 0o644); err != nil {
				t.Fatal(err)
			}
			if !within(3*checkEvery, func() bool { return len(w.of(path)) == 1 }) {
				t.Error("not heard of")
			}
		})
	}
}

// A permission is taken and given back long after the verdict.
func TestAPermissionTakenAndGivenBackIsNotPaidFor(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	w.scanned()
	w.forget("KV_authenta-ledger", "authenta-jobs") // INGEST_RESULT_TTL later
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	w.scanned()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w.scanned()
	if n := w.queued(); n != 0 || len(w.failures()) != 0 {
		t.Errorf("%d jobs on the queue: it is paid for again; %d failures of a file that had its answer", n, len(w.failures()))
	}
}

// The root goes while a scan is half way.
func TestFilesAreNotForgottenWhenTheRootGoesInTheMiddleOfAScan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "b")), "a.jpg"), picture(1))
	w.scanned()
	watcher := w.watcher()
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	go watcher.files.run(ctx)
	<-watcher.files.loaded
	r := watcher.roots[0]
	if !r.arrive(ctx) {
		t.Fatal()
	}
	r.scans++
	s := r.newScan() // scanWhole, line by line
	away := filepath.Join(t.TempDir(), "away")
	st, err := stat(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.isRemote(w.dir, uint64(st.Dev)) // it was in the root, and then:
	move(t, w.dir, away)
	s.folder(ctx, filepath.Join(w.dir, "b"), false)
	s.forgetVanished(ctx)
	move(t, away, w.dir)
	if watcher.files.of(path, seen(t, path).version).expiring {
		t.Error("it is about to be forgotten")
	}
}

// Nothing is polled by the settings, and so has to be listened for.
func TestPollNeverStillListens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run(func(o *Options) { o.Poll = PollNever })
	r.caughtUp()
	for range maxMissed {
		r.roots[0].foundByScan("x")
	}
	d := mkdir(t, filepath.Join(w.dir, "d"))
	path := put(t, filepath.Join(d, "a.jpg"), picture(1))
	w.awaitArrivals(path)
	second := put(t, filepath.Join(d, "b.jpg"), picture(2))
	if !within(5*time.Second, func() bool { return len(w.of(second)) == 1 }) {
		t.Error("a new folder is neither watched nor polled")
	}
}

// Files wait for the intake while a safety scan sees them, and every event was heard.
func TestABacklogIsNoProofThatEventsAreMissing(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("takes a while: -long")
	}
	w := newWorld(t)
	pace := make(chan struct{})
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				select {
				case pace <- struct{}{}:
				default:
				}
			case <-done:
				close(pace)
				return
			}
		}
	}()
	t.Cleanup(func() { close(done) })
	q := w.open(func(string) { <-pace })
	said := &said{}
	r := w.run(func(o *Options) { o.Queue = q; o.Rescan = 15 * time.Second; o.Log = slog.New(said) })
	r.caughtUp()
	const files = 2500
	for i := range files {
		p := filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i))
		if err := os.WriteFile(p, picture(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	within(80*time.Second, func() bool { return r.roots[0].silent.Load() || w.remembered() >= files })
	if r.roots[0].silent.Load() {
		t.Errorf("taken for deaf after %d files: %q", w.remembered(), said.all())
	}
}

func TestAnUnreadableRemoteFileIsRefused(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	g := seen(t, path)
	g.remote = true
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if r := w.watcher().take(deadline(t), g); r.again || len(w.failures()) != 1 {
		t.Errorf("again: %v, failures: %v", r.again, w.failures())
	}
}

func TestCopiesThatWaitAreNotReadAndToldOfOverAndOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 101 {
		put(t, filepath.Join(w.dir, fmt.Sprintf("%d.jpg", i)), picture(1))
	}
	said := &said{}
	w.run(func(o *Options) { o.Log = slog.New(said) })
	await(t, "100", func() bool { return w.remembered() == 100 })
	if within(3*time.Second, func() bool { return said.count("waits to be taken in") > 5 }) {
		t.Errorf("one file: %d warnings, each after it was read whole", said.count("waits to be taken in"))
	}
}

// A tree is moved out and deleted there, and a folder of it made again gets its inode.
func TestAFolderWithTheInodeOfOneThatWasMovedOutAndDeletedIsWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := filepath.Join(w.dir, "p")
	sub := mkdir(t, filepath.Join(p, "sub"))
	st, _ := lstat(sub)
	id := dirIDOf(&st)
	r := w.run()
	r.caughtUp()
	out := filepath.Join(t.TempDir(), "p")
	move(t, p, out)
	await(t, "forgotten", func() bool { return !r.events.watches(p) })
	mkdir(t, p)
	await(t, "watched", func() bool { return r.events.watches(p) })
	remove(t, filepath.Join(out, "sub"))
	mkdir(t, sub)
	if st, _ := lstat(sub); dirIDOf(&st) != id {
		t.Skip("another inode")
	}
	first := put(t, filepath.Join(sub, "first.jpg"), picture(0))
	second := func() string { w.of(first); return put(t, filepath.Join(sub, "second.jpg"), picture(1)) }
	within(time.Second, func() bool { return len(w.of(first)) == 1 })
	if path := second(); !within(5*time.Second, func() bool { return len(w.of(path)) == 1 }) {
		t.Error("not heard of")
	}
}

// A link to a folder comes.
func TestANewLinkToAFolderIsFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	real := mkdir(t, filepath.Join(w.dir, ".store/cam"))
	put(t, filepath.Join(real, "first.jpg"), picture(0))
	r := w.run(func(o *Options) { o.FollowSymlinks = true })
	r.caughtUp()
	if err := os.Symlink(real, filepath.Join(w.dir, "cam")); err != nil {
		t.Fatal(err)
	}
	if !within(5*time.Second, func() bool { return len(w.arrivals()) == 1 }) {
		t.Error("not before the safety scan")
	}
}

// Setting a folder's own time, as rsync -a does at the end of each run, does not have the whole tree below it read.
func TestTouchingTheRootReadsNotEveryFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deep := mkdir(t, filepath.Join(w.dir, "a/b/c"))
	w.run().caughtUp()
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if _, err := syscall.InotifyAddWatch(fd, deep, syscall.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(w.dir, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	path := put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "later")), "a.jpg"), picture(1)) // is found by a scan of the part
	w.awaitArrivals(path)
	if n, err := syscall.Read(fd, make([]byte, 4096)); err == nil {
		t.Errorf("a folder three levels below what was touched was read: %d bytes of events", n)
	}
}

// In the second go of a safety scan, what the first has not handed over counts as missed although events were lost.
func TestLostEventsAreNotHeldAgainstTheRootInASecondGo(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("takes a while: -long")
	}
	w := newWorld(t)
	watcher := w.watcher()
	watcher.events.open()
	defer watcher.events.source.Close()
	watcher.window = 100
	r := watcher.roots[0]
	for i := range watcher.window + 10 {
		if err := os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("%05d.jpg", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	within(arrived+time.Second, func() bool { return false })
	r.lost.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() { r.scanWhole(ctx, true); close(ended) }()
	missed := 0
	for range watcher.window + 10 {
		if g := <-watcher.found; g.missed {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("%d files count as missed", missed)
	}
	cancel()
	<-ended
}

// A file that settles is replaced by a link that leads out of the folder.
func TestALinkThatComesInAFilesPlaceIsNotFollowedOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ remote, follow bool }{"remote, links off": {true, false}, "local, links on": {false, true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
			g := seen(t, path)
			g.remote = c.remote
			secret := put(t, filepath.Join(t.TempDir(), "secret.jpg"), picture(2))
			remove(t, path)
			if err := os.Symlink(secret, path); err != nil {
				t.Fatal(err)
			}
			watcher := w.watcher(func(o *Options) { o.FollowSymlinks = c.follow })
			if now, ok := watcher.lookAgain(g); ok {
				watcher.take(deadline(t), now)
			}
			if got := w.arrivals(); len(got) > 0 {
				t.Errorf("taken for a file of ours: %v", got)
			}
		})
	}
}

// Ending 20000 watches makes 20000 events of its own, and the queue holds 16384.
func TestAnOverflowDoesNotMakeTheNextOne(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("takes a while: -long")
	}
	w := newWorld(t)
	for i := range 20000 {
		mkdir(t, filepath.Join(w.dir, fmt.Sprintf("%d/%d", i%20, i)))
	}
	lost := &lostCount{}
	r := w.run(func(o *Options) { o.Log = slog.New(lost) })
	r.caughtUp()
	stop := make(chan bool)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond) // some files a second come anyway
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("%d/x.jpg", i%20)), picture(i), 0o644)
			}
		}
	}()
	r.events.source.Errors <- fsnotify.ErrEventOverflow
	within(30*time.Second, func() bool { return lost.n.Load() > 3 })
	close(stop)
	if n := lost.n.Load(); n > 1 {
		t.Errorf("%d overflows after one, and as many scans of all", n)
	}
}

type lostCount struct{ n atomic.Int32 }

func (*lostCount) Enabled(context.Context, slog.Level) bool { return true }
func (l *lostCount) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "events were lost") {
		l.n.Add(1)
	}
	return nil
}
func (l *lostCount) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *lostCount) WithGroup(string) slog.Handler      { return l }

// A folder that could not be watched, and is gone by the next whole scan, is waited for for ever.
func TestRefusedFoldersThatAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watcher()
	e, r, ctx := watcher.events, watcher.roots[0], deadline(t)
	e.open()
	defer e.source.Close()
	sub := mkdir(t, filepath.Join(w.dir, "sub"))
	e.refuse(syscall.ENOSPC)
	r.scanWhole(ctx, false)
	remove(t, sub)
	e.tryAt = time.Now() // a minute later
	r.scanWhole(ctx, false)
	r.poll(ctx)
	if len(e.refused) > 0 || e.why != nil {
		t.Errorf("still refused: %v, %v", e.refused, e.why)
	}
}

func TestOneBusyFileTakesBoundedMemory(t *testing.T) {
	t.Parallel()
	s := newSettling(10 * time.Minute)
	now := time.Now()
	s.see(sightingOf("b", 1, 0), now, false) // waits, and stands before all the rest
	s.see(sightingOf("a", 1, 0), now, false)
	for range 100_000 {
		now = now.Add(time.Millisecond)
		s.touch("a", now)
		s.next()
	}
	if len(s.queue) > 3 {
		t.Errorf("%d entries for one file", len(s.queue))
	}
}

// Links are not followed, and a folder that is polled becomes one.
func TestAPolledFolderThatBecomesALinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := mkdir(t, filepath.Join(w.dir, "d"))
	r := w.run(func(o *Options) { o.Poll = Poll(time.Second) })
	r.caughtUp()
	away := t.TempDir()
	put(t, filepath.Join(away, "secret.jpg"), picture(1))
	remove(t, d)
	if err := os.Symlink(away, d); err != nil {
		t.Fatal(err)
	}
	if within(6*time.Second, func() bool { return len(w.arrivals()) > 0 }) {
		t.Errorf("taken from outside the watched folder: %v", w.arrivals())
	}
}

// The watched folder is moved, and a link left in its place. (That it is resolved at the start is no help.)
func TestARootThatBecomesALinkStaysWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.run()
	r.caughtUp()
	away := filepath.Join(t.TempDir(), "away")
	move(t, w.dir, away)
	if err := os.Symlink(away, w.dir); err != nil {
		t.Fatal(err)
	}
	within(2*checkEvery, func() bool { return false })
	path := put(t, filepath.Join(w.dir, "a.jpg"), picture(1))
	if !within(6*time.Second, func() bool { return len(w.of(path)) == 1 }) {
		t.Error("not heard of")
	}
}

// What the mirror has and the registry has not is asked for at every scan.
func TestWhatTheRegistryHasLostIsForgottenByTheMirror(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watcher()
	watcher.files.note(queue.FileMark{Key: queue.FileKeyOf("/gone"), Print: 1})
	r := watcher.roots[0]
	if !r.arrive(deadline(t)) {
		t.Fatal("the root is not there")
	}
	r.newScan().forgetVanished(deadline(t))
	if n := len(watcher.files.missing(0, 0, 10)); n > 0 {
		t.Errorf("%d", n)
	}
}
