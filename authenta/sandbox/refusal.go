package sandbox

import "net/http"

// A refusal is an error answer of the API. A bearer key gets the same one in another form, some with another status
// and code.
type refusal struct {
	status              int
	code, kind, message string

	bearerStatus int    // 0: status
	bearerCode   string // empty: code
}

var (
	unauthenticated = &refusal{status: 401, code: "IAM001", kind: "UNAUTHENTICATED", message: "You are not authenticated", bearerCode: "INVALID_API_KEY"}
	unauthorized    = &refusal{status: 403, code: "IAM002", kind: "UNAUTHORIZED", message: "You are not authorized", bearerCode: "FORBIDDEN"}
	quotaUsedUp     = clientError(429, "AA001", "API limit reached")
	outOfCredits    = &refusal{status: 400, code: "U007", kind: "CLIENT_ERROR", message: "Insufficient credits", bearerStatus: 402, bearerCode: "INSUFFICIENT_BALANCE"}
	noSuchMedia     = clientError(404, "not_found", "Media not found")
	noSuchRoute     = clientError(404, "not_found", "No such route")
	tooMany         = clientError(429, "rate_limited", "Too many requests")
	serverError     = &refusal{status: 500, code: "internal_error", kind: "SERVER_ERROR", message: "Something went wrong"}
)

func clientError(status int, code, message string) *refusal {
	return &refusal{status: status, code: code, kind: "CLIENT_ERROR", message: message}
}

// write answers r in the form of the generation that it was called in.
func (f *refusal) write(w http.ResponseWriter, r *http.Request) {
	status, code := f.status, f.code
	if !isBearer(r) {
		writeJSON(w, status, struct {
			Code    string `json:"code"`
			Type    string `json:"type"`
			Message string `json:"message"`
		}{code, f.kind, f.message})
		return
	}
	if f.bearerStatus != 0 {
		status = f.bearerStatus
	}
	if f.bearerCode != "" {
		code = f.bearerCode
	}
	writeJSON(w, status, struct {
		Code       string `json:"code"`
		StatusCode int    `json:"statusCode"`
		Message    string `json:"message"`
	}{code, status, f.message})
}
