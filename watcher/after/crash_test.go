package after_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/watcher/after"
)

// TestACrashAtAnyStepLosesNothing crashes before and after everything that changes a disk. The file is then where it was
// or where it should be, and with the next try all is as if there had been no crash.
func TestACrashAtAnyStepLosesNothing(t *testing.T) {
	t.Parallel()
	for _, y := range ways {
		t.Run(y.name, func(t *testing.T) {
			t.Parallel()
			w, p := y.world(t)
			whole := w.live(p, yes, undisturbed)
			if whole.err != nil || whole.result.Fate != y.fate {
				t.Fatalf("undisturbed: %+v, %v", whole.result, whole.err)
			}
			want := w.tree()
			w.must(p, yes, again(y.fate))
			w.want(want) // once more changes nothing
			for n, step := range whole.steps {
				w, p := y.world(t)
				if w.live(p, yes, func(i int, _ string) bool { return i < n }).done {
					t.Fatalf("step %d, %q, was not reached", n, step)
				}
				w.safe(y, step)
				if l := w.live(p, yes, undisturbed); l.err != nil || l.result.Fate != y.fate && l.result.Fate != again(y.fate) {
					t.Errorf("after a crash at %q: %+v, %v", step, l.result, l.err)
				}
				if got := w.tree(); !maps.Equal(got, want) {
					t.Errorf("after a crash at %q there is\n%swant\n%s", step, list(got), list(want))
				}
			}
		})
	}
}

// again is what a second try finds.
func again(f after.Fate) after.Fate {
	if f == after.Deleted {
		return after.Gone
	}
	return f
}

// safe checks that at a crash the file is where it was or where it should be, and with its sidecar where it is no longer.
func (w *world) safe(y way, step string) {
	w.t.Helper()
	var was, is, answered bool
	for path, data := range w.tree() {
		dir, name := filepath.Split(path)
		switch {
		case data == judged && dir == "root/a/b/":
			was = true
		case data == judged && !strings.HasPrefix(name, "."):
			is = true
		case data == verdict+"\n" && !strings.HasPrefix(name, "."):
			answered = true
		}
	}
	is = is || y.fate == after.Deleted
	if !was && !is {
		w.t.Errorf("at a crash at %q it is in neither place:\n%s", step, list(w.tree()))
	}
	if !was && !answered && y.sidecar != "off" {
		w.t.Errorf("at a crash at %q it has gone, and there is no sidecar:\n%s", step, list(w.tree()))
	}
}

func TestCrashesOneAfterAnotherLoseNothing(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, y := range ways {
		t.Run(y.name, func(t *testing.T) {
			w, p := y.world(t)
			steps := len(w.live(p, yes, undisturbed).steps)
			want := w.tree()
			for range 4 {
				w, p := y.world(t)
				var crashes []int
				for l := (life{}); !l.done; {
					n := r.IntN(steps + len(crashes)) // ever later, so that it ends
					crashes = append(crashes, n)
					l = w.live(p, yes, func(i int, _ string) bool { return i < n })
					w.safe(y, fmt.Sprint(crashes))
				}
				w.live(p, yes, undisturbed)
				if got := w.tree(); !maps.Equal(got, want) {
					t.Errorf("after crashes at %v there is\n%swant\n%s", crashes, list(got), list(want))
				}
			}
		})
	}
}

// TestANewVersionSurvivesAtItsPath has somebody write to the path at every step. Whatever he has written is there in the
// end, with the marker that he wrote for it.
func TestANewVersionSurvivesAtItsPath(t *testing.T) {
	t.Parallel()
	writers := map[string]func(t *testing.T, path string){
		"renamed over": func(t *testing.T, path string) {
			beside := filepath.Join(filepath.Dir(path), ".new")
			write(t, beside, newer)
			if err := os.Rename(beside, path); err != nil {
				t.Error(err)
			}
		},
		"overwritten":                  func(t *testing.T, path string) { write(t, path, newer) },
		"overwritten by as many bytes": func(t *testing.T, path string) { write(t, path, strings.ToUpper(judged)) },
		"removed": func(_ *testing.T, path string) { // with its folder, if nothing is left in that
			_, _ = os.Remove(path), os.Remove(filepath.Dir(path))
		},
	}
	for _, y := range ways {
		for how, alter := range writers {
			t.Run(y.name+", "+how, func(t *testing.T) {
				t.Parallel()
				w, p := y.world(t)
				for n, step := range w.live(p, yes, undisturbed).steps {
					if strings.HasPrefix(step, "after") {
						continue // nothing but a look lies between that and the next
					}
					w, p := y.world(t)
					var wrote string
					first := w.live(p, yes, func(i int, _ string) bool {
						if i == n {
							alter(t, w.file.Path)
							data, _ := os.ReadFile(w.file.Path) // nothing is what it should be after a removal
							if wrote = string(data); wrote != "" {
								renew(t, w.file.Marker)
							}
						}
						return true
					})
					w.survives(step, wrote, first)
					if first.result.Fate == after.Changed && strings.Contains(list(w.tree()), "verdict.json") {
						t.Errorf("at %q: what was not judged has a verdict:\n%s", step, list(w.tree()))
					}
					w.survives(step+", and again", wrote, w.live(p, yes, undisturbed))
				}
			})
		}
	}
}

// TestTheOldMarkerSaysNothingOfANewVersion has one written that has no marker yet.
func TestTheOldMarkerSaysNothingOfANewVersion(t *testing.T) {
	t.Parallel()
	for _, y := range ways {
		if y.fate == after.Kept {
			continue
		}
		t.Run(y.name, func(t *testing.T) {
			w, p := y.world(t)
			l := w.live(p, yes, func(_ int, point string) bool {
				if point == "before set mark aside" {
					write(t, w.file.Path, newer)
				}
				return true
			})
			if l.err != nil || exists(w.file.Marker) {
				t.Errorf("%v\n%s", l.err, list(w.tree()))
			}
		})
	}
}

// renew writes a marker as one that was not there before.
func renew(t *testing.T, path string) {
	t.Helper()
	write(t, path+".new", "new")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (w *world) survives(step, wrote string, l life) {
	w.t.Helper()
	if l.err != nil {
		w.t.Errorf("at %q: %v", step, l.err)
	}
	data, _ := os.ReadFile(w.file.Path)
	if string(data) != wrote {
		w.t.Errorf("at %q: %q is there, %q was written:\n%s%+v", step, data, wrote, list(w.tree()), l.result)
	}
	if wrote != "" && !exists(w.file.Marker) {
		w.t.Errorf("at %q: the new version's marker is gone", step)
	}
	for path, data := range w.tree() {
		if data == wrote && wrote != "" && path != "root/a/b/clip.mp4" {
			w.t.Errorf("at %q: what was not judged is in %s", step, path)
		}
		if strings.HasPrefix(filepath.Base(path), ".") {
			w.t.Errorf("at %q: %s is left", step, path)
		}
	}
}

// TestANewVersionThatACrashHasLeftSetAsideIsPutBack has it written just before the file is set aside, and crashes before it
// is looked at.
func TestANewVersionThatACrashHasLeftSetAsideIsPutBack(t *testing.T) {
	t.Parallel()
	for _, y := range ways {
		if y.fate == after.Kept {
			continue
		}
		t.Run(y.name, func(t *testing.T) {
			w, p := y.world(t)
			w.live(p, yes, func(_ int, point string) bool {
				if point == "before set aside" {
					write(t, w.file.Path, newer)
				}
				return point != "after set aside"
			})
			if exists(w.file.Path) {
				t.Fatal("it was not set aside")
			}
			w.survives("the next try", newer, w.live(p, yes, undisturbed))
		})
	}
}

// TestACrashWhileAFileIsPutBack has a move fail, and what undoes it crash at any step.
func TestACrashWhileAFileIsPutBack(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(string) error{"move": nil, "plain": plain, "plainer": plainer} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				w := newWorld(t)
				p := plan(t, "move:done", "keep", "off")
				p.Step = func(at string) error {
					if at == "before move" {
						return syscall.EIO
					}
					if fails != nil {
						return fails(at)
					}
					return nil
				}
				failed := 0 // how many steps ago
				l := w.live(p, yes, func(_ int, point string) bool {
					if failed > 0 || point == "before move" {
						failed++
					}
					return failed <= n
				})
				if l.done {
					if n < 3 || !errors.Is(l.err, syscall.EIO) {
						t.Errorf("after %d steps: %v", n, l.err)
					}
					break
				}
				p.Step = fails
				w.must(p, yes, after.Moved)
				w.want(map[string]string{"root/done/a/b/clip.mp4": judged})
			}
		})
	}
}

// TestASecondNewVersionDoesNotCostTheFirst puts a new version in place at two steps. The second is there in the end; the
// first, if it was not the writer who replaced it, is under another name.
func TestASecondNewVersionDoesNotCostTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := plan(t, "delete", "keep", "off")
	l := w.live(p, yes, func(_ int, point string) bool {
		switch point {
		case "before set aside":
			write(t, w.file.Path, newer)
		case "after set aside":
			write(t, w.file.Path, "the newest version")
		}
		return true
	})
	if l.err != nil || l.result.Fate != after.Changed {
		t.Errorf("%+v, %v", l.result, l.err)
	}
	w.want(map[string]string{"root/a/b/clip.mp4": "the newest version", "root/a/b/clip-01234567.mp4": newer})
}

// TestTheDiskKnowsBeforeTheFileGoes checks the order of what a power cut may undo.
func TestTheDiskKnowsBeforeTheFileGoes(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{
		"delete, sidecar": {"after write sidecar", "after name sidecar", "after sync folder", "before set aside", "after remove", "after sync folder", "before set mark aside"},
		"move":            {"after make folder", "after sync folder", "after name sidecar", "after sync folder", "before set aside", "after move", "after sync folder", "after sync folder", "before set mark aside"},
		"move to another mount": {"after copy", "after set time", "after sync", "after name sidecar", "after sync folder", "after place copy", "after sync folder",
			"before set aside", "after remove", "after sync folder", "before set mark aside"},
	} {
		t.Run(name, func(t *testing.T) {
			y := ways[slices.IndexFunc(ways, func(y way) bool { return y.name == name })]
			w, p := y.world(t)
			steps := w.live(p, yes, undisturbed).steps
			rest := steps
			for _, step := range order {
				i := slices.Index(rest, step)
				if i < 0 {
					t.Fatalf("%q is missing, or too early: %q", step, steps)
				}
				rest = rest[i+1:]
			}
		})
	}
}
