package sandbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// A Platform is one account on a simulated platform. Its methods may be called concurrently.
type Platform struct {
	opts     Options
	instance [5]byte // keeps this process's media ids apart from those of the one that wrote the journal

	mu      sync.Mutex // guards what follows; never held while a body is read or an answer is written
	state   *state
	journal *journal
	keys    keys
	faults  []*armedFault
	dice    *mathrand.Rand
}

// New returns a platform in the state that o.Journal left it in, or a new one. Keys, permissions and faults are not in
// the journal: they start as o says.
func New(o Options) (*Platform, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Platform{
		opts:  o,
		state: newState(o),
		keys:  keys{id: o.ClientID, secret: o.ClientSecret, apiKey: o.APIKey, allowed: PermRead | PermWrite | PermDelete},
		dice:  mathrand.New(mathrand.NewPCG(o.Seed, 0)),
	}
	rand.Read(p.instance[:])
	if o.Journal != "" {
		if p.journal, err = openJournal(o.Journal, p.state.apply); err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
	}
	if p.state.signer == nil {
		key := make([]byte, 32)
		rand.Read(key)
		p.record(event{Kind: opened, Key: key})
	}
	return p, nil
}

// Close closes the journal and returns the first error that writing it met. Calls after Close are answered, and not
// journalled.
func (p *Platform) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.journal.close()
	p.journal = nil
	return err
}

// Ledger returns what was called and paid so far, as a copy.
func (p *Platform) Ledger() Ledger {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.ledger.clone()
}

// Grant changes what the account has left, and starts what waited for credits.
func (p *Platform) Grant(g Grant) { p.record(event{Kind: granted, At: p.now(), Grant: &g}) }

// ServeHTTP answers the Media API under /api/media and the storage under /storage.
func (p *Platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, key := route(r)
	if op == "" {
		noSuchRoute.write(w, r)
		return
	}
	t := &tallier{ResponseWriter: w, tally: func(status int) {
		p.record(event{Kind: called, Op: op, Status: status})
	}}
	defer t.done() // also when a fault cuts the connection by panicking
	p.afflict(op, func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, op, key) })(t, r)
}

func (p *Platform) serve(w http.ResponseWriter, r *http.Request, op Op, key string) {
	switch op {
	case OpCreate:
		p.create(w, r)
	case OpGet:
		p.get(w, r, key)
	case OpList:
		p.list(w, r)
	case OpDelete:
		p.delete(w, r, key)
	case OpPut:
		p.put(w, r, key)
	case OpFetch:
		p.fetch(w, r, key)
	}
}

func (p *Platform) now() time.Time { return p.opts.Clock() }

// record makes one change, in memory and in the journal.
func (p *Platform) record(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commit(e)
}

// commit is record for those who hold the lock.
func (p *Platform) commit(e event) {
	p.journal.append(e)
	p.state.apply(e)
}

// newMID makes an id as the platform's database does: seconds, a process's own bytes, a counter. The lock is held.
func (p *Platform) newMID(now time.Time) string {
	var id [12]byte
	binary.BigEndian.PutUint32(id[:4], uint32(now.Unix()))
	copy(id[4:9], p.instance[:])
	n := p.state.created
	id[9], id[10], id[11] = byte(n>>16), byte(n>>8), byte(n)
	return hex.EncodeToString(id[:])
}
