package authenta

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"

	"github.com/authenta/authenta-ingest/authenta/retryafter"
)

// checkStorage judges storage's answer to a PUT: nil for a success. MaybeDone is set where the answer is not storage's
// own, so that it does not say what became of the object.
func checkStorage(resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // to its end, so that the connection can be used again
	if 200 <= resp.StatusCode && resp.StatusCode <= 204 {
		return nil
	}
	e := storageError(resp.StatusCode, body)
	e.RetryAfter = retryafter.Of(resp.Header)
	return e
}

// storageError reads an error body of S3: <Error><Code>…</Code><Message>…</Message>…</Error>. Its other elements repeat
// the request's signature, and are left alone.
func storageError(status int, body []byte) *Error {
	var problem struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}
	e := &Error{Status: status}
	err := xml.Unmarshal(body, &problem)
	if e.Code = clean(problem.Code); err != nil || e.Code == "" {
		return &Error{Status: status, Kind: KindUnavailable, Message: "the answer is not storage's own", MaybeDone: true}
	}
	e.Message = clean(problem.Message)
	e.Kind = storageKind(status, e.Code, e.Message)
	return e
}

// storageKind is the table of S3's error answers.
func storageKind(status int, code, message string) Kind {
	switch {
	case code == "AccessDenied" && strings.Contains(strings.ToLower(message), "expired"), code == "ExpiredToken":
		return KindURLExpired
	case code == "SlowDown" || status == 429:
		return KindThrottled
	case code == "RequestTimeout" || code == "IncompleteBody": // the line's fault
		return KindUnavailable
	case status/100 == 4:
		return KindStorageRefused
	}
	return KindUnavailable
}
