package authenta

import (
	"crypto/sha256"
	"encoding/hex"
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

// Check reports why no call can be made with the keys. It does not tell what they are.
func (c Credentials) Check() error {
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

// Fingerprint tells these keys from others without telling them: the first 4 bytes of a digest, in hex.
func (c Credentials) Fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{"authenta-ingest"}, c.keys()...), "\x00")))
	return hex.EncodeToString(sum[:4])
}
