package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print every setting, its value (secrets masked), where it came from, and its meaning",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, mistakes := readSettings()
			if err := printSettings(cmd.OutOrStdout(), s); err != nil {
				return &exitError{exitFailure, err}
			}
			return mistakes.err()
		},
	}
}

func printSettings(w io.Writer, s settings) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tFROM\tMEANING")
	value := reflect.ValueOf(s)
	for _, f := range reflect.VisibleFields(value.Type()) {
		from := "default"
		name := f.Tag.Get("envconfig")
		if isSet(name) {
			from = "environment"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", name, show(value.FieldByIndex(f.Index), f), from, f.Tag.Get("desc"))
	}
	return table.Flush()
}

// show prints a value as it would be set, a secret as nothing but that it is there.
func show(v reflect.Value, f reflect.StructField) string {
	text := fmt.Sprint(v.Interface())
	if list, ok := v.Interface().([]string); ok {
		text = strings.Join(list, ",")
	}
	switch {
	case text == "":
		return "-"
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
