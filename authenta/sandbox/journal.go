package sandbox

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// An event is one change of the state, and one line of the journal. Which fields it has depends on its kind.
type event struct {
	Kind   eventKind      `json:"kind"`
	At     time.Time      `json:"at,omitzero"`
	Key    []byte         `json:"key,omitempty"`
	Op     Op             `json:"op,omitempty"`
	Status int            `json:"status,omitempty"`
	MID    string         `json:"mid,omitempty"`
	Create *createRequest `json:"create,omitempty"`
	Object *object        `json:"object,omitempty"`
	Grant  *Grant         `json:"grant,omitempty"`
}

type eventKind string

const (
	opened       eventKind = "opened"        // the account exists: Key signs its URLs
	called       eventKind = "called"        // Op was answered with Status
	consumed     eventKind = "consumed"      // Op consumed quota
	created      eventKind = "created"       // the record MID is there since At
	deleted      eventKind = "deleted"       // the record MID is gone
	putBegun     eventKind = "put_begun"     // a PUT to MID was let in
	putCompleted eventKind = "put_completed" // Object was put to MID at At
	granted      eventKind = "granted"       // Grant was given at At
)

// check finds an event that lacks what its kind is about.
func (e event) check() error {
	switch {
	case e.Kind == created && e.Create == nil, e.Kind == putCompleted && e.Object == nil, e.Kind == granted && e.Grant == nil:
		return fmt.Errorf("%q of nothing", e.Kind)
	}
	return nil
}

// A journal is a file of events, one JSON line each. It is written without fsync: it survives the death of the process,
// not that of the machine. The nil journal keeps nothing.
type journal struct {
	file *os.File
	err  error // the first that writing met; nothing is written after it
}

// openJournal replays the file at path, if there is one, and opens it for more. A last line that a crash left
// incomplete is removed.
func openJournal(path string, replay func(event)) (_ *journal, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	var whole int64 // bytes in complete lines
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var e event
		err = json.Unmarshal(line, &e)
		if err == nil {
			err = e.check()
		}
		if err != nil {
			return nil, fmt.Errorf("journal %s: at byte %d: %w", path, whole, err)
		}
		replay(e)
		whole += int64(len(line))
	}
	if err := file.Truncate(whole); err != nil {
		return nil, err
	}
	if _, err := file.Seek(whole, io.SeekStart); err != nil {
		return nil, err
	}
	return &journal{file: file}, nil
}

func (j *journal) append(e event) {
	if j == nil || j.err != nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	j.err = err
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return errors.Join(j.err, j.file.Close())
}
