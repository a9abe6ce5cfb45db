package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestTheFolderOfTMPDIRIsMadeAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	temp := filepath.Join(t.TempDir(), "not", "there")
	w.write("a.jpg", picture(1))
	p := w.start(map[string]string{"TMPDIR": temp}, "run", "--once", w.inbox)
	if code := p.wait(time.Minute); code != exitDone {
		t.Errorf("ended with %d", code)
	}
	if info, err := os.Stat(temp); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("want a folder of this user alone: %v, %v", info, err)
	}
}

// A file in a folder needs no copy.
func TestFilesAreJudgedWithoutAFolderForCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.write("a.jpg", picture(1))
	none := filepath.Join(w.inbox, "a.jpg", "tmp")
	p := w.start(map[string]string{"TMPDIR": none}, "run", "--once", w.inbox)
	if code := p.wait(time.Minute); code != exitDone {
		t.Errorf("ended with %d", code)
	}
	if said := p.stderr.String(); !strings.Contains(said, "set TMPDIR") || !strings.Contains(said, filepath.Dir(none)) {
		t.Errorf("does not say what to set: %s", said)
	}
	w.promises(1, 1)
}
