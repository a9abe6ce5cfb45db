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
	if !ok { // cobra's own: an unknown command or flag
		exit = &exitError{exitUsage, fmt.Errorf("%w (see authenta-ingest --help)", err)}
	}
	if exit.err != nil {
		for line := range strings.Lines(exit.err.Error()) {
			fmt.Fprintln(stderr, "authenta-ingest:", strings.TrimRight(line, "\n"))
		}
	}
	return exit.code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "authenta-ingest",
		Short: "Has media files judged by Authenta as they arrive, and publishes the verdicts on NATS",
		Long: `authenta-ingest watches folders and NATS subjects for media files, has Authenta's
platform judge which of them are deepfakes, and publishes the verdicts on NATS.

Try it without an account:

  authenta-ingest run --sandbox FOLDER

Settings come from the environment; 'authenta-ingest config' shows them all.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), submitCommand(), verdictsCommand(), statusCommand(), healthCommand(), pauseCommand(), resumeCommand(), retryCommand(),
		sandboxCommand(), configCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "authenta-ingest", version())
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
