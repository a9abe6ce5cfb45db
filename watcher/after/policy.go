package after

import (
	"errors"
	"path/filepath"
	"strings"
)

// A Policy says what becomes of a file. The zero value keeps it.
type Policy struct {
	Action Action
	Dir    string // with Move: where to; relative is below the watched folder that the file is in
}

// An Action is what is done with a file.
type Action int

// The actions.
const (
	Keep   Action = iota // it stays where it is
	Delete               // it is removed
	Move                 // it goes to another folder, with the tree that it stood in
)

// ParsePolicy reads "keep", "delete" or "move:DIR"; nothing is keep. Its error says what is wanted.
func ParsePolicy(text string) (Policy, error) {
	dir, move := strings.CutPrefix(text, "move:")
	switch {
	case text == "keep", text == "":
		return Policy{}, nil
	case text == "delete":
		return Policy{Action: Delete}, nil
	case !move, dir == "":
		return Policy{}, errors.New("keep, delete or move:DIR")
	}
	dir, err := parseDir(dir)
	if err != nil {
		return Policy{}, err
	}
	return Policy{Action: Move, Dir: dir}, nil
}

// String is what ParsePolicy reads.
func (p Policy) String() string {
	switch p.Action {
	case Delete:
		return "delete"
	case Move:
		return "move:" + p.Dir
	}
	return "keep"
}

// A Sidecar says whether, and where, a file's verdict is written to a file of its own. The zero value writes none.
type Sidecar struct {
	On  bool
	Dir string // empty: beside the file; relative is below the watched folder
}

// ParseSidecar reads "off", "on" or a folder; nothing is off. Its error says what is wanted.
func ParseSidecar(text string) (Sidecar, error) {
	switch text {
	case "off", "":
		return Sidecar{}, nil
	case "on":
		return Sidecar{On: true}, nil
	}
	dir, err := parseDir(text)
	if err != nil {
		return Sidecar{}, err
	}
	return Sidecar{On: true, Dir: dir}, nil
}

// parseDir takes a folder that is absolute, or below another.
func parseDir(dir string) (string, error) {
	if dir = filepath.Clean(dir); filepath.IsAbs(dir) || filepath.IsLocal(dir) && dir != "." {
		return dir, nil
	}
	return "", errors.New("a folder below the watched ones, such as done, or an absolute path")
}
