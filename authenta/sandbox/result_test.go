package sandbox_test

import (
	"bytes"
	"encoding/json"
	"image/png"
	"regexp"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

func TestOutcomeOfReadsTheDigest(t *testing.T) {
	for _, c := range []struct {
		digest []byte
		want   sandbox.Outcome
	}{
		{[]byte{0}, sandbox.Outcome{Verdict: sandbox.NoFaces}},
		{[]byte{15, 0xff, 0xff, 1}, sandbox.Outcome{Verdict: sandbox.NoFaces}},
		{[]byte{16, 0, 0, 0}, sandbox.Outcome{Verdict: sandbox.Real, Confidence: 0.5, Faces: 1}},
		{[]byte{17, 0xff, 0xff, 1}, sandbox.Outcome{Verdict: sandbox.Fake, Confidence: 1, Faces: 2}},
		{[]byte{255, 0x80, 0, 2}, sandbox.Outcome{Verdict: sandbox.Fake, Confidence: 0.75, Faces: 3}},
	} {
		var sum [32]byte
		copy(sum[:], c.digest)
		if got := sandbox.OutcomeOf(sum); got != c.want {
			t.Errorf("%x: got %+v, want %+v", c.digest, got, c.want)
		}
	}
}

// TestRecordsAndResultsHaveTheDocumentedShape compares what is particular to an outcome, with URLs written as "…".
func TestRecordsAndResultsHaveTheDocumentedShape(t *testing.T) {
	for _, c := range []struct {
		name, model, contentType string
		outcome                  sandbox.Outcome
		listed, alone, result    string
	}{
		{
			"fake image", "AC-1", "image/png", sandbox.Outcome{Verdict: sandbox.Fake, Confidence: 0.75},
			`"fake":true,"confidence":0.75`,
			`"fake":true,"confidence":0.75,"srcURL":"…","resultURL":"…","heatmapURL":"…"`,
			`{"resultType":"image","isDeepFake":true,"RealConfidencePercent":25}`,
		}, {
			"real image", "AC-1", "image/png", sandbox.Outcome{Verdict: sandbox.Real, Confidence: 0.75},
			`"fake":false,"confidence":0.75`,
			`"fake":false,"confidence":0.75,"srcURL":"…","resultURL":"…","heatmapURL":"…"`,
			`{"resultType":"image","isDeepFake":false,"RealConfidencePercent":75}`,
		}, {
			"image without faces", "FI-1", "image/png", sandbox.Outcome{Verdict: sandbox.NoFaces},
			``,
			`"srcURL":"…","resultURL":"…"`,
			`{"resultType":"image"}`,
		}, {
			"fake video", "DF-1", "video/mp4", sandbox.Outcome{Verdict: sandbox.Fake, Confidence: 0.75, Faces: 2},
			`"faces":2,"deepFakes":1`,
			`"faces":2,"deepFakes":1,"participants":[{"id":0,"fake":true,"confidence":0.75,"heatmap":"…"},{"id":1,"fake":false,"confidence":0.75}],"srcURL":"…","resultURL":"…"`,
			`{"resultType":"video","identityPredictions":[{"identityId":0,"isDeepFake":true},{"identityId":1,"isDeepFake":false}],` +
				`"boundingBoxes":{"0":{"boundingBox":{"frame_0":[0,0,80,80]},"class":"fake","confidence":0.75},"1":{"boundingBox":{"frame_0":[100,0,180,80]},"class":"real","confidence":0.75}}}`,
		}, {
			"real video", "DF-1", "video/mp4", sandbox.Outcome{Verdict: sandbox.Real, Confidence: 0.75},
			`"faces":1,"deepFakes":0`,
			`"faces":1,"deepFakes":0,"participants":[{"id":0,"fake":false,"confidence":0.75}],"srcURL":"…","resultURL":"…"`,
			`{"resultType":"video","identityPredictions":[{"identityId":0,"isDeepFake":false}],"boundingBoxes":{"0":{"boundingBox":{"frame_0":[0,0,80,80]},"class":"real","confidence":0.75}}}`,
		}, {
			"video without faces", "DF-1", "video/mp4", sandbox.Outcome{Verdict: sandbox.NoFaces},
			`"faces":0,"deepFakes":0`,
			`"faces":0,"deepFakes":0,"participants":[],"srcURL":"…","resultURL":"…"`,
			`{"resultType":"video","identityPredictions":[],"boundingBoxes":{}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := unlimited()
			o.Outcome = always(c.outcome)
			r := newRig(t, o)
			rec := as[record](t, r.call("POST", "/api/media", createBody(c.model, c.contentType, 1)))
			r.do("PUT", rec.UploadURL, map[string][]string{"Content-Type": {c.contentType}}, strings.NewReader("x"))

			head := `{"mid":"` + rec.MID + `","name":"a file","type":"` + rec.Type + `","status":"PROCESSED","modelType":"` + c.model + `","createdAt":"` + rec.CreatedAt + `"`
			whole := func(rest string) string {
				if rest != "" {
					rest = "," + rest
				}
				return head + rest + "}"
			}
			alone := r.call("GET", "/api/media/"+rec.MID, "")
			if got, want := elideURLs(alone.body), whole(c.alone); got != want {
				t.Errorf("alone: got  %s\nwant %s", got, want)
			}
			var list struct{ Data []json.RawMessage }
			if err := json.Unmarshal(r.call("GET", "/api/media", "").body, &list); err != nil || len(list.Data) != 1 {
				t.Fatalf("%v, %d records", err, len(list.Data))
			}
			if got, want := string(list.Data[0]), whole(c.listed); got != want {
				t.Errorf("listed: got  %s\nwant %s", got, want)
			}
			shown := as[record](t, alone)
			if got := string(r.do("GET", shown.ResultURL, nil, nil).body); got != c.result {
				t.Errorf("result: got  %s\nwant %s", got, c.result)
			}
			for _, u := range shown.heatmaps() {
				if _, err := png.Decode(bytes.NewReader(r.do("GET", u, nil, nil).body)); err != nil {
					t.Errorf("heatmap: %v", err)
				}
			}
		})
	}
}

func (r record) heatmaps() []string {
	var urls []string
	if r.HeatmapURL != "" {
		urls = append(urls, r.HeatmapURL)
	}
	for _, p := range r.Participants {
		if p.Heatmap != "" {
			urls = append(urls, p.Heatmap)
		}
	}
	return urls
}

var anyURL = regexp.MustCompile(`"http://[^"]*"`)

func elideURLs(body []byte) string { return anyURL.ReplaceAllString(string(body), `"…"`) }
