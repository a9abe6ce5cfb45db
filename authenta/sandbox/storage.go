package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// What the storage keeps, by the part of the path after /storage/.
const (
	resultPrefix  = "results/"
	heatmapPrefix = "heatmaps/"
)

func (m *media) sourceKey() string { return m.mid + "/" + m.Name }

func resultKey(mid string) string { return resultPrefix + mid + ".json" }

func heatmapKey(mid string) string { return heatmapPrefix + mid + ".png" }

// put takes an object. Every check is made before the first byte of the body is read, so that a client that sent
// Expect: 100-continue keeps its bytes when the answer is no.
func (p *Platform) put(w http.ResponseWriter, r *http.Request, key string) {
	if refused := p.refusePut(r); refused != nil {
		refused.write(w)
		return
	}
	mid, _, _ := strings.Cut(key, "/")
	p.record(event{Kind: putBegun, MID: mid})
	sum, n, err := hash(r.Body)
	if err != nil || n != r.ContentLength {
		incompleteBody.write(w)
		return
	}
	o := object{SHA256: hex.EncodeToString(sum[:]), Size: n, Outcome: p.opts.Outcome(sum)}
	if mustFail(r) {
		o.Outcome = Outcome{Verdict: Failed}
	}
	p.record(event{Kind: putCompleted, At: p.now(), MID: mid, Object: &o})
	w.Header().Set("ETag", `"`+o.SHA256[:32]+`"`)
	w.WriteHeader(http.StatusOK)
}

func (p *Platform) refusePut(r *http.Request) *storageError {
	for _, name := range []string{"Authorization", "X-Client-Id", "X-Client-Secret"} {
		if r.Header.Get(name) != "" {
			return invalidArgument
		}
	}
	if r.ContentLength < 0 {
		return notImplemented
	}
	return p.verify(r)
}

// fetch serves results and heatmaps. Uploaded objects were not kept.
func (p *Platform) fetch(w http.ResponseWriter, r *http.Request, key string) {
	if refused := p.verify(r); refused != nil {
		refused.write(w)
		return
	}
	mid, isResult := strings.CutPrefix(strings.TrimSuffix(key, ".json"), resultPrefix)
	if !isResult {
		mid = strings.TrimSuffix(strings.TrimPrefix(key, heatmapPrefix), ".png")
	}
	result := p.result(mid)
	switch {
	case result == nil:
		noSuchKey.write(w)
	case isResult:
		writeJSON(w, http.StatusOK, result)
	default:
		write(w, http.StatusOK, "image/png", heatmap())
	}
}

// result is a processed record's result document; nil if there is none.
func (p *Platform) result(mid string) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.state.media[mid]
	if m == nil || m.status(p.now()) != statusProcessed {
		return nil
	}
	return m.result()
}

func (p *Platform) verify(r *http.Request) *storageError {
	p.mu.Lock()
	signer := p.state.signer
	p.mu.Unlock()
	return signer.verify(r, p.now())
}

// buffers are for reading bodies: large enough for few system calls, shared so that many uploads need few.
var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

func hash(body io.Reader) (sum [sha256.Size]byte, n int64, err error) {
	buf := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buf)
	h := sha256.New()
	n, err = io.CopyBuffer(h, body, buf[:])
	h.Sum(sum[:0])
	return sum, n, err
}

// A storageError is an error answer of the storage, in S3's form.
type storageError struct {
	status        int
	code, message string
}

var (
	accessDenied      = &storageError{403, "AccessDenied", "Access Denied"}
	requestExpired    = &storageError{403, "AccessDenied", "Request has expired"}
	signatureMismatch = &storageError{403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	invalidArgument   = &storageError{400, "InvalidArgument", "Only one auth mechanism allowed"}
	notImplemented    = &storageError{501, "NotImplemented", "A header you provided implies functionality that is not implemented"}
	incompleteBody    = &storageError{400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"}
	noSuchKey         = &storageError{404, "NoSuchKey", "The specified key does not exist."}
	slowDown          = &storageError{503, "SlowDown", "Please reduce your request rate."}
)

func (e *storageError) write(w http.ResponseWriter) {
	write(w, e.status, "application/xml", fmt.Appendf(nil,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", e.code, e.message))
}
