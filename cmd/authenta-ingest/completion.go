package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// shells are those for which the shell can complete commands, and what writes its script.
var shells = map[string]func(*cobra.Command) error{
	"bash":       func(c *cobra.Command) error { return c.Root().GenBashCompletionV2(c.OutOrStdout(), true) },
	"zsh":        func(c *cobra.Command) error { return c.Root().GenZshCompletion(c.OutOrStdout()) },
	"fish":       func(c *cobra.Command) error { return c.Root().GenFishCompletion(c.OutOrStdout(), true) },
	"powershell": func(c *cobra.Command) error { return c.Root().GenPowerShellCompletionWithDesc(c.OutOrStdout()) },
}

var shellNames = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Have the shell complete commands when Tab is pressed",
		Long: `Print a script that has the shell complete commands, flags and their values
when Tab is pressed. Put it where the shell looks for such scripts; it is used
in each shell that is started then.`,
		Example: `  authenta-ingest completion bash > /etc/bash_completion.d/authenta-ingest
  authenta-ingest completion zsh > "${fpath[1]}/_authenta-ingest"
  authenta-ingest completion fish > ~/.config/fish/completions/authenta-ingest.fish
  authenta-ingest completion powershell >> $PROFILE`,
		Args:      oneOf(shellNames, false),
		ValidArgs: shellNames,
		RunE:      func(cmd *cobra.Command, args []string) error { return shells[args[0]](cmd) },
	}
}

// A completer lists what may stand in a place.
type completer = cobra.CompletionFunc

// completeFlag says what may stand behind a flag.
func completeFlag(cmd *cobra.Command, name string, c completer) {
	if err := cmd.RegisterFlagCompletionFunc(name, c); err != nil { // there is no such flag
		panic(err)
	}
}

// words completes to words that are always the same.
func words[T ~string](list ...T) completer {
	var all []string
	for _, w := range list {
		all = append(all, string(w))
	}
	return cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)
}

// anyModel completes to the models of the settings.
func anyModel(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s, _ := parseSettings() // what is wrong with others is nothing to somebody who types
	return append(s.ModelImage, s.ModelVideo...), cobra.ShellCompDirectiveNoFileComp
}

func files(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// typingTime is how long somebody who types waits for what a daemon knows.
const typingTime = time.Second

// lastFailures completes to the keys of the last failures, if a daemon can be asked.
func lastFailures(cmd *cobra.Command, _ []string, _ string) (keys []string, _ cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), typingTime)
	defer cancel()
	cmd.SetContext(ctx)
	_ = ask(cmd, func(ctx context.Context, r control.Remote) error { // without an answer there is nothing to complete to
		s, err := r.Status(ctx)
		for _, f := range s.Failures {
			if f.Job() != "" {
				keys = append(keys, cobra.CompletionWithDesc(f.Job().Short(), legible(f.Name)+": "+string(f.Reason)))
			}
		}
		return err
	})
	return keys, cobra.ShellCompDirectiveNoFileComp
}

// outcomes are all that a verdict may say.
var outcomes = []queue.Outcome{queue.Fake, queue.Real, queue.Inconclusive}
