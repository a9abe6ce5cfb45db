package after_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/watcher/after"
)

func TestWhatBecomesOfAFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		onVerdict, onFailure, sidecar string
		answers                       []after.Answer
		fate                          after.Fate
		tree                          map[string]string // beside it, the marker
		marker                        bool              // it is still there
	}{
		{"keep", "delete", "off", yes, after.Kept, map[string]string{"root/a/b/clip.mp4": judged}, true},
		{"keep", "delete", "on", yes, after.Kept, map[string]string{"root/a/b/clip.mp4": judged, "root/a/b/clip.mp4.verdict.json": verdict + "\n"}, true},
		{"keep", "delete", "verdicts", yes, after.Kept, map[string]string{"root/a/b/clip.mp4": judged, "root/verdicts/a/b/clip.mp4.verdict.json": verdict + "\n"}, true},
		{"delete", "keep", "off", yes, after.Deleted, map[string]string{}, false},
		{"delete", "keep", "on", yes, after.Deleted, map[string]string{"root/a/b/clip.mp4.verdict.json": verdict + "\n"}, false},
		{"move:done", "keep", "on", yes, after.Moved, map[string]string{"root/done/a/b/clip.mp4": judged, "root/done/a/b/clip.mp4.verdict.json": verdict + "\n"}, false},
		{"move:ELSEWHERE", "keep", "off", yes, after.Moved, map[string]string{"elsewhere/a/b/clip.mp4": judged}, false},
		{"move:ELSEWHERE/", "keep", "x/y", yes, after.Moved, map[string]string{"elsewhere/a/b/clip.mp4": judged, "root/x/y/a/b/clip.mp4.verdict.json": verdict + "\n"}, false},
		{"delete", "keep", "on", no, after.Kept, map[string]string{"root/a/b/clip.mp4": judged, "root/a/b/clip.mp4.failure.json": failure + "\n"}, true},
		{"keep", "delete", "off", no, after.Deleted, map[string]string{}, false},
		{"move:done", "move:failed", "on", no, after.Moved, map[string]string{"root/failed/a/b/clip.mp4": judged, "root/failed/a/b/clip.mp4.failure.json": failure + "\n"}, false},
	} {
		t.Run(strings.Join([]string{c.onVerdict, c.onFailure, c.sidecar}, " "), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.marked()
			p := plan(t, strings.ReplaceAll(c.onVerdict, "ELSEWHERE", w.elsewhere), c.onFailure, c.sidecar)
			r := w.must(p, c.answers, c.fate)
			if c.marker {
				c.tree["root/a/b/clip.mp4.done"] = ""
			}
			w.want(c.tree)
			if (r.Path == "") != (c.fate == after.Deleted) || r.Path != "" && !exists(r.Path) {
				t.Errorf("it is said to be at %q", r.Path)
			}
			for _, path := range r.Sidecars {
				if !exists(path) {
					t.Errorf("a sidecar is said to be at %s", path)
				}
			}
		})
	}
}

func TestAnotherVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]func(path string) error{
		"another size": func(path string) error { return os.WriteFile(path, []byte(newer), 0o600) },
		"another time": func(path string) error { return os.Chtimes(path, time.Now(), time.Now()) },
		"another inode": func(path string) error {
			info, err := os.Stat(path)
			return errors.Join(err, os.WriteFile(path+"~", []byte(judged), 0o600), os.Chtimes(path+"~", info.ModTime(), info.ModTime()), os.Rename(path+"~", path))
		},
		"a link":   func(path string) error { return errors.Join(os.Rename(path, path+"~"), os.Symlink(path+"~", path)) },
		"a folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		for _, policy := range []string{"keep", "delete", "move:done"} {
			t.Run(name+", "+policy, func(t *testing.T) {
				w := newWorld(t)
				if err := alter(w.file.Path); err != nil {
					t.Fatal(err)
				}
				before, err := os.Lstat(w.file.Path)
				if err != nil {
					t.Fatal(err)
				}
				w.must(plan(t, policy, "keep", "on"), yes, after.Changed)
				now, err := os.Lstat(w.file.Path)
				if err != nil || !os.SameFile(before, now) || before.Mode() != now.Mode() {
					t.Errorf("it was %v, and is %v, %v", before, now, err)
				}
				if exists(w.file.Path + ".verdict.json") {
					t.Error("it has a sidecar")
				}
			})
		}
	}
}

func TestAFileThatIsGoneIsNoError(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(w *world) error{
		"the file":    func(w *world) error { return os.Remove(w.file.Path) },
		"its folders": func(w *world) error { return os.RemoveAll(filepath.Join(w.root, "a")) },
		"a file in place of those": func(w *world) error {
			write(w.t, filepath.Join(w.root, "x"), "")
			return errors.Join(os.RemoveAll(filepath.Join(w.root, "a")), os.Rename(filepath.Join(w.root, "x"), filepath.Join(w.root, "a")))
		},
	} {
		for _, policy := range []string{"keep", "delete", "move:done"} {
			t.Run(name+", "+policy, func(t *testing.T) {
				w := newWorld(t)
				if err := remove(w); err != nil {
					t.Fatal(err)
				}
				before := w.tree()
				w.must(plan(t, policy, "keep", "on"), yes, after.Gone)
				w.want(before)
			})
		}
	}
	t.Run("but a watched folder that is not there is", func(t *testing.T) {
		w := newWorld(t)
		if err := os.Rename(w.root, w.root+"~"); err != nil {
			t.Fatal(err)
		}
		r, err := w.do(plan(t, "delete", "keep", "on"), yes)
		if err := os.Rename(w.root+"~", w.root); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			t.Errorf("%+v", r)
		}
	})
}

func TestNoLinkBelowAWatchedFolderIsFollowed(t *testing.T) {
	t.Parallel()
	t.Run("to the file", func(t *testing.T) {
		w := newWorld(t)
		folder := filepath.Join(w.root, "a")
		if err := errors.Join(os.Rename(folder, filepath.Join(w.elsewhere, "a")), os.Symlink(filepath.Join(w.elsewhere, "a"), folder)); err != nil {
			t.Fatal(err)
		}
		w.must(plan(t, "delete", "keep", "on"), yes, after.Gone)
		w.want(map[string]string{"root/a": "", "elsewhere/a/b/clip.mp4": judged})
	})
	for _, c := range []struct{ policy, sidecar string }{{"move:done", "off"}, {"delete", "done"}} {
		t.Run("to where "+c.policy+" would bring something", func(t *testing.T) {
			w := newWorld(t)
			if err := os.Symlink(w.elsewhere, filepath.Join(w.root, "done")); err != nil {
				t.Fatal(err)
			}
			r, err := w.do(plan(t, c.policy, "keep", c.sidecar), yes)
			if err == nil || !strings.Contains(err.Error(), "link") || !strings.Contains(err.Error(), w.file.Path) {
				t.Errorf("%+v, %v", r, err)
			}
			if !exists(w.file.Path) || exists(filepath.Join(w.elsewhere, "a")) {
				t.Error(list(w.tree()))
			}
		})
	}
}

func TestATakenNameIsNotReplaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		taken []string
		want  string
	}{
		{nil, "clip.mp4"},
		{[]string{"clip.mp4"}, "clip-01234567.mp4"},
		{[]string{"clip.mp4.verdict.json"}, "clip-01234567.mp4"},
		{[]string{"clip.mp4.failure.json"}, "clip-01234567.mp4"},
		{[]string{"clip.mp4", "clip-01234567.mp4"}, "clip-0123456789abcdef01234567.mp4"},
		{[]string{"clip.mp4", "clip-01234567.mp4", "clip-0123456789abcdef01234567.mp4"}, ""},
	} {
		for name, fails := range map[string]func(string) error{"same disk": nil, "another mount": farAway, "plain": plain, "plainer": plainer} {
			t.Run(fmt.Sprint(c.taken, " ", name), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				for _, name := range c.taken {
					write(t, filepath.Join(w.root, "done", "a", "b", name), "of somebody else")
				}
				before := w.tree()
				p := plan(t, "move:done", "keep", "on")
				p.Step = fails
				if c.want == "" {
					if r, err := w.do(p, yes); err == nil || !strings.Contains(err.Error(), "taken") {
						t.Errorf("%+v, %v", r, err)
					}
					w.want(before)
					return
				}
				for range 2 {
					r := w.must(p, yes, after.Moved)
					if filepath.Base(r.Path) != c.want {
						t.Errorf("it is at %s, want it as %s", r.Path, c.want)
					}
				}
				delete(before, "root/a/b/clip.mp4")
				before["root/done/a/b/"+c.want] = judged
				before["root/done/a/b/"+c.want+".verdict.json"] = verdict + "\n"
				w.want(before)
			})
		}
	}
}

// TestAFileIsFoundAgainUnderItsSecondName has the first become free after the move, or after a copy that a crash left in
// both places.
func TestAFileIsFoundAgainUnderItsSecondName(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]string{"moved": "", "in both places": "after place copy"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			other := filepath.Join(w.root, "done", "a", "b", "clip.mp4")
			write(t, other, "of somebody else")
			p := plan(t, "move:done", "keep", "off")
			p.Step = farAway
			w.live(p, yes, func(_ int, point string) bool { return point != crash })
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
			w.must(p, yes, after.Moved)
			w.want(map[string]string{"root/done/a/b/clip-01234567.mp4": judged})
		})
	}
}

// TestANameThatIsTakenInTheLastMomentIsNotReplaced has somebody take each name just before the file gets it.
func TestANameThatIsTakenInTheLastMomentIsNotReplaced(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(string) error{"same disk": nil, "another mount": farAway, "plain": plain} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := plan(t, "move:done", "keep", "on")
			p.Step = fails
			other := filepath.Join(w.root, "done", "a", "b", "clip.mp4")
			l := w.live(p, yes, func(_ int, point string) bool {
				if point == "after name sidecar" && !exists(other) {
					write(t, other, "of somebody else")
				}
				return true
			})
			if l.err != nil || l.result.Fate != after.Moved {
				t.Errorf("%+v, %v", l.result, l.err)
			}
			w.want(map[string]string{
				"root/done/a/b/clip.mp4": "of somebody else", "root/done/a/b/clip-01234567.mp4": judged, "root/done/a/b/clip-01234567.mp4.verdict.json": verdict + "\n",
			})
		})
	}
}

func TestAnswersOfTwoWatchedFoldersMeetAndBothStay(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete", "move:ELSEWHERE"} {
		t.Run(policy, func(t *testing.T) {
			first, second := newWorld(t), newWorld(t)
			second.elsewhere, second.file.Drop = first.elsewhere, "76543210"
			p := plan(t, strings.ReplaceAll(policy, "ELSEWHERE", first.elsewhere), "keep", first.elsewhere)
			other := strings.ReplaceAll(verdict, "/in/", "/there/")
			for range 2 {
				if _, err := first.do(p, yes); err != nil {
					t.Error(err)
				}
				if _, err := second.do(p, []after.Answer{{Model: "DF-1", Message: []byte(other)}}); err != nil {
					t.Error(err)
				}
			}
			got := first.tree()
			if got["elsewhere/a/b/clip.mp4.verdict.json"] != verdict+"\n" || got["elsewhere/a/b/clip-76543210.mp4.verdict.json"] != other+"\n" {
				t.Error(list(got))
			}
			if policy == "move:ELSEWHERE" && (got["elsewhere/a/b/clip.mp4"] != judged || got["elsewhere/a/b/clip-76543210.mp4"] != judged) {
				t.Error(list(got))
			}
		})
	}
}

// TestAVerdictAfterAFailure has a retry bring one, for a file that the failure had left or moved.
func TestAVerdictAfterAFailure(t *testing.T) {
	t.Parallel()
	const answer = ".verdict.json"
	for _, c := range []struct {
		onVerdict, onFailure string
		fate                 after.Fate
		tree                 map[string]string
	}{
		{"keep", "keep", after.Kept, map[string]string{"root/a/b/clip.mp4": judged, "root/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"delete", "keep", after.Deleted, map[string]string{"root/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"move:done", "keep", after.Moved, map[string]string{"root/done/a/b/clip.mp4": judged, "root/done/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"keep", "move:failed", after.Kept, map[string]string{"root/failed/a/b/clip.mp4": judged, "root/failed/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"delete", "move:failed", after.Deleted, map[string]string{"root/failed/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"move:done", "move:failed", after.Moved, map[string]string{"root/done/a/b/clip.mp4": judged, "root/done/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"move:done", "move:done", after.Moved, map[string]string{"root/done/a/b/clip.mp4": judged, "root/done/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"move:done", "move:ROOT/done", after.Moved, map[string]string{"root/done/a/b/clip.mp4": judged, "root/done/a/b/clip.mp4" + answer: verdict + "\n"}},
		{"move:done", "delete", after.Gone, map[string]string{"root/a/b/clip.mp4" + answer: verdict + "\n"}},
	} {
		for name, fails := range map[string]func(string) error{"same disk": nil, "another mount": farAway} {
			t.Run(strings.Join([]string{c.onFailure, c.onVerdict, name}, ", "), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				if err := os.Mkdir(filepath.Join(w.root, "done"), 0o700); err != nil {
					t.Fatal(err)
				}
				p := plan(t, c.onVerdict, strings.ReplaceAll(c.onFailure, "ROOT", w.root), "on")
				p.Step = fails
				if _, err := w.do(p, no); err != nil {
					t.Fatal(err)
				}
				w.must(p, yes, c.fate)
				w.want(c.tree)
				if _, err := w.do(p, yes); err != nil {
					t.Error(err)
				}
				w.want(c.tree)
			})
		}
	}
}

func TestEachModelHasItsSidecar(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := plan(t, "delete", "keep", "on")
	half := []after.Answer{yes[0], {Model: "FD-1", Failed: true, Message: []byte(failure)}}
	w.must(p, half, after.Kept)
	w.want(map[string]string{
		"root/a/b/clip.mp4": judged, "root/a/b/clip.mp4.DF-1.verdict.json": verdict + "\n", "root/a/b/clip.mp4.FD-1.failure.json": failure + "\n",
	})
	w.must(p, []after.Answer{yes[0], {Model: "FD-1", Message: []byte(verdict)}}, after.Deleted)
	w.want(map[string]string{
		"root/a/b/clip.mp4.DF-1.verdict.json": verdict + "\n", "root/a/b/clip.mp4.FD-1.verdict.json": verdict + "\n",
	})
}

func TestWhoMayReadTheFileMayReadItsAnswerAndItsCopy(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o600, 0o640, 0o644, 0o444, 0o755} {
		w := newWorld(t)
		if err := os.Chmod(w.file.Path, mode); err != nil {
			t.Fatal(err)
		}
		p := plan(t, "move:done", "keep", "on")
		p.Step = farAway
		r := w.must(p, yes, after.Moved)
		for path, want := range map[string]os.FileMode{r.Path: mode, r.Sidecars[0]: mode&0o666 | 0o600} {
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
			}
			if path == r.Path && !info.ModTime().Equal(w.file.Version.ModTime) {
				t.Errorf("%s has another time: %v", path, info.ModTime())
			}
		}
		if err := os.Remove(r.Sidecars[0]); err != nil {
			t.Fatal(err)
		}
		w.must(p, yes, after.Moved)
		if info, err := os.Stat(r.Sidecars[0]); err != nil || info.Mode().Perm() != mode&0o666|0o600 {
			t.Errorf("written again: %v, %v", info, err)
		}
	}
}

func TestNamesOfAllKinds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"-rf", "a\nb.mp4", "\xff\xfe.mp4", "…", "a b.mp4", "no extension", "two.dots.mp4", ".mp4", "clip." + strings.Repeat("x", 100),
		strings.Repeat("l", 251) + ".mp4", strings.Repeat("ü", 127) + "x", strings.Repeat("\xfc", 255), strings.Repeat("l", 250),
	} {
		for _, policy := range []string{"delete", "move:done"} {
			for _, fails := range []func(string) error{nil, farAway} {
				w := worldOf(t, name, scratch(t))
				p := plan(t, policy, "keep", "on")
				p.Step = fails
				taken := filepath.Join(w.root, "done", "a", "b", name)
				write(t, taken, "of somebody else")
				r, err := w.do(p, yes)
				if err != nil || exists(w.file.Path) || len(r.Sidecars) != 1 || !exists(r.Sidecars[0]) || !exists(taken) {
					t.Errorf("%q: %+v, %v\n%s", name, r, err, list(w.tree()))
				}
			}
		}
	}
}

func TestPutBackUndoesWhatACrashHasLeft(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"clip.mp4", "-rf", "a\nb.mp4", "\xff"} {
		w := worldOf(t, name, scratch(t))
		before := w.tree()
		w.live(plan(t, "delete", "keep", "off"), yes, func(_ int, point string) bool { return point != "after set aside" })
		entries, err := os.ReadDir(filepath.Dir(w.file.Path))
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		id, ok := after.Hidden(entries[0].Name())
		if !ok || id != drop {
			t.Errorf("%q: %q, %t", entries[0].Name(), id, ok)
		}
		aside := filepath.Join(filepath.Dir(w.file.Path), entries[0].Name())
		if path, err := after.PutBack(aside); err != nil || path != w.file.Path {
			t.Errorf("%q, %v", path, err)
		}
		w.want(before)
		if path, err := after.PutBack(aside); err == nil {
			t.Errorf("put back a second time: %s", path)
		}
		if err := os.Link(w.file.Path, aside); err != nil {
			t.Fatal(err)
		}
		if path, err := after.PutBack(aside); err != nil || path != w.file.Path {
			t.Errorf("put back by half: %q, %v", path, err)
		}
		w.want(before)
	}
	for _, name := range []string{"clip.mp4", ".authenta-ingest", ".authenta-ingest.", ".authenta-ingest.check", ".authenta-ingest-writing.x.clip.mp4"} {
		if _, ok := after.Hidden(name); ok {
			t.Errorf("%s is taken for one that is set aside", name)
		}
		if path, err := after.PutBack("/nowhere/" + name); err == nil {
			t.Errorf("put back: %s", path)
		}
	}
}

// TestTwoDaemonsOnOneFolderLoseNothing has several do the same at once, which nobody should have them do.
func TestTwoDaemonsOnOneFolderLoseNothing(t *testing.T) {
	t.Parallel()
	for _, y := range ways {
		t.Run(y.name, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				w, p := y.world(t)
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() { _, _ = w.do(p, yes) }) // they may be in each other's way
				}
				all.Wait()
				w.safe(y, "the end")
				if _, err := w.do(p, yes); err != nil {
					t.Error(err)
				}
				w.safe(y, "the end, and again")
			}
		})
	}
}

func TestALongCopyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.tree()
	ctx, cancel := context.WithCancel(t.Context())
	p := plan(t, "move:done", "keep", "off")
	p.Step = func(at string) error {
		if at == "after create" {
			cancel()
		}
		return farAway(at)
	}
	if r, err := p.Do(ctx, w.file, yes); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
	w.want(before)
}

func TestACopyThatIsNotWhatWasWrittenIsNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.tree()
	p := plan(t, "move:done", "keep", "off")
	p.Step = func(at string) error {
		if at == "before sync" {
			spoil(t, filepath.Join(w.root, "done", "a", "b"))
		}
		return farAway(at)
	}
	if r, err := w.do(p, yes); err == nil || !strings.Contains(err.Error(), "not what was written") {
		t.Errorf("%+v, %v", r, err)
	}
	w.want(before)
}

// spoil alters a byte of the one file in a folder.
func spoil(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, entries[0].Name()), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("X"), 3)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Its inode's change time tells that something was done to it, and its content what.
func TestContentThatChangedUnderItsSizeAndTimeIsAnother(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"keep", "delete", "move:done"} {
		for what, c := range map[string]struct {
			content string
			fate    after.Fate
		}{
			"changed": {strings.ToUpper(judged), after.Changed},
			"touched": {judged, ""},
		} {
			t.Run(policy+", "+what, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				f, err := os.OpenFile(w.file.Path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, err = f.WriteString(c.content)
				if err := errors.Join(err, f.Close(), os.Chtimes(w.file.Path, time.Time{}, w.file.Version.ModTime)); err != nil {
					t.Fatal(err)
				}
				r, err := plan(t, policy, "keep", "off").Do(t.Context(), w.file, yes)
				if err != nil || (r.Fate == after.Changed) != (c.fate == after.Changed) {
					t.Errorf("%+v, %v", r, err)
				}
				if r.Fate == after.Changed {
					w.want(map[string]string{"root/a/b/clip.mp4": c.content})
				}
			})
		}
	}
}

func TestARefusedFileIsMovedWithoutADigest(t *testing.T) {
	t.Parallel()
	for _, y := range ways {
		if y.fate != after.Moved {
			continue
		}
		t.Run(y.name, func(t *testing.T) {
			w, p := y.world(t)
			w.file.Digest = ""
			p.OnFailure = p.OnVerdict
			refused := []after.Answer{{Failed: true, Message: []byte(failure)}}
			w.must(p, refused, after.Moved)
			once := w.tree()
			w.must(p, refused, after.Moved)
			w.want(once)
		})
	}
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*after.File, *[]after.Answer){
		"no answer":          func(_ *after.File, a *[]after.Answer) { *a = nil },
		"no drop":            func(f *after.File, _ *[]after.Answer) { f.Drop = "" },
		"not below the root": func(f *after.File, _ *[]after.Answer) { f.Path = filepath.Dir(f.Root) + "/x" },
		"the root":           func(f *after.File, _ *[]after.Answer) { f.Path = f.Root },
		"no JSON":            func(_ *after.File, a *[]after.Answer) { *a = []after.Answer{{Message: []byte("fake")}} },
	} {
		w := newWorld(t)
		before := w.tree()
		answers := yes
		spoil(&w.file, &answers)
		if r, err := w.do(plan(t, "delete", "delete", "on"), answers); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
		w.want(before)
	}
}
