package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// exitMeanings say of each exit code what it means, from 0 on.
var exitMeanings = []string{
	exitDone:    "done, or stopped by a signal",
	exitFailure: "failed at run time",
	exitUsage:   "bad usage or setting; every mistake is listed, one a line",
	exitFailed:  "--once ended, and some files could not be judged, read, or moved afterwards",
	exitPaused: "--once ended because work is paused (the account takes no more, or somebody asked for it); the files left are on the queue " +
		"for the next run, which goes on when the next try is due, or at once with --resume",
}

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man",
		Short: "Print the manual page",
		Long: `Print the manual page: every command, every setting, and what exit codes mean.
Put it where man looks for pages, or show it at once.`,
		Example: `  authenta-ingest man > /usr/local/share/man/man1/authenta-ingest.1
  authenta-ingest man | man -l -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), manual(cmd.Root()))
			return err
		},
	}
}

// manual is the manual page of a program, made of what its commands and settings say of themselves.
func manual(root *cobra.Command) string {
	p := &page{}
	name := root.Name()
	p.line(".TH %s 1 \"\" \"%s %s\" \"User Commands\"", strings.ToUpper(name), name, version())
	p.line(".SH NAME\n%s \\- %s", roff(name), roff(root.Short))
	p.line(".SH SYNOPSIS")
	commands := available(root)
	for _, c := range commands {
		p.line(".B %s %s\n.br", roff(name), roff(c.Use))
	}
	p.line(".SH DESCRIPTION")
	p.text(root.Long)
	p.line(".SH COMMANDS")
	for _, c := range commands {
		p.command(c)
	}
	p.line(".SH ENVIRONMENT")
	p.text("A variable that is set to nothing counts as not set. Where traces are sent is said by the variables that OpenTelemetry\n" +
		"has for all programs, such as OTEL_EXPORTER_OTLP_ENDPOINT; without any, there are none.")
	group := ""
	for _, s := range listSettings(settings{}) {
		if s.Group != group {
			group = s.Group
			p.line(".SS %s", roff(group))
		}
		p.setting(s)
	}
	p.line(".SH EXIT STATUS")
	for code, means := range exitMeanings {
		p.item(fmt.Sprint(code), means)
	}
	return p.String()
}

// available are the commands that people use, in the order of their groups.
func available(root *cobra.Command) (all []*cobra.Command) {
	for _, g := range append(root.Groups(), &cobra.Group{}) {
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && c.IsAvailableCommand() && c.Name() != "help" {
				all = append(all, c)
			}
		}
	}
	return all
}

// A page is a manual page in the language of roff, with the macros of man.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// item is a term, and what it means.
func (p *page) item(term, means string) {
	p.line(".TP\n.B %s\n%s", roff(term), roff(means))
}

// text is paragraphs; those that are indented stay as they are.
func (p *page) text(text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		p.line(".PP")
		if !strings.HasPrefix(paragraph, "  ") {
			p.line("%s", roff(paragraph))
			continue
		}
		p.line(".nf\n%s\n.fi", roff(paragraph))
	}
}

func (p *page) command(c *cobra.Command) {
	p.line(".SS %s", roff(c.Use))
	p.text(c.Long)
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, means := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		p.item(name, means)
	})
	if c.Example != "" {
		p.line(".PP\nFor example:")
		p.text(c.Example)
	}
}

func (p *page) setting(s setting) {
	means := s.Meaning
	if s.Default != "" {
		means += " (default: " + s.Default + ")"
	}
	p.item(s.Name, means)
}

// roff writes a text so that nothing in it is an order to roff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\`", "~", `\(ti`, "^", `\(ha`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
