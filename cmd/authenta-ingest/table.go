package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"github.com/authenta/authenta-ingest/queue"
)

// answerColumns are the columns of a table of answers, one line each, that a person reads while it is written: what came
// before cannot be aligned anew.
type answerColumns struct {
	model int // as wide as the widest model so far
}

// Widths of the columns whose contents are known: the longest reason, and 100 %.
const (
	endWidth  = len(queue.AnalysisFailed)
	sureWidth = len("100 %")
)

// verdict is a line for a verdict.
func (c *answerColumns) verdict(v queue.Verdict) string {
	sure := ""
	if v.Confidence != nil {
		sure = fmt.Sprintf("%.0f %%", *v.Confidence*100)
	}
	return c.line(string(v.Outcome), sure, v.Model, legible(path(v.Head)))
}

// failure is a line for a file that could not be judged.
func (c *answerColumns) failure(f queue.Failure) string {
	return c.line(string(f.Reason), "", f.Model, legible(path(f.Head))+": "+oneLine(f.Message))
}

func (c *answerColumns) line(end, sure string, model queue.Model, rest string) string {
	m := legible(string(model))
	c.model = max(c.model, width(m), len("MODEL"))
	return pad(legible(end), endWidth) + "  " + strings.Repeat(" ", max(sureWidth-width(sure), 0)) + sure + "  " + pad(m, c.model) + "  " + rest
}

// head names the columns.
func (c *answerColumns) head() string { return c.line("OUTCOME", "SURE", "MODEL", "FILE") }

// legible quotes a text that has something else in it than characters to read: it would be a line of its own, or an order to
// the terminal.
func legible(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, unreadable) {
		return text
	}
	return strconv.Quote(text)
}

// unreadable reports whether a character is not for people. Spaces of all kinds are, and what joins letters or keeps them apart,
// as names in Persian have it.
func unreadable(r rune) bool { return !unicode.IsGraphic(r) && r != '\u200c' && r != '\u200d' }

// oneLine is a message as it fits into a table.
func oneLine(s string) string { return legible(strings.Join(strings.Fields(s), " ")) }

// width is how many columns of a terminal a text takes: some characters take two, and some none.
func width(text string) int { return uniseg.StringWidth(text) }

// pad makes a text as wide as its column.
func pad(text string, to int) string { return text + strings.Repeat(" ", max(to-width(text), 0)) }

// clock is a time for a person. It is taken back where a time is asked for.
func clock(t time.Time) string { return t.Local().Format(time.DateTime) }
