package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
	"github.com/authenta/authenta-ingest/watcher/after"
)

// checkRole notes what this process lacks, or has too much of, for what it is to do.
func (s settings) checkRole(o runOptions, m *mistakes) {
	switch {
	case m.spoilt["INGEST_ROLE"] || !s.Role.Valid(): // noted already
		return
	case o.sandbox && s.Role != control.RoleAll:
		m.found = append(m.found, fmt.Errorf("INGEST_ROLE=%s with --sandbox: the simulated platform is inside one process; "+
			"run 'authenta-ingest sandbox' and set AUTHENTA_URL and the key pair to what it prints", s.Role))
	case s.Role != control.RoleAll && s.NATSURL == "" && s.NATSListen == embedded.Off:
		m.found = append(m.found, fmt.Errorf("INGEST_ROLE=%s without a NATS server that others reach: set NATS_URL, or an address "+
			"for the embedded one to listen on (INGEST_NATS_LISTEN)", s.Role))
	}
	if s.Role.Works() && !o.sandbox {
		s.account(m)
	}
	if s.Role.Watches() {
		s.checkSources(o, m)
	} else if len(s.Subjects) > 0 {
		m.found = append(m.found, fmt.Errorf("INGEST_ROLE=%s takes nothing from subjects: unset INGEST_SUBJECTS, or set INGEST_ROLE=all", s.Role))
	}
	if !s.Role.Watches() && len(s.Dirs) > 0 {
		m.found = append(m.found, fmt.Errorf("INGEST_ROLE=%s watches no folders: take %s out of INGEST_DIRS and the command line, "+
			"or set INGEST_ROLE=all", s.Role, strings.Join(s.Dirs, ", ")))
	}
}

// checkSources notes what is wrong with where files come from.
func (s settings) checkSources(o runOptions, m *mistakes) {
	if len(s.Dirs)+len(s.Subjects) == 0 {
		m.found = append(m.found, errors.New("nothing to watch: name folders (run DIR...), or set INGEST_DIRS or INGEST_SUBJECTS"))
	}
	for _, dir := range s.Dirs {
		if sameFolder(dir, s.StateDir) || sameFolder(dir, sandboxState(s.StateDir)) {
			m.found = append(m.found, errors.New("INGEST_STATE_DIR is a folder to watch: give it one of its own"))
			break
		}
	}
	p := s.plan()
	if err := p.Check(s.Dirs); err != nil {
		m.found = append(m.found, err)
	}
	if o.sandbox && (p.OnVerdict.Action == after.Delete || p.OnFailure.Action == after.Delete) {
		m.found = append(m.found, errors.New("delete with --sandbox, whose verdicts mean nothing: "+
			"set INGEST_AFTER and INGEST_AFTER_FAIL to keep, or to move:DIR"))
	}
}

// A source brings files in. A process that only works has none.
type source interface {
	Run(context.Context) error
	CaughtUp() <-chan struct{}  // closed when all that was there at the start is taken in
	Owing() (open, failing int) // files that wait for something to be done with them, and those with which it fails
	Unread() int                // files and folders that could not be looked at
}

// behind returns what is closed when the first of some sources has caught up; nil: there is none to wait for.
func behind(sources []source) <-chan struct{} {
	if len(sources) == 0 {
		return nil
	}
	return sources[0].CaughtUp()
}
