package authenta

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/retryafter"
)

func TestAnswersOfThePlatformAreClassified(t *testing.T) {
	const html = "<html>Bad gateway</html>"
	for _, tt := range []struct {
		status int
		body   string
		want   Kind
		code   string
	}{
		{429, `{"code":"AA001","type":"CLIENT_ERROR","message":"API limit reached"}`, KindQuota, "AA001"},
		{429, `{"code":"rate_limited","message":"Too many requests"}`, KindThrottled, "rate_limited"},
		{429, html, KindThrottled, ""},
		{400, `{"code":"U007","type":"CLIENT_ERROR","message":"Insufficient credits"}`, KindCredits, "U007"},
		{402, `{"code":"INSUFFICIENT_BALANCE","statusCode":402,"message":"x"}`, KindCredits, "INSUFFICIENT_BALANCE"},
		{402, html, KindCredits, ""},
		{401, `{"code":"IAM001","type":"UNAUTHENTICATED","message":"x"}`, KindUnauthenticated, "IAM001"},
		{401, `{"code":"INVALID_API_KEY","statusCode":401,"message":"x"}`, KindUnauthenticated, "INVALID_API_KEY"},
		{403, `{"code":"IAM002","type":"UNAUTHORIZED","message":"x"}`, KindForbidden, "IAM002"},
		{403, `{"code":"FORBIDDEN","statusCode":403,"message":"x"}`, KindForbidden, "FORBIDDEN"},
		{403, html, KindUnavailable, ""},
		{403, `null`, KindUnavailable, ""},
		{404, `{"code":"not_found","message":"x"}`, KindNotFound, "not_found"},
		{400, `{"code":"bad_request","message":"x"}`, KindRejected, "bad_request"},
		{400, `{"code":400,"message":["not","a","string"]}`, KindRejected, "400"},
		{413, `{"code":"payload_too_large"}`, KindRejected, "payload_too_large"},
		{413, html, KindUnavailable, ""},
		{407, html, KindUnavailable, ""},
		{408, "", KindUnavailable, ""},
		{302, "", KindUnavailable, ""},
		{500, `{"code":"internal_error","message":"x"}`, KindUnavailable, "internal_error"},
		{502, html, KindUnavailable, ""},
	} {
		if e := apiError(tt.status, []byte(tt.body)); e.Kind != tt.want || e.Code != tt.code || e.Status != tt.status {
			t.Errorf("%d %s: got %v, code %q; want %v, %q", tt.status, tt.body, e.Kind, e.Code, tt.want, tt.code)
		}
	}
}

func TestAnswersOfStorageAreClassified(t *testing.T) {
	xml := func(code, message string) string {
		return `<?xml version="1.0" encoding="UTF-8"?>` + "\n<Error><Code>" + code + "</Code><Message>" + message +
			"</Message><RequestId>1</RequestId><HostId>2</HostId></Error>"
	}
	for _, tt := range []struct {
		status   int
		body     string
		want     Kind
		code     string
		definite bool
	}{
		{403, xml("AccessDenied", "Request has expired"), KindURLExpired, "AccessDenied", true},
		{400, xml("ExpiredToken", "The provided token has expired."), KindURLExpired, "ExpiredToken", true},
		{403, xml("AccessDenied", "Access Denied"), KindStorageRefused, "AccessDenied", true},
		{403, xml("SignatureDoesNotMatch", "x"), KindStorageRefused, "SignatureDoesNotMatch", true},
		{400, xml("IncompleteBody", "x"), KindUnavailable, "IncompleteBody", true},
		{503, xml("SlowDown", "x"), KindThrottled, "SlowDown", true},
		{500, xml("InternalError", "x"), KindUnavailable, "InternalError", true},
		{307, xml("TemporaryRedirect", "x"), KindUnavailable, "TemporaryRedirect", true},
		{403, "<html>blocked</html>", KindUnavailable, "", false},
		{502, "<html>Bad gateway</html>", KindUnavailable, "", false},
		{500, "<Error><Code>Inter", KindUnavailable, "", false},
		{500, "<Error></Error>", KindUnavailable, "", false},
	} {
		e := storageError(tt.status, []byte(tt.body))
		if e.Kind != tt.want || e.Code != tt.code || e.MaybeDone == tt.definite {
			t.Errorf("%d %s: got %v, code %q, MaybeDone %t", tt.status, tt.body, e.Kind, e.Code, e.MaybeDone)
		}
	}
}

func TestRetryAfterIsReadInBothFormsAndCapped(t *testing.T) {
	const date = "Tue, 02 Dec 2025 10:00:00 GMT"
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"-5":                            0,
		"soon":                          0,
		"90":                            90 * time.Second,
		"999999999":                     retryafter.Most,
		"99999999999999999999":          0,
		"Tue, 02 Dec 2025 10:02:00 GMT": 2 * time.Minute,
		"Tue, 02 Dec 2025 09:00:00 GMT": 0,
		"Wed, 03 Dec 2025 10:00:00 GMT": retryafter.Most,
	} {
		h := http.Header{"Retry-After": {value}, "Date": {date}}
		if got := retryafter.Of(h); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestErrorsSayWhatWasDoneToWhatAndWhoAnswered(t *testing.T) {
	for want, e := range map[string]*Error{
		"upload media 692f: storage answered 403 SignatureDoesNotMatch: no match": {
			Op: OpUpload, Media: "692f", Status: 403, Code: "SignatureDoesNotMatch", Message: "no match"},
		"create media: platform answered 429 AA001: API limit reached": {
			Op: OpCreate, Status: 429, Code: "AA001", Message: "API limit reached"},
		"get media 692f: platform answered 502": {Op: OpGet, Media: "692f", Status: 502},
		"list media: cut at https://s3/x?[redacted]": {
			Op: OpList, Err: errorString("cut at https://s3/x?X-Amz-Signature=5ec2e7&b=c")},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

type errorString string

func (e errorString) Error() string { return string(e) }

func TestTextsFromOutsideAreMadeHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"line\r\nbreak\x1b[31m \u202e\x00":             "line  break[31m ",
		"see /bucket/key?X-Amz-Signature=5ec2e7 there": "see /bucket/key?[redacted] there",
		"X-Amz-Credential=5ec2e7 is wrong":             "X-Amz-[redacted] is wrong",
		"unknown key the-key":                          "unknown key [redacted]",
		"really? yes":                                  "really? yes",
		strings.Repeat("é", 400):                       strings.Repeat("é", maxMessage) + "…",
	} {
		if got := clean(text, "the-key", ""); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestEveryKindHasAName(t *testing.T) {
	for k := KindQuota; k <= KindFileChanged; k++ {
		if k.String() == "" || strings.HasPrefix(k.String(), "Kind(") {
			t.Errorf("kind %d has none", int(k))
		}
	}
	if got := Kind(0).String(); got != "Kind(0)" {
		t.Errorf("got %q", got)
	}
}
