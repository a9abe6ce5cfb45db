package watcher

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

// lifeOf returns when a file's entry goes by itself, from when it was written: 0 is never, and -1 that there is none.
func (w *world) lifeOf(path string) time.Duration {
	w.t.Helper()
	s, err := w.js.Stream(deadline(w.t), "KV_authenta-files")
	if err != nil {
		w.t.Fatal(err)
	}
	msg, err := s.GetLastMsgForSubject(deadline(w.t), "$KV.authenta-files.*."+queue.FileKeyOf(path).String())
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return -1
	}
	if err != nil {
		w.t.Fatal(err)
	}
	life, err := time.ParseDuration("0" + msg.Header.Get(jetstream.MsgTTLHeader))
	if err != nil {
		w.t.Fatal(err)
	}
	return life
}

func TestAVanishedFileIsForgottenADayLaterUnlessItIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	folder := mkdir(t, filepath.Join(w.dir, "a"))
	path := put(t, filepath.Join(folder, "a.jpg"), picture(1))
	kept := put(t, filepath.Join(w.dir, "b.jpg"), picture(2))
	w.scanned()
	away := filepath.Join(t.TempDir(), "away")
	move(t, folder, away)
	w.scanned()
	if life := w.lifeOf(path); life != 24*time.Hour {
		t.Errorf("the vanished file is forgotten in %s", life)
	}
	w.scanned() // which does not put it off
	move(t, away, folder)
	o := countOpens(t, folder)
	w.scanned()
	if life := w.lifeOf(path); life != 0 || len(o.take()) > 0 {
		t.Errorf("the file that is back, as it was, is forgotten in %s, or was read", life)
	}
	if life := w.lifeOf(kept); life != 0 {
		t.Errorf("the file that was there is forgotten in %s", life)
	}
	w.wantOnly(path, kept)
}

func TestWhatCannotBeLookedAtIsNotForgotten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]func(w *world, path string) func(*Options){
		"it is there, and left out now": func(w *world, path string) func(*Options) {
			return func(o *Options) { o.Exclude = []string{filepath.Dir(path)} }
		},
		"its folder is not watched any more": func(w *world, path string) func(*Options) {
			remove(w.t, path)
			other := w.t.TempDir()
			return func(o *Options) { o.Dirs = []string{other} }
		},
		"another machine looks": func(w *world, path string) func(*Options) {
			remove(w.t, path)
			return func(o *Options) { o.Host = "other" }
		},
		"its file system is not mounted": func(w *world, path string) func(*Options) {
			entry, err := w.entry(path)
			if err != nil {
				w.t.Fatal(err)
			}
			entry.File.Device++
			if err := w.Registry("").Remember(deadline(w.t), queue.FileKeyOf(path), *entry); err != nil {
				w.t.Fatal(err)
			}
			remove(w.t, path)
			return func(*Options) {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			path := put(t, filepath.Join(mkdir(t, filepath.Join(w.dir, "a")), "a.jpg"), picture(1))
			w.scanned()
			w.scanned(c(w, path))
			if life := w.lifeOf(path); life != 0 {
				t.Errorf("it is forgotten in %s", life)
			}
		})
	}
}

func TestWhatLiesInAClosedFolderIsNotForgotten(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	w := newWorld(t)
	folder := mkdir(t, filepath.Join(w.dir, "a"))
	path := put(t, filepath.Join(folder, "a.jpg"), picture(1))
	w.scanned()
	if err := os.Chmod(folder, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(folder, 0o700) })
	w.scanned()
	if life := w.lifeOf(path); life != 0 {
		t.Errorf("it is forgotten in %s", life)
	}
}
