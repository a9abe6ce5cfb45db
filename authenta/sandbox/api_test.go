package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestCreateAnswersAsDocumented(t *testing.T) {
	r := newRig(t, unlimited())
	got := r.call("POST", "/api/media", `{"name":"clip.mp4","contentType":"video/mp4","size":7,"modelType":"DF-1"}`)
	var fields map[string]any
	if err := json.Unmarshal(got.body, &fields); err != nil {
		t.Fatal(err)
	}
	mid, _ := fields["mid"].(string)
	if !regexp.MustCompile(`^[0-9a-f]{24}$`).MatchString(mid) {
		t.Errorf("mid %q is not 24 hex digits", mid)
	}
	if url, _ := fields["uploadUrl"].(string); !strings.HasPrefix(url, r.url+"/storage/"+mid+"/clip.mp4?X-Amz-Date=20260102T030405Z&X-Amz-Expires=3600&X-Amz-Signature=") {
		t.Errorf("uploadUrl %s", url)
	}
	delete(fields, "mid")
	delete(fields, "uploadUrl")
	want := map[string]any{"name": "clip.mp4", "type": "Video", "status": "INITED", "modelType": "DF-1", "createdAt": "2026-01-02T03:04:05.678Z"}
	if fmt.Sprint(fields) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", fields, want)
	}
}

func TestCreateSaysExpiresInAndBaseURLWhenAskedTo(t *testing.T) {
	o := unlimited()
	o.ExpiresIn, o.URLTTL, o.BaseURL = true, 90*time.Second, "https://elsewhere.test"
	rec := newRig(t, o).create([]byte("x"))
	if rec.ExpiresIn != 90 || !strings.HasPrefix(rec.UploadURL, "https://elsewhere.test/storage/") {
		t.Errorf("expiresIn %d, uploadUrl %s", rec.ExpiresIn, rec.UploadURL)
	}
}

func TestCreateRefusesWhatTheModelDoesNotTake(t *testing.T) {
	r := newRig(t, unlimited())
	for body, want := range map[string]int{
		createBody("AC-1", "image/jpeg", 1):                                    200,
		createBody("FD-1", "image/png", 1):                                     200,
		createBody("FE-1", "image/png", 1):                                     200,
		createBody("FI-1", "image/png", 1):                                     200,
		createBody("FI-1", "video/webm", 1):                                    200,
		createBody("DF-1", "video/mp4", 1):                                     200,
		createBody("DF-1", "image/png", 1):                                     400,
		createBody("AC-1", "video/mp4", 1):                                     400,
		createBody("AC-1", "image/", 1):                                        400,
		createBody("AC-1", "", 1):                                              400,
		createBody("XX-1", "image/png", 1):                                     400,
		createBody("", "image/png", 1):                                         400,
		createBody("AC-1", "image/png", 0):                                     400,
		createBody("AC-1", "image/png", -1):                                    400,
		`{"contentType":"image/png","size":1,"modelType":"AC-1"}`:              400,
		`{"name":"a","contentType":"image/png","size":"1","modelType":"AC-1"}`: 400,
		`{"name":"a","contentType":"image/png","size":1,"modelType":"FI-1","metadata":{"isSingleFace":true,"livenessCheck":null}}`: 200,
		`{"name":"a","contentType":"image/png","size":1,"modelType":"FI-1","metadata":{"isSingleFace":"yes"}}`:                     400,
		``:    400,
		`[]`:  400,
		`{}x`: 400,
		strings.Repeat(" ", 64<<10) + createBody("AC-1", "image/png", 1): 413,
	} {
		got := r.call("POST", "/api/media", body)
		if got.StatusCode != want {
			t.Errorf("%.120s: %s, want %d", body, got.Status, want)
		}
		if want == 400 && !strings.Contains(string(got.body), `"code":"bad_request","type":"CLIENT_ERROR"`) {
			t.Errorf("%s: %s", body, got.body)
		}
	}
}

func TestChecksComeInThePlatformsOrder(t *testing.T) {
	r := newRig(t, sandbox.Options{}) // no quota, no credits
	const body = "not even JSON"
	right := pair("sandbox-id", "sandbox-secret")
	for _, step := range []struct {
		change func()
		keys   http.Header
		want   string
	}{
		{func() { r.Permit(0) }, nil, `{"code":"IAM001","type":"UNAUTHENTICATED","message":"You are not authenticated"}`},
		{nil, pair("wrong", "sandbox-secret"), `{"code":"IAM001","type":"UNAUTHENTICATED","message":"You are not authenticated"}`},
		{nil, pair("sandbox-id", "wrong"), `{"code":"IAM001","type":"UNAUTHENTICATED","message":"You are not authenticated"}`},
		{nil, right, `{"code":"IAM002","type":"UNAUTHORIZED","message":"You are not authorized"}`},
		{func() { r.Permit(sandbox.PermWrite) }, right, `{"code":"AA001","type":"CLIENT_ERROR","message":"API limit reached"}`},
		{func() { r.Grant(sandbox.Grant{MutationQuota: 2}) }, right, `{"code":"U007","type":"CLIENT_ERROR","message":"Insufficient credits"}`},
		{func() { r.Grant(sandbox.Grant{Credits: 1}) }, right, `{"code":"bad_request","type":"CLIENT_ERROR","message":"invalid character 'o' in literal null (expecting 'u')"}`},
		{nil, right, `{"code":"AA001","type":"CLIENT_ERROR","message":"API limit reached"}`},
	} {
		if step.change != nil {
			step.change()
		}
		got := r.do("POST", r.url+"/api/media", step.keys, strings.NewReader(body))
		if string(got.body) != step.want {
			t.Errorf("got %s %s, want %s", got.Status, got.body, step.want)
		}
	}
}

func TestBearerKeysGetTheOtherErrorBodyAndHaveNoQuota(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	for _, step := range []struct {
		change func()
		key    string
		status int
		want   string
	}{
		{nil, "wrong", 401, `{"code":"INVALID_API_KEY","statusCode":401,"message":"You are not authenticated"}`},
		{func() { r.Permit(sandbox.PermRead) }, "api_sandbox", 403, `{"code":"FORBIDDEN","statusCode":403,"message":"You are not authorized"}`},
		{func() { r.Permit(sandbox.PermWrite) }, "api_sandbox", 402, `{"code":"INSUFFICIENT_BALANCE","statusCode":402,"message":"Insufficient credits"}`},
		{func() { r.Grant(sandbox.Grant{Credits: 1}) }, "api_sandbox", 400, `{"code":"bad_request","statusCode":400,"message":"unexpected end of JSON input"}`},
	} {
		if step.change != nil {
			step.change()
		}
		got := r.do("POST", r.url+"/api/media", bearer(step.key), nil)
		if got.StatusCode != step.status || string(got.body) != step.want {
			t.Errorf("got %s %s, want %s", got.Status, got.body, step.want)
		}
	}
	if l := r.Ledger(); l.Mutation != 0 {
		t.Errorf("%d Mutations consumed", l.Mutation)
	}
}

func TestQuotasAreCountedPerKind(t *testing.T) {
	r := newRig(t, sandbox.Options{Credits: 1, MutationQuota: 2, QueryQuota: 3})
	calls := func(method, path string, want ...int) {
		t.Helper()
		for _, status := range want {
			if got := r.call(method, path, ""); got.StatusCode != status {
				t.Errorf("%s %s: %s, want %d", method, path, got.Status, status)
			}
		}
	}
	r.Permit(sandbox.PermRead)
	calls("DELETE", "/api/media/nothing", 403)
	r.Permit(sandbox.PermRead | sandbox.PermWrite | sandbox.PermDelete)
	calls("GET", "/api/media", 200)
	calls("GET", "/api/media/nothing", 404, 404, 429)
	calls("GET", "/api/media", 429)
	calls("DELETE", "/api/media/nothing", 404)
	calls("POST", "/api/media", 400, 429)
	r.SetKeys("", "", "")
	calls("GET", "/api/media", 401)

	l := r.Ledger()
	if l.Query != 3 || l.Mutation != 2 {
		t.Errorf("consumed %d Queries and %d Mutations, want 3 and 2", l.Query, l.Mutation)
	}
	want := map[sandbox.Op]map[int]int{
		sandbox.OpList:   {200: 1, 429: 1, 401: 1},
		sandbox.OpGet:    {404: 2, 429: 1},
		sandbox.OpDelete: {403: 1, 404: 1},
		sandbox.OpCreate: {400: 1, 429: 1},
	}
	if fmt.Sprint(l.Calls) != fmt.Sprint(want) {
		t.Errorf("calls %v, want %v", l.Calls, want)
	}
}

func TestGrantAddsLiftsAndTakesAway(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	for _, step := range []struct {
		grant int
		want  []int
	}{
		{2, []int{200, 200, 429}},
		{sandbox.Unlimited, []int{200, 200, 200, 200}},
		{5, []int{200, 200, 200, 200, 200, 200}}, // no limit is no smaller for a grant
		{sandbox.None, []int{429}},
	} {
		r.Grant(sandbox.Grant{QueryQuota: step.grant})
		for i, want := range step.want {
			if got := r.call("GET", "/api/media", ""); got.StatusCode != want {
				t.Errorf("grant %d, call %d: %s, want %d", step.grant, i, got.Status, want)
			}
		}
	}
}

func TestKeysAreReplaced(t *testing.T) {
	r := newRig(t, unlimited())
	r.SetKeys("new-id", "new-secret", "api_new")
	for want, keys := range map[int][]http.Header{
		200: {pair("new-id", "new-secret"), bearer("api_new")},
		401: {pair("sandbox-id", "sandbox-secret"), bearer("api_sandbox"), pair("", ""), bearer("")},
	} {
		for _, k := range keys {
			if got := r.do("GET", r.url+"/api/media", k, nil); got.StatusCode != want {
				t.Errorf("%v: %s, want %d", k, got.Status, want)
			}
		}
	}
}

func TestListShowsTheNewestFirstInPages(t *testing.T) {
	r := newRig(t, unlimited())
	var mids []string // newest first
	for range 25 {
		mids = slices.Insert(mids, 0, r.create([]byte("x")).MID)
	}
	r.call("DELETE", "/api/media/"+mids[2], "")
	mids = slices.Delete(mids, 2, 3)
	for query, want := range map[string]struct{ limit, offset, end int }{
		"":                                    {20, 0, 20},
		"?limit=5":                            {5, 0, 5},
		"?limit=5&offset=22":                  {5, 22, 24},
		"?offset=24":                          {20, 24, 24},
		"?offset=1000":                        {20, 1000, 24},
		"?page=1&pageSize=10":                 {10, 0, 10},
		"?page=3&pageSize=10":                 {10, 20, 24},
		"?limit=4&offset=4&page=9&pageSize=9": {4, 4, 8},
		"?limit=1000":                         {100, 0, 24},
		"?limit=-1&offset=x&page=0":           {20, 0, 20},
	} {
		got := as[struct {
			Limit, Offset, Total int
			Data                 []record
		}](t, r.call("GET", "/api/media"+query, ""))
		var page []string
		for _, rec := range got.Data {
			page = append(page, rec.MID)
		}
		if got.Limit != want.limit || got.Offset != want.offset || got.Total != 24 ||
			!slices.Equal(page, mids[min(want.offset, 24):want.end]) {
			t.Errorf("%s: limit %d, offset %d, total %d, %v", query, got.Limit, got.Offset, got.Total, page)
		}
	}
}

func TestAnEmptyListIsAnArray(t *testing.T) {
	r := newRig(t, unlimited())
	if got, want := string(r.call("GET", "/api/media", "").body), `{"limit":20,"offset":0,"total":0,"data":[]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDeleteRemovesTheRecord(t *testing.T) {
	r := newRig(t, unlimited())
	rec := r.create([]byte("x"))
	for _, want := range []int{204, 404} {
		if got := r.call("DELETE", "/api/media/"+rec.MID, ""); got.StatusCode != want {
			t.Errorf("%s, want %d", got.Status, want)
		}
	}
	if got := r.call("GET", "/api/media/"+rec.MID, ""); got.StatusCode != 404 {
		t.Errorf("GET: %s", got.Status)
	}
}

func TestOtherRoutesAreNotFound(t *testing.T) {
	r := newRig(t, unlimited())
	for _, route := range []string{"GET /", "GET /api/v1/jobs", "PUT /api/media", "PATCH /api/media/x", "POST /storage/x"} {
		method, path, _ := strings.Cut(route, " ")
		if got := r.call(method, path, ""); got.StatusCode != 404 || !strings.Contains(string(got.body), `"code":"not_found"`) {
			t.Errorf("%s: %s %s", route, got.Status, got.body)
		}
	}
}

func TestNewRefusesOptionsThatMakeNoSense(t *testing.T) {
	for _, o := range []sandbox.Options{{ClientID: "alone"}, {ClientSecret: "alone"}, {Credits: -3}, {QueryQuota: sandbox.None}} {
		if _, err := sandbox.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
