package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// badUsage is an error for whoever has typed a command that cannot be understood. It says where to read how it is meant.
func badUsage(cmd *cobra.Command, format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf("%s (see '%s --help')", fmt.Sprintf(format, args...), cmd.CommandPath())}
}

// noArguments is for commands that take none.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return badUsage(cmd, "%s takes no arguments, and %q is one", cmd.Name(), args[0])
	}
	return nil
}

// oneOf is for commands that take one of some words, or, if it is optional, none.
func oneOf(words []string, optional bool) cobra.PositionalArgs {
	want := enumerate(words)
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 && !optional:
			return badUsage(cmd, "%s: say which: %s", cmd.Name(), want)
		case len(args) > 1:
			return badUsage(cmd, "%s takes one argument, and there are %d", cmd.Name(), len(args))
		case len(args) == 1 && !slices.Contains(words, args[0]):
			return badUsage(cmd, "%s %q: want %s", cmd.Name(), args[0], want)
		}
		return nil
	}
}

// enumerate lists words as a sentence does.
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// aCommand is for the program itself, whose first argument names what it is to do.
func aCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return badUsage(root, "there is no command %q%s", args[0], meant(args[0], commandNames(root)))
}

func commandNames(root *cobra.Command) (names []string) {
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// badFlag turns the error of a flag into one for people.
func badFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, unknown)
	}
	if lacks, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return badUsage(cmd, "--%s needs a value", lacks.GetFlag().Name)
	}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := bad.GetFlag()
		want, known := wants[f.Value.Type()]
		if !known {
			want = bad.Unwrap().Error()
		}
		return badUsage(cmd, "--%s %q: want %s", f.Name, bad.GetValue(), want)
	}
	return badUsage(cmd, "%v", err)
}

// wants says of each type of a flag or a setting what is to be written. Those that are not here say so themselves.
var wants = map[string]string{
	"duration": aDuration, "time.Duration": aDuration, "int": "a whole number", "float64": "a number", "bool": "true or false",
}

const aDuration = "a duration such as 30s, 5m or 2h"

func unknownFlag(cmd *cobra.Command, err *pflag.NotExistError) error {
	name := "--" + err.GetSpecifiedName()
	if err.GetSpecifiedShortnames() != "" {
		name = "-" + err.GetSpecifiedName()
	}
	if !cmd.HasParent() { // as other programs have it, a command may be asked for like this
		return badUsage(cmd, "there is no flag %s%s", name, meant(strings.TrimLeft(name, "-"), commandNames(cmd)))
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return badUsage(cmd, "%s has no flag %s%s", cmd.Name(), name, meant(name, names))
}

// meant asks whether another word was meant; empty: none is near.
func meant(word string, words []string) string {
	if near := nearest(word, words); near != "" {
		return fmt.Sprintf(": is %s meant?", near)
	}
	return ""
}

// nearest is the word that another may have been meant for: the only one that begins like it, or the one with the fewest wrong
// letters; empty: none is near.
func nearest(word string, words []string) string {
	if strings.Trim(word, "-") == "" {
		return ""
	}
	longer := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.HasPrefix(w, word) })
	if len(longer) == 1 {
		return longer[0]
	}
	near, least := "", min(2, len(strings.Trim(word, "-"))/2)+1
	for _, w := range words {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < least {
			near, least = w, d
		}
	}
	return near
}

// distance is how many letters have to be put in, left out, replaced, or changed with their neighbour, to get from a to b.
func distance(a, b string) int {
	var before []int
	last, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}
