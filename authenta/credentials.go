package authenta

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
)

// Credentials are an account's keys: the pair of a client id and secret, or a bearer key, which is preferred when both
// are there. They print masked.
type Credentials struct {
	ClientID, ClientSecret string
	APIKey                 string
}

// String says which keys there are, not what they are.
func (c Credentials) String() string {
	switch {
	case c.APIKey != "":
		return "bearer key [redacted]"
	case c.ClientID != "" || c.ClientSecret != "":
		return "key pair [redacted]"
	}
	return "no keys"
}

// GoString is String, for %#v.
func (c Credentials) GoString() string { return c.String() }

// LogValue is String, for log/slog.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (c Credentials) check() error {
	if c.APIKey == "" && (c.ClientID == "" || c.ClientSecret == "") {
		return errors.New("there is neither a bearer key nor a whole key pair")
	}
	for _, key := range c.keys() {
		if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("a key has characters that a header cannot carry")
		}
	}
	return nil
}

func (c Credentials) keys() []string { return []string{c.ClientID, c.ClientSecret, c.APIKey} }

func (c Credentials) setHeaders(h http.Header) {
	if c.APIKey != "" {
		h.Set("Authorization", "Bearer "+c.APIKey)
		return
	}
	h.Set("X-Client-Id", c.ClientID)
	h.Set("X-Client-Secret", c.ClientSecret)
}
