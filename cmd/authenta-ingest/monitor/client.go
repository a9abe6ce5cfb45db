package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// askTime is how long a client waits for an answer: longer than what a daemon needs to say that it does not get one itself.
const askTime = 10 * time.Second

// maxAnswer is how many bytes of an answer are read.
const maxAnswer = 1 << 20

// A Client asks the monitor of a process on this machine.
type Client struct {
	Address string // the host:port that it serves; one of all interfaces is reached by this machine's own
}

// Health asks whether the process is alive. An error says that nobody could be asked.
func (c Client) Health(ctx context.Context) (h Health, err error) {
	return h, c.get(ctx, HealthPath, &h)
}

// Readiness asks whether the process does its work. An error says that nobody could be asked.
func (c Client) Readiness(ctx context.Context) (r Readiness, err error) {
	return r, c.get(ctx, ReadyPath, &r)
}

// get decodes what a page says, whether all is well or not.
func (c Client) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	var d net.Dialer
	transport := &http.Transport{ // no proxy leads to this machine
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", c.Address) },
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("no daemon answers at %s: %w", c.Address, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err == nil && answer.Header.Get("Server") == serverName {
		err = json.Unmarshal(body, into)
	} else if err == nil {
		err = fmt.Errorf("it answered %s", answer.Status)
	}
	if err != nil {
		return fmt.Errorf("what listens at %s is no daemon of this kind: %w", c.Address, err)
	}
	return nil
}
