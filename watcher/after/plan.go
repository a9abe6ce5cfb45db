// Package after does what is to be done with a file once its verdict or its failure is on the stream: keep, delete or
// move it, and write the answer beside it.
//
// It promises that
//   - only the version that was judged is touched. Whatever else stands at its path, even if it gets there in the very
//     moment, is left there, or put back. What a program writes through a handle that it has kept open is another
//     matter: it goes with the file.
//   - after a crash at any point the file is where it was or where it should be, and [Plan.Do], done again, ends what was
//     begun. Where it was may be a hidden name beside it, ".authenta-ingest.<drop>.<name>", for the moment in which it is
//     looked at once more.
//   - no file is replaced but the sidecars of the same file, and none is removed after a copy that failed.
//   - its sidecars are on the disk before a file goes.
//   - below a watched folder no link is followed: who may write there could else lead the daemon to anywhere.
//
// Who calls it knows that the answer is on the stream, and calls it for one drop from one goroutine at a time.
package after

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A Plan is what is done with all files. The zero value does nothing.
type Plan struct {
	OnVerdict Policy // for a file that every model has judged
	OnFailure Policy // for one that some model has not
	Sidecar   Sidecar

	// Step, if set, is called before and after everything that changes a disk, with its name. Tests crash there; an error
	// returned before stands for the system's.
	Step func(point string) error
}

// Targets are the folders to which a plan moves files or writes sidecars, for these watched ones: nothing below them is
// media to be judged. They need not exist.
func (p Plan) Targets(roots ...string) []string {
	var all []string
	for _, t := range p.targets() {
		for _, f := range t.folders(roots) {
			if path := filepath.Join(f.base, f.below); !slices.Contains(all, path) {
				all = append(all, path)
			}
		}
	}
	return all
}

// A target is a folder that a setting names.
type target struct{ setting, dir string }

func (p Plan) targets() []target {
	var all []target
	if p.OnVerdict.Action == Move {
		all = append(all, target{"INGEST_AFTER=" + p.OnVerdict.String(), p.OnVerdict.Dir})
	}
	if p.OnFailure.Action == Move {
		all = append(all, target{"INGEST_AFTER_FAIL=" + p.OnFailure.String(), p.OnFailure.Dir})
	}
	if p.Sidecar.Dir != "" {
		all = append(all, target{"INGEST_SIDECAR=" + p.Sidecar.Dir, p.Sidecar.Dir})
	}
	return all
}

// A subfolder is a folder below another, on whose way there may be no link. below may be ".".
type subfolder struct{ base, below string }

// in returns the folder for files of one watched folder.
func (t target) in(root string) subfolder {
	if filepath.IsAbs(t.dir) {
		return subfolder{t.dir, "."}
	}
	return subfolder{root, t.dir}
}

// folders returns the folders for all watched ones.
func (t target) folders(roots []string) []subfolder {
	var all []subfolder
	for _, root := range roots {
		if f := t.in(root); !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

// Check makes the folders that a plan needs, and reports everything that keeps it from being carried out: a folder that
// cannot be made or written to, that is a watched one itself or has one in it. Watched folders that do not exist are left
// out.
func (p Plan) Check(roots []string) error {
	var mistakes []error
	roots = slices.DeleteFunc(slices.Clone(roots), func(root string) bool {
		_, err := os.Stat(root)
		return err != nil
	})
	for _, t := range p.targets() {
		for _, f := range t.folders(roots) {
			if err := p.checkTarget(f, roots); err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %w", t.setting, err))
			}
		}
	}
	if why := p.altersRoots(); why != "" {
		for _, root := range roots {
			if err := p.checkWritable(subfolder{root, "."}); err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %w", why, err))
			}
		}
	}
	return errors.Join(mistakes...)
}

// altersRoots names the setting for which watched folders have to be written to; empty: none.
func (p Plan) altersRoots() string {
	switch {
	case p.OnVerdict.Action != Keep:
		return "INGEST_AFTER=" + p.OnVerdict.String()
	case p.OnFailure.Action != Keep:
		return "INGEST_AFTER_FAIL=" + p.OnFailure.String()
	case p.Sidecar.On && p.Sidecar.Dir == "":
		return "INGEST_SIDECAR=on"
	}
	return ""
}

func (p Plan) checkTarget(f subfolder, roots []string) error {
	path := filepath.Join(f.base, f.below)
	for _, root := range roots {
		if holds(path, root) {
			return fmt.Errorf("the folder %s is the watched folder %s, or has it in it: name another", path, root)
		}
	}
	if f.below == "." {
		if err := os.MkdirAll(f.base, 0o777); err != nil {
			return fmt.Errorf("the folder cannot be made: %w", err)
		}
	}
	return p.checkWritable(f)
}

// holds reports whether a folder is another, or has it somewhere in it, by whatever name.
func holds(dir, other string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false // what does not exist holds nothing
	}
	if other, err = filepath.Abs(other); err != nil {
		return false
	}
	for other, err = filepath.EvalSymlinks(other); err == nil; other = filepath.Dir(other) {
		var above fs.FileInfo
		if above, err = os.Stat(other); err == nil && os.SameFile(info, above) {
			return true
		}
		if other == filepath.Dir(other) {
			return false
		}
	}
	return false
}

// checkWritable makes a folder if need be, and reports why no file can be made in it.
func (p Plan) checkWritable(f subfolder) error {
	dir, err := p.disk().makeFolder(f)
	if err != nil {
		return err
	}
	defer dir.close()
	name := hiddenPrefix + "check"
	file, err := dir.create(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), dir.remove("remove check", name))
}
