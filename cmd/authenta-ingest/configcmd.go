package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show every setting: its value, where it comes from, and what it means",
		Long: `Show every setting: its value, where that comes from, and what it means.
Secrets are masked. What is wrong with settings is told at the end.

Settings are environment variables. One that is set to nothing counts as not
set.`,
		Example: `  authenta-ingest config
  authenta-ingest config --json | jq -r '.[] | select(.from != "default").name'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, mistakes := readSettings()
			show := writeSettings
			if asJSON {
				show = encodeSettings
			}
			if err := show(cmd.OutOrStdout(), listSettings(s)); err != nil {
				return &exitError{exitFailure, err}
			}
			for _, name := range unknown() {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", programName, noSetting(name))
			}
			return mistakes.err()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list as a line of JSON")
	return cmd
}

// A setting is one of the settings, as it is told to people and programs.
type setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"` // as it would be set; masked if it is a secret
	From    string `json:"from"`  // fromDefault or fromEnvironment
	Default string `json:"default"`
	Meaning string `json:"meaning"`
	Group   string `json:"group"`
}

// Where a value comes from.
const (
	fromDefault     = "default"
	fromEnvironment = "environment"
)

// settingGroups are what settings are about, each with the first setting of its group: they stand in the order of the groups.
var settingGroups = []struct{ title, first string }{
	{"The platform", "AUTHENTA_URL"},
	{"NATS", "NATS_URL"},
	{"Where media come from", "INGEST_DIRS"},
	{"Names and models", "INGEST_NAMESPACE"},
	{"Which files count, and when", "INGEST_SETTLE"},
	{"What happens to a file afterwards", "INGEST_AFTER"},
	{"Several machines", "INGEST_HOST"},
	{"How much, and how long", "INGEST_UPLOADS"},
	{"Health, logs, and the end", "INGEST_HTTP"},
}

// listSettings lists all of them in their order.
func listSettings(s settings) (all []setting) {
	value, group := reflect.ValueOf(s), ""
	for _, f := range reflect.VisibleFields(value.Type()) {
		name := f.Tag.Get("envconfig")
		for _, g := range settingGroups {
			if g.first == name {
				group = g.title
			}
		}
		one := setting{Name: name, From: fromDefault, Default: f.Tag.Get("default"), Meaning: f.Tag.Get("desc"), Group: group}
		one.Value = one.Default
		if isSet(name) {
			one.From, one.Value = fromEnvironment, show(value.FieldByIndex(f.Index), f)
		}
		all = append(all, one)
	}
	return all
}

// show is a value as it would be set, a secret nothing but that it is there.
func show(v reflect.Value, f reflect.StructField) string {
	text := fmt.Sprint(v.Interface())
	if list, ok := v.Interface().([]string); ok {
		text = strings.Join(list, ",")
	}
	switch {
	case text == "":
		return ""
	case f.Tag.Get("secret") == "true":
		return "********"
	case strings.ContainsAny(text, "@") && strings.HasSuffix(f.Tag.Get("envconfig"), "_URL"):
		return redactAll(text)
	}
	return text
}

// redactAll hides the passwords in a comma-separated list of addresses.
func redactAll(list string) string {
	addresses := strings.Split(list, ",")
	for i, a := range addresses {
		addresses[i] = redact(strings.TrimSpace(a))
	}
	return strings.Join(addresses, ",")
}

func encodeSettings(w io.Writer, all []setting) error { return json.NewEncoder(w).Encode(all) }

// writeSettings writes them for a person, in groups.
func writeSettings(w io.Writer, all []setting) error {
	group := ""
	for _, s := range all {
		if s.Group != group {
			if group != "" {
				fmt.Fprintln(w)
			}
			group = s.Group
			fmt.Fprintln(w, strings.ToUpper(group))
		}
		from := s.From
		if s.Value == "" && from == fromDefault {
			from = "not set"
		}
		if _, err := fmt.Fprintf(w, "  %s=%s  (%s)\n%s", s.Name, legible(s.Value), from, wrapped(s.Meaning, "      ")); err != nil {
			return err
		}
	}
	return nil
}

// wrapped breaks a text into lines that are no wider than help is, each behind an indent.
func wrapped(text, indent string) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if line != indent && width(line)+1+width(word) > helpWidth {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

// noSetting says that a variable that looks like a setting is none.
func noSetting(name string) string {
	var names []string
	for _, s := range listSettings(settings{}) {
		names = append(names, s.Name)
	}
	return fmt.Sprintf("%s is no setting of this version, and is ignored%s", legible(name), meant(name, names))
}
