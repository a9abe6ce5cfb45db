package authenta

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/authenta/authenta-ingest/authenta/retryafter"
)

// How much of an answer is read. A record takes about 2 KiB, a page of a hundred about 200 KiB.
const (
	maxBody      = 4 << 20
	maxErrorBody = 64 << 10
)

// checkResponse is the one place that judges an answer of the API: a success gives its body, all else an error, which
// lacks only what the call itself knows.
func checkResponse(ctx context.Context, resp *http.Response) ([]byte, *Error) {
	if resp.StatusCode/100 == 2 {
		body, err := readUpTo(resp.Body, maxBody)
		if err != nil {
			return nil, &Error{Kind: KindUnavailable, Status: resp.StatusCode, Err: causeOf(ctx, err)}
		}
		return body, nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came is as good as there is
	e := apiError(resp.StatusCode, body)
	e.RetryAfter = retryafter.Of(resp.Header)
	return nil, e
}

func readUpTo(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errors.New("the answer is too long")
	}
	return body, err
}

// apiError reads an error body of the API. Key pairs get {"code","type","message"}, bearer keys
// {"code","statusCode","message"}.
func apiError(status int, body []byte) *Error {
	var problem *struct { // nil for null
		Code    scalar `json:"code"`
		Message scalar `json:"message"`
	}
	e := &Error{Status: status}
	fromPlatform := json.Unmarshal(body, &problem) == nil && problem != nil
	if fromPlatform {
		e.Code, e.Message = string(problem.Code), string(problem.Message)
	} else {
		e.Message = "the answer is not the platform's own"
	}
	e.Kind = apiKind(status, e.Code, fromPlatform)
	return e
}

// apiKind is the table of the API's error answers. fromPlatform is whether the body is JSON: something in front of the
// platform also says 4xx and 5xx, and knows nothing of keys, records and files.
func apiKind(status int, code string, fromPlatform bool) Kind {
	switch {
	case status == 429 && code == "AA001":
		return KindQuota
	case status == 429:
		return KindThrottled
	case status == 402 || code == "U007" || code == "INSUFFICIENT_BALANCE":
		return KindCredits
	case status == 401:
		return KindUnauthenticated
	case !fromPlatform, status == 407, status == 408: // a firewall's, a proxy's, a wrong address's, a time-out
		return KindUnavailable
	case status == 403:
		return KindForbidden
	case status == 404:
		return KindNotFound
	case status/100 == 4:
		return KindRejected
	}
	return KindUnavailable
}
