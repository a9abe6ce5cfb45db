package after

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// maxSidecar is how many bytes of a sidecar are read; messages are smaller than what NATS servers take.
const maxSidecar = 8 << 20

// A sidecar is an answer as a file.
type sidecar struct {
	name    string
	data    []byte
	against []string // names of sidecars that it makes untrue
}

// sidecars are those of a file of this name.
func (a *action) sidecars(name string) []sidecar {
	var all []sidecar
	for _, answer := range a.answers {
		kind, other := ".verdict.json", ".failure.json"
		if answer.Failed {
			kind, other = other, kind
		}
		s := sidecar{data: append(slices.Clone(answer.Message), '\n')}
		model := "." + string(answer.Model)
		if len(a.answers) == 1 || answer.Model == "" {
			model = ""
		}
		s.name = fit(name, model+kind)
		s.against = []string{fit(name, model+other)}
		if model != "" && !answer.Failed {
			s.against = append(s.against, fit(name, other)) // it was refused before any model was asked
		}
		all = append(all, s)
	}
	return all
}

// beside returns the folder in which sidecars of files in a folder stand.
func (a *action) beside(d *folder) (*folder, error) {
	dir := a.plan.Sidecar.Dir
	if dir == "" {
		return d, nil
	}
	if a.side == nil {
		var err error
		if a.side, err = a.make(target{dir: dir}.in(a.Root)); err != nil {
			return nil, err
		}
	}
	return a.side, nil
}

// answer writes the sidecars of the file, which has or is to get a name in a folder, and removes those that they make
// untrue, there and where the file still is.
func (a *action) answer(d *folder, name string) error {
	if !a.plan.Sidecar.On {
		return nil
	}
	to, err := a.beside(d)
	if err != nil {
		return err
	}
	if a.policy.Action != Move {
		if name, err = a.freeName(to); err != nil {
			return err
		}
	}
	a.written = nil
	for _, s := range a.sidecars(name) {
		if err := a.write(to, s); err != nil {
			return err
		}
		a.written = append(a.written, written{to, s})
		if err := removeAll(to, s.against); err != nil {
			return err
		}
	}
	if a.in != nil {
		if err := a.removeUntrue(); err != nil {
			return err
		}
	}
	return to.sync()
}

// freeName returns a name for sidecars in a folder of their own, where those of two watched folders may meet.
func (a *action) freeName(d *folder) (string, error) {
	for _, name := range a.names {
		if taken, err := a.taken(d, name); err != nil || !taken {
			return name, err
		}
	}
	return "", fmt.Errorf("all names for its answer in %s are another file's", d.file.Name())
}

// taken reports whether the sidecars of a file of this name would take the place of another file's.
func (a *action) taken(d *folder, name string) (bool, error) {
	for _, s := range a.sidecars(name) {
		for _, n := range append(s.against, s.name) {
			whose, err := a.owner(d, n)
			if err != nil || whose == others {
				return true, err
			}
		}
	}
	return false, nil
}

// An owner says whose answer a sidecar is.
type owner int

const (
	nobodys owner = iota // there is none
	ours
	others
)

func (a *action) owner(d *folder, name string) (owner, error) {
	data, err := readSidecar(d, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nobodys, nil
	}
	var head struct {
		URI string `json:"uri"`
	}
	if err == nil && (json.Unmarshal(data, &head) != nil || head.URI != a.uri) {
		return others, nil
	}
	return ours, err
}

// removeUntrue removes sidecars beside the file that are no longer true, such as those of a failure that was retried.
func (a *action) removeUntrue() error {
	d, err := a.beside(a.in)
	if err != nil {
		return err
	}
	for _, s := range a.sidecars(a.was) {
		for _, name := range s.against {
			whose, err := a.owner(d, name)
			if err == nil && whose == ours {
				err = removeAll(d, []string{name})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func removeAll(d *folder, sidecars []string) error {
	for _, name := range sidecars {
		if err := d.remove("remove untrue sidecar", name); err != nil {
			return err
		}
	}
	return nil
}

// correct replaces the failure of a file that has gone by the verdict that came after it.
func (a *action) correct(d *folder) error {
	if !a.plan.Sidecar.On || a.failed {
		return nil
	}
	to, err := a.beside(d)
	if err != nil {
		return err
	}
	for _, name := range a.names {
		for _, s := range a.sidecars(name) {
			for _, untrue := range s.against {
				whose, err := a.owner(to, untrue)
				if err != nil {
					return err
				}
				if whose != ours {
					continue
				}
				if a.file, err = to.lstat(untrue); err != nil {
					return err
				}
				return a.answer(d, name)
			}
		}
	}
	return nil
}

// write writes one sidecar, unless it is there already. Who may read the file may read its answer.
func (a *action) write(d *folder, s sidecar) error {
	if have, err := readSidecar(d, s.name); err == nil && bytes.Equal(have, s.data) {
		return nil
	}
	temporary := writing(s.name, a.Drop)
	err := a.writeNew(d, temporary, s.data)
	if err == nil {
		err = d.replace("name sidecar", temporary, s.name)
	}
	if err != nil {
		return errors.Join(err, d.remove("discard sidecar", temporary))
	}
	return nil
}

func (a *action) writeNew(d *folder, name string, data []byte) error {
	file, err := d.create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	s := a.file
	s.mode = s.mode&0o666 | 0o600
	if err := a.disk.adopt(file, s); err != nil {
		return err
	}
	return d.do("write sidecar", func() error {
		if _, err := file.Write(data); err != nil {
			return err
		}
		return file.Sync()
	})
}

// A written is a sidecar, and where it was written.
type written struct {
	dir *folder
	sidecar
}

// withdraw removes the sidecars that were written for a file that has turned out not to be the judged one, or for a name
// that it did not get.
func (a *action) withdraw() error {
	for _, w := range a.written {
		data, err := readSidecar(w.dir, w.name)
		if err == nil && bytes.Equal(data, w.data) {
			err = w.dir.remove("withdraw sidecar", w.name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	a.written = nil
	return nil
}

func readSidecar(d *folder, name string) ([]byte, error) {
	f, err := d.open(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSidecar))
}
