package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
)

// FuzzSettings gives one setting any value, beside secrets that are set as they should be and addresses that have some.
// Each mistake is one line that names its setting, no secret is told, and what is not a mistake can be printed.
func FuzzSettings(f *testing.F) {
	const secret = "s3cr3t-2f9c"
	fixed := map[string]string{
		"AUTHENTA_CLIENT_ID": "id", "AUTHENTA_CLIENT_SECRET": secret, "INGEST_NATS_TOKEN": secret, "INGEST_STATE_DIR": f.TempDir(),
	}
	secrets := map[string]bool{"AUTHENTA_API_KEY": true}
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[settings]()) {
		name := field.Tag.Get("envconfig")
		names = append(names, name)
		if fixed[name] == "" {
			f.Setenv(name, "")
		}
	}
	for name, value := range fixed {
		f.Setenv(name, value)
	}
	f.Fuzz(func(t *testing.T, which uint8, value, address string) {
		name := names[int(which)%len(names)]
		all := maps.Clone(fixed)
		all["AUTHENTA_URL"] = "https://user:" + secret + "@" + address
		all["NATS_URL"] = address + "user:" + secret + "@nats.test"
		switch {
		case fixed[name] != "", strings.Contains(name, "FILE"), strings.Contains(name, "CREDS"), strings.Contains(name, "TLS"):
			t.Skip("it is fixed, or names a file")
		case secrets[name]:
			value = secret + value
		}
		if all[name] == "" {
			all[name] = value
		}
		for _, name := range names { // of the one before
			os.Unsetenv(name)
		}
		for name, value := range all {
			if os.Setenv(name, value) != nil {
				t.Skip("no environment has this")
			}
		}
		s, m := readSettings()
		s.account(m)
		var printed bytes.Buffer
		if err := writeSettings(&printed, listSettings(s)); err != nil {
			t.Error(err)
		}
		if strings.Contains(printed.String(), secret) {
			t.Errorf("a secret is printed: %s", printed.String())
		}
		if shown := redactAll(s.NATSURL) + redact(s.URL); strings.Contains(shown, secret) {
			t.Errorf("a secret would be logged: %s", shown)
		}
		err := m.err()
		if (err == nil) != (len(m.found) == 0) {
			t.Errorf("%d mistakes: %v", len(m.found), err)
		}
		if err == nil {
			return
		}
		if e, ok := errors.AsType[*exitError](err); !ok || e.code != exitUsage || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
		if name == "INGEST_DIRS" { // their names are told as they are
			return
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.Contains(line, "_") && !strings.Contains(line, "a key has") {
				t.Errorf("%q names no setting, in %q", line, err)
			}
		}
		if n := strings.Count(err.Error(), "\n") + 1; n > len(m.found)+1 { // an embedded server's come together
			t.Errorf("%d lines for %d mistakes: %q", n, len(m.found), err)
		}
	})
}
