package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes, as users' scripts rely on them.
const (
	exitDone    = 0
	exitFailure = 1 // at run time
	exitUsage   = 2 // bad usage or setting
	exitFailed  = 3 // --once ended with failed files
	exitPaused  = 4 // --once ended paused, files left on the queue
)

// programName is what the program is called.
const programName = "authenta-ingest"

// An exitError ends the program with a code. Its message is for the user; empty: everything is said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// execute runs a command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	exit, ok := errors.AsType[*exitError](err)
	if !ok { // of writing what was asked for: what was typed wrong has its code
		exit = &exitError{exitFailure, err}
	}
	if exit.err != nil {
		for line := range strings.Lines(exit.err.Error()) {
			fmt.Fprintln(stderr, programName+":", strings.TrimRight(line, "\n"))
		}
	}
	return exit.code
}

// The groups of commands in the program's help.
const (
	judging  = "judging"
	looking  = "looking"
	steering = "steering"
)

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   programName,
		Short: "Has media files judged by Authenta as they arrive, and publishes the verdicts on NATS",
		Long: `authenta-ingest watches folders and NATS subjects for images and videos, has
Authenta's platform judge which of them are deepfakes, and publishes the
verdicts on NATS.

Try it without an account:

  authenta-ingest run --sandbox FOLDER

With an account:

  export AUTHENTA_CLIENT_ID=... AUTHENTA_CLIENT_SECRET=...
  authenta-ingest run FOLDER

Settings come from the environment; 'authenta-ingest config' shows them all.`,
		Args:          aCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(
		&cobra.Group{ID: judging, Title: "Have files judged:"},
		&cobra.Group{ID: looking, Title: "See what there is:"},
		&cobra.Group{ID: steering, Title: "Interfere:"},
	)
	group(root, judging, runCommand(), submitCommand())
	group(root, looking, verdictsCommand(), statusCommand(), healthCommand(), configCommand())
	group(root, steering, pauseCommand(), resumeCommand(), retryCommand())
	root.AddCommand(sandboxCommand(), completionCommand(), manCommand(), versionCommand())
	root.SetHelpCommand(helpCommand())
	root.SetFlagErrorFunc(badFlag)
	root.SetUsageTemplate(strings.NewReplacer(
		".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth),
		"{{if .Runnable}}", "{{if and .Runnable .HasParent}}", // alone, the program only explains itself
	).Replace(root.UsageTemplate()))
	root.CompletionOptions.DisableDefaultCmd = true // ours says less, and what to do
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	return root
}

// helpWidth is as wide as help is: a terminal that nobody has widened.
const helpWidth = 80

func group(root *cobra.Command, id string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Long:  "Explain a command, as its --help does.",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return aCommand(cmd.Root(), args)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return commandNames(cmd.Root()), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Print the version of the program, and of Go that it was built with.",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), programName, version())
			return err
		},
	}
}

// release is the version that whoever builds a package or an image gives it (go build -ldflags "-X main.release=v1.2.3").
var release string

// version is that of the program and of the Go that it was built with.
func version() string { return moduleVersion() + " " + runtime.Version() }

// moduleVersion is the release, or what the Go toolchain knows of this build.
func moduleVersion() string {
	known := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		known = info.Main.Version
	}
	return cmp.Or(release, known, "(devel)")
}
