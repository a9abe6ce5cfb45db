package main

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// complaints tells a person that traces do not arrive: once a minute at most, and no secret. It is OpenTelemetry's error handler.
type complaints struct {
	log    *slog.Logger
	masked *strings.Replacer

	mu    sync.Mutex
	last  time.Time
	since int // complaints that were not told since then
}

const (
	complainEvery = time.Minute
	longestReason = 300 // bytes: a proxy may answer with a page
)

func newComplaints(log *slog.Logger, secrets []string) *complaints {
	var pairs []string
	for _, secret := range secrets {
		pairs = append(pairs, secret, "…")
	}
	return &complaints{log: log, masked: strings.NewReplacer(pairs...)}
}

// Handle tells of an error, or counts it.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && time.Since(c.last) < complainEvery {
		c.since++
		return
	}
	why := c.masked.Replace(err.Error())
	if len(why) > longestReason {
		why = why[:longestReason] + "…"
	}
	c.log.Warn("traces do not reach the collector; some are lost", "error", strings.ToValidUTF8(why, "?"), "and_before", c.since)
	c.last, c.since = time.Now(), 0
}
