package sandbox

import "net/http"

// A Permission is what a key may do; several are or-ed.
type Permission uint8

// The platform's permissions. PermWrite is for creating media.
const (
	PermRead Permission = 1 << iota
	PermWrite
	PermDelete
)

// keys are the credentials that are accepted, and what they may do. An empty one is accepted from nobody.
type keys struct {
	id, secret, apiKey string
	allowed            Permission
}

// SetKeys replaces the accepted key pair and bearer key; an empty one revokes.
func (p *Platform) SetKeys(id, secret, apiKey string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys.id, p.keys.secret, p.keys.apiKey = id, secret, apiKey
}

// Permit replaces what the keys may do: Permit(PermRead|PermWrite) takes the right to delete away.
func (p *Platform) Permit(allowed Permission) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys.allowed = allowed
}

// check is the platform's first three checks: client id, client secret, permission.
func (k keys) check(r *http.Request, op Op) *refusal {
	if isBearer(r) {
		if k.apiKey == "" || r.Header.Get("Authorization") != "Bearer "+k.apiKey {
			return unauthenticated
		}
	} else if k.id == "" || k.secret == "" ||
		r.Header.Get("X-Client-Id") != k.id || r.Header.Get("X-Client-Secret") != k.secret {
		return unauthenticated
	}
	if k.allowed&op.needs() == 0 {
		return unauthorized
	}
	return nil
}

// isBearer tells the API's generation with a bearer key from the one with a key pair.
func isBearer(r *http.Request) bool { return r.Header.Get("Authorization") != "" }
