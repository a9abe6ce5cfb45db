package authenta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A PresignedURL lets whoever has it read or write one object for as long as it lives. It prints without its query
// string, which is the secret part; string(u) and its JSON form are the real thing.
type PresignedURL string

// String is scheme://host/path?[redacted].
func (p PresignedURL) String() string {
	if p == "" {
		return ""
	}
	u, err := url.Parse(string(p))
	if err != nil {
		return redacted
	}
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	if u.RawQuery != "" {
		shown += "?" + redacted
	}
	return shown
}

// GoString is String, for %#v.
func (p PresignedURL) GoString() string { return p.String() }

// LogValue is String, for log/slog.
func (p PresignedURL) LogValue() slog.Value { return slog.StringValue(p.String()) }

// expires is when a URL that has come just now stops working: by signature version 4, or else version 2. The zero time if it
// does not say. Version 4 tells its life, which is counted by our clock: the signer's may be an hour behind, and then each
// URL would seem to be dead when it comes. So would those of version 2, which are not believed.
func (p PresignedURL) expires(now time.Time) time.Time {
	u, err := url.Parse(string(p))
	if err != nil {
		return time.Time{}
	}
	q := u.Query()
	if seconds, err := strconv.ParseUint(q.Get("X-Amz-Expires"), 10, 31); err == nil {
		return now.Add(time.Duration(seconds) * time.Second)
	}
	if seconds, err := strconv.ParseUint(q.Get("Expires"), 10, 37); err == nil {
		if at := time.Unix(int64(seconds), 0).UTC(); at.After(now) {
			return at
		}
	}
	return time.Time{}
}

// checkUploadURL refuses a URL that a file must not be sent to. Plain http is for a platform that is itself reached by it:
// a test, or an installation in a closed network. Names are not looked up; see guard.
func (c *Client) checkUploadURL(ctx context.Context, p PresignedURL) error {
	u, err := url.Parse(string(p))
	switch {
	case p == "":
		return errors.New("there is no upload URL")
	case len(p) > maxURL:
		return fmt.Errorf("the upload URL has %d bytes, more than %d", len(p), maxURL)
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsFunc(string(p), isOdd):
		return errors.New("the upload URL is not an absolute one")
	case u.Scheme != "https" && (u.Scheme != "http" || c.base.Scheme != "http"):
		return fmt.Errorf("the upload URL %s is not https", p)
	}
	if err := c.uploadGuard(u).checkURL(ctx, u); err != nil {
		return fmt.Errorf("the upload URL is refused: %w", err)
	}
	return nil
}
