package deploy_test

import (
	"strings"
	"testing"
)

// buildCommand returns the arguments of the go command with which the Dockerfile builds the program, but for -trimpath: it
// changes names of source files only, and everything would be compiled once more.
func buildCommand(t *testing.T) []string {
	t.Helper()
	return strings.Fields("build -ldflags=-s")
}
