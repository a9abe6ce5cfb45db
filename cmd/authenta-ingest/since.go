package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dayLayouts are how people write a day and a time, by the clock of this machine if they name no zone.
var dayLayouts = []string{
	time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339,
}

// clockLayouts are how they write a time of today.
var clockLayouts = []string{"15:04", time.TimeOnly}

// parseSince reads a time that has passed: how long ago, when, or nothing, which is the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, ok := passed(text, now)
	switch {
	case !ok:
		return t, fmt.Errorf("--since %q: want how long ago, such as 90m, 12h or 7d, or when, such as %s or %q",
			text, now.Format(time.DateOnly), now.Format("2006-01-02 15:04"))
	case t.After(now):
		return t, fmt.Errorf("--since %q: that is still to come", text)
	}
	return t, nil
}

func passed(text string, now time.Time) (time.Time, bool) {
	if d, err := parseAgo(text); err == nil {
		return now.Add(-d), true
	}
	for _, layout := range dayLayouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, true
		}
	}
	for _, layout := range clockLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), true
		}
	}
	return time.Time{}, false
}

// mostDays is some centuries: what is longer cannot be a duration.
const mostDays = 100_000

// parseAgo reads a duration, which may be in days.
func parseAgo(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n > 0 && n <= mostDays) { // neither is what is no number
			return 0, errors.New("no number of days")
		}
		return time.Duration(n * 24 * float64(time.Hour)), nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("no time has passed")
	}
	return d, err
}
