package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

func parseLevel(name string) (slog.Level, error) {
	var level slog.Level
	err := level.UnmarshalText([]byte(name))
	return level, err
}

// newLog logs text on a terminal and JSON lines elsewhere.
func newLog(w io.Writer, levelName string) *slog.Logger {
	level, err := parseLevel(levelName)
	if err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if isTerminal(w) {
		options.ReplaceAttr = shortTime
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// shortTime leaves out of a log line what a person at a terminal knows.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05"))
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
