package control_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/authenta/authenta-ingest/queue/control"
)

// A log is what a process has logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// Machines that were cloned have one host name, and files are believed to be seen by both.
func TestMachinesThatAreCalledTheSameAreToldToBe(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	var said, alsoSaid log
	as := func(host, boot string, l *log) func(*control.Options) {
		return func(o *control.Options) {
			if o.Host, o.Boot = host, boot; l != nil {
				o.Log = slog.New(slog.NewTextHandler(l, nil))
			}
		}
	}
	first := b.join(as("cam", "boot-1", &said))
	b.join(as("cam", "boot-1", nil))
	b.join(as("nas", "boot-2", nil))
	b.join(as("given", "", nil))
	b.join(as("given", "", nil))
	await(t, "all are known", func() bool { return len(first.Members()) == 5 })
	if got := first.Namesakes(); len(got) != 0 {
		t.Errorf("%v have one name", got)
	}
	clone := b.join(as("cam", "boot-3", &alsoSaid))
	const warning = "INGEST_HOST"
	await(t, "it is said", func() bool { return said.count(warning) > 0 && alsoSaid.count(warning) > 0 })
	s, err := first.Status(deadline(t))
	must(t, err)
	if !slices.Equal(s.Namesakes, []string{"cam"}) {
		t.Errorf("status has %v", s.Namesakes)
	}
	clone.stop()
	await(t, "it is over", func() bool { return len(first.Namesakes()) == 0 })
	if n := said.count(warning); n != 1 {
		t.Errorf("said %d times", n)
	}
}
