package authenta

import "fmt"

// A Kind says what an error means for whoever might repeat the call. The set is closed.
type Kind int

const (
	// KindQuota: this kind of call's quota is used up (429 AA001). It comes back when the account's owner asks for
	// more, or at a period's end; the platform asks not to be tried again and again until then.
	KindQuota Kind = iota + 1

	// KindThrottled: too many calls in too short a time (429 with another code, storage's SlowDown). Repeat later.
	KindThrottled

	// KindCredits: the account has nothing left to pay with (400 U007, 402). Repeat once it is topped up.
	KindCredits

	// KindUnauthenticated: the keys are missing, wrong or revoked (401), or none could be had, and then nothing was
	// sent. Repeat with others.
	KindUnauthenticated

	// KindForbidden: the keys lack the permission that this call needs (403 from the platform itself).
	KindForbidden

	// KindNotFound: there is no such media record (404).
	KindNotFound

	// KindRejected: the request itself is wrong (any other 4xx, or one that was not even sent). Do not repeat it.
	KindRejected

	// KindUnavailable: nothing was found out about the request, be it for the network, a time-out, a 5xx, something in
	// front of the platform, an answer that makes no sense, or because the context ended. Repeat later, minding
	// MaybeDone.
	KindUnavailable

	// KindURLExpired: the upload URL is too old, or leads to where nothing may be sent. Only a new media record brings
	// another.
	KindURLExpired

	// KindStorageRefused: storage did not take the file (any other 4xx of storage itself).
	KindStorageRefused

	// KindFileChanged: the file does not have the size that was declared, or lost it while it was sent.
	KindFileChanged
)

var kindNames = [...]string{
	KindQuota:           "quota",
	KindThrottled:       "throttled",
	KindCredits:         "credits",
	KindUnauthenticated: "unauthenticated",
	KindForbidden:       "forbidden",
	KindNotFound:        "not found",
	KindRejected:        "rejected",
	KindUnavailable:     "unavailable",
	KindURLExpired:      "upload URL expired",
	KindStorageRefused:  "storage refused",
	KindFileChanged:     "file changed",
}

// String names the kind, for logs.
func (k Kind) String() string {
	if k <= 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}
