package authenta

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"
)

// operations are all calls of a client.
var operations = map[Op]func(t *testing.T, c *Client, base string) error{
	OpCreate: func(t *testing.T, c *Client, _ string) error { _, err := c.Create(t.Context(), NewMedia{}); return err },
	OpGet:    func(t *testing.T, c *Client, _ string) error { _, err := c.Get(t.Context(), testID); return err },
	OpList: func(t *testing.T, c *Client, _ string) error {
		_, err := c.List(t.Context(), ListOptions{})
		return err
	},
	OpDelete: func(t *testing.T, c *Client, _ string) error { return c.Delete(t.Context(), testID) },
	OpUpload: func(t *testing.T, c *Client, base string) error {
		return c.Upload(t.Context(), uploadTo(base, 100), sparseFile(t, 100))
	},
}

// endless writes head, and then part again and again until nobody reads it any more.
func endless(head, part string) http.HandlerFunc {
	part = strings.Repeat(part, max(1, 4096/len(part)))
	return raw(func(conn net.Conn) {
		_, err := io.WriteString(conn, head)
		for err == nil {
			_, err = io.WriteString(conn, part)
		}
	})
}

// trickle writes head, and then a byte now and then until nobody reads it any more.
func trickle(head string) http.HandlerFunc {
	return raw(func(conn net.Conn) {
		_, err := io.WriteString(conn, head)
		for tick := time.NewTicker(20 * time.Millisecond); err == nil; <-tick.C {
			_, err = io.WriteString(conn, "x")
		}
	})
}

// raw takes the request, and answers whatever it likes.
func raw(do func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		do(conn)
	}
}

func rawAnswer(s string) http.HandlerFunc {
	return raw(func(conn net.Conn) { io.WriteString(conn, s) })
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

const ok = "HTTP/1.1 200 OK\r\n"

// hostile are answers that tell nothing. Storage's success is one whatever comes after its status, so that an upload may
// well succeed with them.
var hostile = map[string]struct {
	h       http.HandlerFunc
	success bool // of an upload
}{
	"an endless body":             {endless(ok+"\r\n", " "), true},
	"endless chunks":              {endless(ok+"Transfer-Encoding: chunked\r\n\r\n", "4\r\n    \r\n"), true},
	"an endless array":            {endless(ok+"\r\n{\"data\":[1", ",1"), true},
	"an endless error":            {endless("HTTP/1.1 500 No\r\n\r\n", " "), false},
	"an endless compressed body":  {endless(ok+"Content-Encoding: gzip\r\n\r\n", gzipped(strings.Repeat(" ", 1<<20))), true},
	"an endless compressed error": {endless("HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\n\r\n", gzipped(strings.Repeat(" ", 1<<20))), false},
	"an endless status":           {endless("HTTP/1.1 200 O", "K"), false},
	"an endless header":           {endless(ok+"A: ", "a"), false},
	"endless headers":             {endless(ok, "A: a\r\n"), false},
	"endless early hints":         {endless("", "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"), false},
	"endless continues":           {endless("", "HTTP/1.1 100 Continue\r\n\r\n"), false},
	"endless trailers":            {endless(ok+"Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\n", "A: a\r\n"), true},
	"headers byte by byte":        {trickle(ok + "A: "), false},
	"a body byte by byte":         {trickle(ok + "\r\n"), true},
	"an error byte by byte":       {trickle("HTTP/1.1 503 No\r\n\r\n<Error><Code>"), false},
	"less than its length":        {rawAnswer(ok + "Content-Length: 100\r\n\r\n{\"mid\":"), true},
	"more than its length":        {rawAnswer(ok + "Content-Length: 5\r\n\r\n{\"mid\":\"a\",\"status\":\"INITED\",\"data\":[]}"), true},
	"a huge length":               {rawAnswer(ok + "Content-Length: 9223372036854775807\r\n\r\n{"), true},
	"a length that is none":       {rawAnswer(ok + "Content-Length: -1\r\n\r\n{}"), false},
	"two lengths":                 {rawAnswer(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), false},
	"another protocol":            {rawAnswer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), false},
	"no HTTP":                     {rawAnswer("\x1b[2J\x07 INFO {\"server_id\":\"NATS\"}\r\n"), false},
	"nothing":                     {rawAnswer(""), false},
	"no JSON":                     {rawAnswer(ok + "\r\n\x00\xff\x1b[31m"), true},
	"deep nesting":                {answer(200, strings.Repeat(`{"mid":[`, 100_000)), true},
	"deep XML":                    {answer(500, strings.Repeat(`<Error>`, 9000)), false},
	"a redirect":                  {rawAnswer("HTTP/1.1 307 No\r\nLocation: \x1b]0;x\x07\r\n\r\n"), false},
}

func TestHostileAnswersTellNothingAndEnd(t *testing.T) {
	t.Parallel()
	for name, answer := range hostile {
		for op, call := range operations {
			t.Run(name+" to "+string(op), func(t *testing.T) {
				t.Parallel()
				base := serve(t, answer.h)
				var o Options
				if strings.Contains(name, "byte by byte") { // only time ends these
					o = Options{Timeout: time.Second, AnswerTimeout: 2 * time.Second}
				}
				c := newTestClient(t, base, o)
				err := call(t, c, base)
				if op == OpUpload && answer.success {
					if err != nil {
						t.Errorf("storage said that it has the file: %v", err)
					}
					return
				}
				e := asError(t, err)
				if e.Kind != KindUnavailable {
					t.Errorf("got %v: %v", e.Kind, e)
				}
				if want := op != OpGet && op != OpList; e.MaybeDone != want {
					t.Errorf("MaybeDone %t: %v", e.MaybeDone, e)
				}
				wantHarmless(t, e)
			})
		}
	}
}

// wantHarmless checks that an error can be printed on a terminal, and is not long.
func wantHarmless(t *testing.T, e *Error) {
	t.Helper()
	for _, text := range []string{e.Error(), e.Code, e.Message} {
		if len([]rune(text)) > 3*(maxMessage+1) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", text)
		}
	}
}

func TestMemoryStaysFlatWhateverIsAnswered(t *testing.T) {
	const most = 64 << 20 // ten answers of the longest that are read
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for name, answer := range hostile {
		if !strings.Contains(name, "endless") {
			continue
		}
		base := serve(t, answer.h)
		c := newTestClient(t, base, Options{})
		for op, call := range operations {
			if err := call(t, c, base); err != nil {
				asError(t, err)
			}
			runtime.ReadMemStats(&now)
			if now.HeapInuse > before.HeapInuse+most {
				t.Fatalf("%s to %s: the heap grew from %d to %d MiB", name, op, before.HeapInuse>>20, now.HeapInuse>>20)
			}
		}
	}
}

// What fits into an answer may still be much more once it is decoded.
func TestMemoryStaysFlatWhateverIsDecoded(t *testing.T) {
	const most = 96 << 20
	fill := func(head, part, tail string) []byte {
		return []byte(head + strings.Repeat(part+",", (maxBody-len(head)-len(tail))/(len(part)+1)-1) + part + tail)
	}
	var before, after runtime.MemStats
	for name, body := range map[string][]byte{
		"a million records":      fill(`{"data":[`, `{}`, `]}`),
		"a million participants": fill(`{"mid":"a","participants":[`, `{}`, `]}`),
		"a million fields":       fill(`{"data":[`, `{"mid":"a","participants":[{},{},{}]}`, `]}`),
	} {
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, _ := decodeMedia(body, "", received)
		p, _ := decodePage(body, received)
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(body)
		if got := after.HeapInuse - before.HeapInuse; after.HeapInuse > before.HeapInuse && got > most {
			t.Errorf("%s: the heap grew by %d MiB", name, got>>20)
		}
		if len(m.Participants) > MaxParticipants || len(p.Media) > maxRecords {
			t.Errorf("%s: %d participants, %d records", name, len(m.Participants), len(p.Media))
		}
	}
}

func TestNeitherKeysNorBytesFollowARedirect(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s: the redirect was followed", r.Method) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		base := serve(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", elsewhere+"/x?y="+signature)
			w.WriteHeader(status)
		})
		for op, call := range operations {
			e := asError(t, call(t, newTestClient(t, base, Options{}), base))
			if e.Kind != KindUnavailable || e.Status != status {
				t.Errorf("%s, %d: %v: %v", op, status, e.Kind, e)
			}
		}
	}
}

func TestMessagesCannotReachATerminalRaw(t *testing.T) {
	t.Parallel()
	const evil = "\\u001b[2J\\u0007\\u202e\\ud800 \xff\xfe \\u0000\\u009b31m the-client-\\u200bsecret"
	for op, call := range operations {
		body := `{"code":"` + evil + `","message":"` + evil + strings.Repeat("x", 10_000) + `"}`
		if op == OpUpload {
			body = "<Error><Code>&#x9b;31m&#x202e;Denied</Code><Message>&#x9b;31m " + strings.Repeat("x", 10_000) + "</Message></Error>"
		}
		base := serve(t, answer(418, body))
		e := asError(t, call(t, newTestClient(t, base, Options{}), base))
		if wantHarmless(t, e); e.Code == "" || len(e.Message) < 100 {
			t.Errorf("%s: what was said is lost: %v", op, e)
		}
	}
}

func TestIDsAndURLsThatMakeNoSenseAreNotTaken(t *testing.T) {
	t.Parallel()
	const url = `"uploadUrl":"http://127.0.0.1/x?y=5ec2e7"`
	for name, body := range map[string]string{
		"an id with slashes":    `{"mid":"../../etc",` + url + `}`,
		"an id of 10 kB":        `{"mid":"` + strings.Repeat("a", 10_000) + `",` + url + `}`,
		"an id in ANSI":         `{"mid":"\u001b[2J",` + url + `}`,
		"another scheme":        `{"mid":"a","uploadUrl":"ftp://127.0.0.1/x?y=5ec2e7"}`,
		"a script":              `{"mid":"a","uploadUrl":"javascript:alert(5ec2e7)"}`,
		"no host":               `{"mid":"a","uploadUrl":"http:///x?y=5ec2e7"}`,
		"a user":                `{"mid":"a","uploadUrl":"http://u:5ec2e7@127.0.0.1/x"}`,
		"a URL of 10 kB":        `{"mid":"a","uploadUrl":"http://127.0.0.1/x?y=5ec2e7` + strings.Repeat("a", 10_000) + `"}`,
		"a URL in ANSI":         `{"mid":"a","uploadUrl":"http://127.0.0.1/\u009b2J?y=5ec2e7"}`,
		"a URL with line ends":  `{"mid":"a","uploadUrl":"http://127.0.0.1/\r\nX-A: b?y=5ec2e7"}`,
		"a port that is none":   `{"mid":"a","uploadUrl":"http://127.0.0.1:99999/x?y=5ec2e7"}`,
		"a URL that is a group": `{"mid":"a","uploadUrl":["http://127.0.0.1/x?y=5ec2e7"]}`,
	} {
		m, err := newTestClient(t, serve(t, answer(200, body)), Options{}).Create(t.Context(), NewMedia{})
		e := asError(t, err)
		if e.Kind != KindUnavailable || !e.MaybeDone || m.ID != "" || !strings.Contains(e.Error(), "unusable answer: ") {
			t.Errorf("%s: got %v: %v", name, e.Kind, e)
		}
		wantHarmless(t, e)
	}
}

func TestWhatIsTakenOverFromARecordIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 512<<10)
	get := func(body string) Media {
		t.Helper()
		m, err := newTestClient(t, serve(t, answer(200, body)), Options{}).Get(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		return m
	}
	m := get(fmt.Sprintf(`{"mid":"a","status":"PROCESSED","name":%[1]q,"type":%[1]q,"modelType":%[1]q,"uploadUrl":"https://a/%[1]s",
		"resultURL":"https://a/%[1]s","heatmapURL":"javascript:x","srcURL":"https://a/\u001b","confidence":1e308,"faces":1e999,
		"expiresIn":2147483647,"participants":[{"id":1e999,"confidence":-1,"heatmap":"https://a/%[1]s"}]}`, long))
	if m.Name != "" || m.Type != "" || m.Model != "" || m.UploadURL != "" || m.ResultURL != "" || m.HeatmapURL != "" || m.SourceURL != "" ||
		m.Confidence != nil || m.Faces != nil || time.Until(m.UploadExpires) > maxURLLife {
		t.Errorf("%.1000v", m)
	}
	if p := m.Participants[0]; p.ID != 0 || p.Confidence != nil || p.Heatmap != "" {
		t.Errorf("%.1000v", p)
	}
	if m := get(`{"mid":"a","status":"` + long + `"}`); m.Status != "" {
		t.Errorf("a status of %d bytes", len(m.Status))
	}
	if m := get(`{"mid":"a","status":"\u001b[2JFAILED"}`); m.Status.Final() {
		t.Errorf("%q is final", m.Status)
	}
	if m := get(`{"mid":"a","status":"X","uploadUrl":"https://s3/x?X-Amz-Date=99991231T235959Z&X-Amz-Expires=2147483647"}`); time.Until(m.UploadExpires) > maxURLLife {
		t.Errorf("a URL is good until %v", m.UploadExpires)
	}
}

func TestNoSignOfAFakeIsLostAmongManyParticipants(t *testing.T) {
	t.Parallel()
	const fake, real, unsaid = `{"fake":true}`, `{"fake":false}`, `{}`
	for name, tt := range map[string]struct {
		beyond string // after MaxParticipants real ones
		want   *bool  // of the last one that is kept
	}{
		"a fake":              {fake, new(true)},
		"a fake among others": {strings.Join([]string{real, unsaid, fake, unsaid, real}, ","), new(true)},
		"one of no kind":      {real + "," + unsaid, nil},
		"all real":            {real, new(false)},
	} {
		body := `{"mid":"a","participants":[` + strings.Repeat(real+",", MaxParticipants) + tt.beyond + `]}`
		m, err := decodeMedia([]byte(body), "", received)
		if err != nil || len(m.Participants) != MaxParticipants {
			t.Fatalf("%s: %d, %v", name, len(m.Participants), err)
		}
		if got := m.Participants[MaxParticipants-1].Fake; asJSON(got) != asJSON(tt.want) {
			t.Errorf("%s: the last is %s, want %s", name, asJSON(got), asJSON(tt.want))
		}
	}
}

func TestHostileAnswersOverHTTP2TellNothingAndEnd(t *testing.T) {
	t.Parallel()
	part := []byte(strings.Repeat(" ", 64<<10))
	for name, h := range map[string]http.HandlerFunc{
		"an endless body": func(w http.ResponseWriter, r *http.Request) {
			for err := error(nil); err == nil; {
				_, err = w.Write(part)
			}
		},
		"a huge header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("A", strings.Repeat("a", 1<<20))
			io.WriteString(w, `{"mid":"`+string(testID)+`","status":"INITED","data":[]}`)
		},
		"many early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", strings.Repeat("a", 1<<10))
			for range 1000 {
				w.WriteHeader(http.StatusEarlyHints)
			}
			io.WriteString(w, `{"mid":"`+string(testID)+`","status":"INITED","data":[]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(h)
			s.EnableHTTP2 = true
			s.StartTLS()
			t.Cleanup(s.Close)
			transport := NewTransport()
			t.Cleanup(transport.CloseIdleConnections)
			transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
			c := newTestClient(t, s.URL, Options{Transport: transport})
			for _, op := range []Op{OpGet, OpList} {
				if e := asError(t, operations[op](t, c, s.URL)); e.Kind != KindUnavailable {
					t.Errorf("%s: %v: %v", op, e.Kind, e)
				}
			}
		})
	}
}
