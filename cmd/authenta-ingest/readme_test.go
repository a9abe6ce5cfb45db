package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the README's table of settings anew")

func TestTheREADMEsTableOfSettingsIsTrue(t *testing.T) {
	const readme, begin, end = "../../README.md", "<!-- settings -->\n", "<!-- end of settings -->"
	var table strings.Builder
	table.WriteString("| name | default | meaning |\n|---|---|---|\n")
	for _, f := range reflect.VisibleFields(reflect.TypeFor[settings]()) {
		def := f.Tag.Get("default")
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", f.Tag.Get("envconfig"), def, f.Tag.Get("desc"))
	}
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(data), begin)
	was, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no %s…%s", readme, begin, end)
	}
	if was == table.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: run go test ./cmd/authenta-ingest -run README -update", readme)
	}
	if err := os.WriteFile(readme, []byte(head+begin+table.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
