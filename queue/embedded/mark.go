package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/authenta/authenta-ingest/queue"
)

// markFile is in the state folder while no server runs on it that was stopped in an orderly way. It says what the folder
// was like then.
const markFile = "clean"

// leaveMark notes that the folder is as it should be.
func leaveMark(dir string) error {
	print, err := fingerprint(storeDir(dir))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, markFile), []byte(print), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note that the state folder is in order: %w", err)
	}
	return nil
}

// takeMark removes the mark, and reports whether there was one and the folder is still as it says. From then on, until the
// next orderly end, there is none, not even after a power cut.
func takeMark(dir string) (clean bool, err error) {
	path := filepath.Join(dir, markFile)
	mark, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	print, err := fingerprint(storeDir(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.Remove(path); err != nil {
		return false, err
	}
	return print == string(mark), syncDir(dir)
}

// fingerprint tells a folder from what it is after anybody has written to it, and from a copy of it: what is put back from a
// backup does not know what was done since.
func fingerprint(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		id := queue.FileIDOf(&st) // its inode and change time tell it from a copy that has its times
		_, err = fmt.Fprintf(h, "%q %d %d %d %d\n", path[len(dir):], id.Size, id.ModTime.UnixNano(), id.Inode, id.ChangeTime.UnixNano())
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// storeDir is where in the state folder the server keeps its files.
func storeDir(dir string) string { return filepath.Join(dir, "jetstream") }
