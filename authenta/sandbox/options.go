package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Counts with a meaning of their own, for credits and quotas.
const (
	Unlimited = -1 // never runs out
	None      = -2 // in a Grant: takes away what is left
)

// Options say what kind of platform to simulate. Credits and quotas are literal: the zero Options describe an account
// that can do nothing.
type Options struct {
	ClientID, ClientSecret string // the accepted key pair; both empty: "sandbox-id", "sandbox-secret"
	APIKey                 string // the accepted bearer key; empty: "api_sandbox"

	Credits       int // processing runs that can be paid for, or Unlimited
	MutationQuota int // POST and DELETE calls with the key pair, or Unlimited
	QueryQuota    int // GET calls with the key pair, or Unlimited

	Latency      time.Duration // from complete PUT to result
	LatencyPerMB time.Duration // added for every 1,000,000 bytes
	Spread       time.Duration // added in part, from nothing to all of it, evenly, as the content has it
	EventDelay   time.Duration // from complete PUT to status UPLOADED: the storage's event may be late
	URLTTL       time.Duration // how long presigned URLs live, in whole seconds; 0: an hour
	ExpiresIn    bool          // the answer to a create says "expiresIn", as the prose promises and the examples do not

	BaseURL string // how presigned URLs are addressed; empty: by the request's Host
	Journal string // file that every change is appended to and New replays; empty: memory only

	Clock   func() time.Time              // nil: time.Now
	Outcome func(sha256 [32]byte) Outcome // nil: OutcomeOf
	Seed    uint64                        // of the dice that Fault.Rate throws; 0: picks one, see Platform.Seed
}

// Check finds every mistake in the options.
func (o Options) Check() error {
	var mistakes []error
	if (o.ClientID == "") != (o.ClientSecret == "") {
		mistakes = append(mistakes, errors.New("a client id needs a client secret, and the other way round"))
	}
	if min(o.Credits, o.MutationQuota, o.QueryQuota) < Unlimited {
		mistakes = append(mistakes, errors.New("credits and quotas are counts, or -1 for no limit"))
	}
	if min(o.Latency, o.LatencyPerMB, o.Spread, o.EventDelay, o.URLTTL) < 0 {
		mistakes = append(mistakes, errors.New("a duration is negative"))
	}
	return errors.Join(mistakes...)
}

func (o Options) withDefaults() (Options, error) {
	if err := o.Check(); err != nil {
		return o, fmt.Errorf("sandbox: %w", err)
	}
	if o.ClientID == "" {
		o.ClientID, o.ClientSecret = "sandbox-id", "sandbox-secret"
	}
	if o.APIKey == "" {
		o.APIKey = "api_sandbox"
	}
	if o.URLTTL == 0 {
		o.URLTTL = time.Hour
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Outcome == nil {
		o.Outcome = OutcomeOf
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return o, nil
}
