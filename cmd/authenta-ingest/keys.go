package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
)

// keys reads the account's keys from settings or files. A file is read again when it changes, so that a revoked key
// can be replaced while the daemon runs.
type keys struct {
	id, secret, key secretSource
}

func (s settings) keys() *keys {
	return &keys{
		id:     secretSource{value: s.ClientID, file: s.ClientIDFile, setting: "AUTHENTA_CLIENT_ID_FILE"},
		secret: secretSource{value: s.ClientSecret, file: s.ClientSecretFile, setting: "AUTHENTA_CLIENT_SECRET_FILE"},
		key:    secretSource{value: s.APIKey, file: s.APIKeyFile, setting: "AUTHENTA_API_KEY_FILE"},
	}
}

// read returns the keys as they are now. Its errors name files, never what is in them.
func (k *keys) read() (authenta.Credentials, error) {
	var c authenta.Credentials
	for _, part := range []struct {
		to   *string
		from *secretSource
	}{{&c.ClientID, &k.id}, {&c.ClientSecret, &k.secret}, {&c.APIKey, &k.key}} {
		var err error
		if *part.to, err = part.from.read(); err != nil {
			return authenta.Credentials{}, err
		}
	}
	return c, nil
}

// A secretSource is a secret's value, or the file that has it. It is safe for concurrent use.
type secretSource struct {
	file    string
	setting string // that names the file

	mu    sync.Mutex
	value string
	seen  time.Time // the file's modification time when it was read
}

func (s *secretSource) read() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" {
		return s.value, nil
	}
	info, err := os.Stat(s.file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.setting, err)
	}
	if s.value != "" && info.ModTime().Equal(s.seen) {
		return s.value, nil
	}
	data, err := os.ReadFile(s.file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.setting, err)
	}
	value := strings.TrimSpace(string(data))
	if value == "" {
		return "", fmt.Errorf("%s: %s is empty", s.setting, s.file)
	}
	s.value, s.seen = value, info.ModTime()
	return value, nil
}
