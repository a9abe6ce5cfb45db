package deploy_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const unit = "authenta-ingest.service"

// atMost is what systemd-analyze security may say of the unit, in tenths.
const atMost = 20

// dropIns are those that README.md gives as examples.
func dropIns(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"none": ""}
	for i, text := range blocks(t, "A service of systemd", "ini") {
		found["example "+strconv.Itoa(i+1)] = text
	}
	return found
}

// placed writes the unit, with the path of the program as it is here, and a drop-in, to a folder and returns its path.
func placed(t *testing.T, dropIn string) string {
	t.Helper()
	const command = "ExecStart=/usr/local/bin/authenta-ingest "
	text := read(t, "systemd/"+unit)
	if strings.Count(text, command) != 1 {
		t.Fatalf("%s does not run /usr/local/bin/authenta-ingest", unit)
	}
	path := filepath.Join(t.TempDir(), unit)
	write(t, path, strings.Replace(text, command, "ExecStart="+program(t)+" ", 1), 0o644)
	if dropIn != "" {
		write(t, filepath.Join(path+".d", "override.conf"), dropIn, 0o644)
	}
	return path
}

func TestTheUnitIsAsSystemdWantsIt(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze")
	for name, text := range dropIns(t) {
		out, err := run(t, analyze, "verify", "--man=no", "--recursive-errors=no", placed(t, text))
		if err != nil || out != "" {
			t.Errorf("drop-in %s: %v: %s", name, err, out)
		}
	}
	// A mistake does not pass.
	if out, err := run(t, analyze, "verify", "--man=no", "--recursive-errors=no", placed(t, "[Service]\nWatchdogSecs=5min\n")); err == nil && out == "" {
		t.Error("systemd-analyze says nothing of a key that does not exist")
	}
}

func TestTheUnitIsHardened(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze")
	check := func(dropIn string) (string, error) {
		return run(t, analyze, "security", "--no-pager", "--offline=true", "--threshold="+strconv.Itoa(atMost), placed(t, dropIn))
	}
	for name, text := range dropIns(t) {
		if out, err := check(text); err != nil {
			t.Errorf("drop-in %s: %v: %s", name, err, out)
		}
	}
	if out, err := check("[Service]\nProtectSystem=no\nUser=root\nCapabilityBoundingSet=~\n"); err == nil {
		t.Errorf("systemd-analyze is content with anything: %s", out)
	}
}

// The settings that are installed are settings of the program.
func TestTheSettingsOfTheServiceAreKnown(t *testing.T) {
	t.Parallel()
	n := 0
	for line := range strings.Lines(read(t, "systemd/settings")) {
		if name, _, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			if n++; !isSetting(t, name) {
				t.Errorf("there is no setting %s", name)
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d settings were found", n)
	}
}
