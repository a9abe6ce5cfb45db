package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// amzLayout is how S3 writes the time that a URL was signed at.
const amzLayout = "20060102T150405Z"

// A signer is the key that the storage's URLs are signed with.
type signer []byte

// sign covers all that the storage insists on. Like S3's, it needs no record of what was signed: whoever sends another
// type or length gets another signature.
func (s signer) sign(method, path, contentType string, size int64, date, expires string) string {
	mac := hmac.New(sha256.New, s)
	fmt.Fprintf(mac, "%s\n%s\n%s\n%d\n%s\n%s", method, path, contentType, size, date, expires)
	return hex.EncodeToString(mac.Sum(nil))
}

// verify checks a request against the signature in its URL.
func (s signer) verify(r *http.Request, now time.Time) *storageError {
	q := r.URL.Query()
	date, expires := q.Get("X-Amz-Date"), q.Get("X-Amz-Expires")
	signedAt, err := time.Parse(amzLayout, date)
	if err != nil {
		return accessDenied
	}
	seconds, err := strconv.Atoi(expires)
	if err != nil {
		return accessDenied
	}
	if !now.Before(signedAt.Add(time.Duration(seconds) * time.Second)) {
		return requestExpired
	}
	want := s.sign(r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.ContentLength, date, expires)
	if !hmac.Equal([]byte(want), []byte(q.Get("X-Amz-Signature"))) {
		return signatureMismatch
	}
	return nil
}

// A presigner makes the presigned URLs in one answer.
type presigner struct {
	signer signer
	base   string
	now    time.Time
	ttl    time.Duration
}

// presigner returns what makes the URLs in the answer to r. The lock is held.
func (p *Platform) presigner(r *http.Request) presigner {
	base := p.opts.BaseURL
	if base == "" {
		base = "http://" + r.Host
		if r.TLS != nil {
			base = "https://" + r.Host
		}
	}
	return presigner{signer: p.state.signer, base: base, now: p.now(), ttl: p.opts.URLTTL}
}

func (u presigner) upload(m *media) string {
	return u.presign(http.MethodPut, m.sourceKey(), m.ContentType, m.Size)
}

func (u presigner) get(key string) string { return u.presign(http.MethodGet, key, "", 0) }

func (u presigner) presign(method, key, contentType string, size int64) string {
	path := url.URL{Path: "/storage/" + key}
	date, expires := u.now.UTC().Format(amzLayout), strconv.Itoa(u.seconds())
	signature := u.signer.sign(method, path.Path, contentType, size, date, expires)
	return u.base + path.EscapedPath() + "?X-Amz-Date=" + date + "&X-Amz-Expires=" + expires + "&X-Amz-Signature=" + signature
}

// seconds is how long a URL lives, rounded up.
func (u presigner) seconds() int { return int((u.ttl + time.Second - 1) / time.Second) }
