package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A section is a part of a document under one heading, with the commands that stand in it for a reader to type.
type section struct {
	Document string
	Title    string
	Commands []string          // in their order, each with the lines that it goes on in
	Programs map[string]string // Go programs that stand there, by the file that a reader would write them to; they are run as well
}

// documents are those whose commands are run, from the top of the repository.
var documents = []string{"README.md", "deploy/README.md"}

// sections returns the parts of a document that have commands, which are the lines of its blocks that are marked as sh, or programs,
// which are the blocks marked as go.
func sections(t *testing.T, document string) []section {
	t.Helper()
	text, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	var found []section
	begin := func(title string) section {
		return section{Document: document, Title: title, Programs: map[string]string{}}
	}
	here, fence, unfinished, program := begin(""), "", "", ""
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
			if fence == "```go" {
				dir := fmt.Sprintf("cmd/example%d", len(here.Programs)+1)
				here.Programs[dir+"/main.go"] = program
				here.Commands = append(here.Commands, fmt.Sprintf("go build -o %[1]s/example ./%[1]s", dir), dir+"/example")
			}
			fence, program = "", ""
		case fence == "```go":
			program += line + "\n"
		case fence == "```sh":
			line, goesOn := strings.CutSuffix(unfinished+line, "\\")
			if unfinished = ""; goesOn {
				unfinished = line
			} else if c := withoutComment(line); c != "" {
				here.Commands = append(here.Commands, c)
			}
		case fence == "" && strings.HasPrefix(line, "#"):
			end()
			here = begin(strings.TrimLeft(line, "# "))
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
