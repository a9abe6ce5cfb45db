package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// A section is a part of a document under one heading, with the commands that stand in it for a reader to type.
type section struct {
	Document string
	Title    string
	Commands []string // in their order, each with the lines that it goes on in
}

// documents are those whose commands are run, from the top of the repository.
var documents = []string{"README.md", "deploy/README.md"}

// sections returns the parts of a document that have commands: the lines of its blocks that are marked as sh.
func sections(t *testing.T, document string) []section {
	t.Helper()
	text, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	var found []section
	here, fence, unfinished := section{Document: document}, "", ""
	end := func() {
		if len(here.Commands) > 0 {
			found = append(found, here)
		}
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```") && fence == "":
			fence = line
		case strings.HasPrefix(line, "```"):
			fence = ""
		case fence == "```sh":
			line, goesOn := strings.CutSuffix(unfinished+line, "\\")
			if unfinished = ""; goesOn {
				unfinished = line
			} else if c := withoutComment(line); c != "" {
				here.Commands = append(here.Commands, c)
			}
		case fence == "" && strings.HasPrefix(line, "#"):
			end()
			here = section{Document: document, Title: strings.TrimLeft(line, "# ")}
		}
	}
	end()
	return found
}

var comment = regexp.MustCompile(`(^|\s)#.*$`)

// withoutComment is what is left of a command for the shell; empty: it was all for the reader.
func withoutComment(line string) string { return strings.TrimSpace(comment.ReplaceAllString(line, "")) }

func TestCommandsAreFoundInTheDocuments(t *testing.T) {
	n := 0
	for _, document := range documents {
		for _, s := range sections(t, document) {
			n += len(s.Commands)
		}
	}
	if n < 20 {
		t.Errorf("only %d commands are found in %v: the test of their truth would test nothing", n, documents)
	}
}
