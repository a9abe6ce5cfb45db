package main

import (
	"runtime"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/queue/control"
)

// Files are told to be on a machine only if somebody on another one can be told.
func TestFilesAreOnAMachineIfOthersShareTheBroker(t *testing.T) {
	for name, c := range map[string]struct {
		s    settings
		want string
	}{
		"embedded, for nobody":           {settings{NATSListen: "off", Host: "nas"}, ""},
		"embedded, for this machine":     {settings{NATSListen: "127.0.0.1:4222", Host: "nas"}, ""},
		"embedded, for this machine, v6": {settings{NATSListen: "[::1]:4222"}, ""},
		"embedded, by name":              {settings{NATSListen: "localhost:4222"}, ""},
		"embedded, for others":           {settings{NATSListen: "0.0.0.0:4222", Host: "nas"}, "nas"},
		"embedded, for others, any":      {settings{NATSListen: ":4222", Host: "nas"}, "nas"},
		"external":                       {settings{NATSURL: "nats://127.0.0.1:4222", NATSListen: "off", Host: "nas"}, "nas"},
		"external, without a name":       {settings{NATSURL: "nats://127.0.0.1:4222"}, control.Machine()},
	} {
		if got := c.s.filesAt(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Machines that were given one name on purpose see the same files; those that have one by mistake do not.
func TestAMachineIsToldFromItsNamesakesUnlessItWasNamed(t *testing.T) {
	if got := (settings{Host: "nas"}).boot(); got != "" {
		t.Errorf("named, and told apart by %q", got)
	}
	if got := (settings{}).boot(); got != control.Boot() || runtime.GOOS == "linux" && got == "" {
		t.Errorf("told apart by %q", got)
	}
}

func TestStatusWarnsOfMachinesThatAreCalledTheSame(t *testing.T) {
	var out strings.Builder
	if err := writeStatus(&out, control.Status{Namesakes: []string{"cam"}}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "several machines are called cam") || !strings.Contains(text, "INGEST_HOST") {
		t.Error(text)
	}
}
