package worker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

func face(fake *bool, confidence ...float64) authenta.Participant {
	p := authenta.Participant{Fake: fake}
	if len(confidence) > 0 {
		p.Confidence = &confidence[0]
	}
	return p
}

func faces(p ...authenta.Participant) []authenta.Participant { return p }

func TestAnOutcomeIsRealOnlyIfTheRecordSaysSo(t *testing.T) {
	t.Parallel()
	yes, no := new(true), new(false)
	for _, c := range []struct {
		name string
		m    authenta.Media
		want queue.Outcome
	}{
		{"nothing said", authenta.Media{}, queue.Inconclusive},
		{"image fake", authenta.Media{Fake: yes}, queue.Fake},
		{"image real", authenta.Media{Fake: no}, queue.Real},
		{"a confidence alone says nothing", authenta.Media{Confidence: new(0.99)}, queue.Inconclusive},
		{"video with a deepfake", authenta.Media{Faces: new(2), Deepfakes: new(1)}, queue.Fake},
		{"video with faces and none fake", authenta.Media{Faces: new(2), Deepfakes: new(0)}, queue.Real},
		{"video without faces", authenta.Media{Faces: new(0), Deepfakes: new(0)}, queue.Inconclusive},
		{"faces, and not a word on fakes", authenta.Media{Faces: new(2)}, queue.Inconclusive},
		{"no fakes, and not a word on faces", authenta.Media{Deepfakes: new(0)}, queue.Inconclusive},
		{"a deepfake without a face count", authenta.Media{Deepfakes: new(1)}, queue.Fake},
		{"a deepfake among no faces", authenta.Media{Faces: new(0), Deepfakes: new(1)}, queue.Fake},
		{"real, but no face to look at", authenta.Media{Fake: no, Faces: new(0)}, queue.Inconclusive},
		{"fake, and no face", authenta.Media{Fake: yes, Faces: new(0)}, queue.Fake},
		{"said real, counted fake", authenta.Media{Fake: no, Deepfakes: new(1), Faces: new(1)}, queue.Fake},
		{"said fake, counted none", authenta.Media{Fake: yes, Deepfakes: new(0), Faces: new(1)}, queue.Fake},
		{"all participants real", authenta.Media{Participants: faces(face(no), face(no))}, queue.Real},
		{"one participant fake", authenta.Media{Participants: faces(face(no), face(yes))}, queue.Fake},
		{"one participant not said", authenta.Media{Participants: faces(face(no), face(nil))}, queue.Inconclusive},
		{"no participant said", authenta.Media{Participants: faces(face(nil))}, queue.Inconclusive},
		{"an empty list of participants", authenta.Media{Participants: faces()}, queue.Inconclusive},
		{"participants real, no faces", authenta.Media{Faces: new(0), Participants: faces(face(no))}, queue.Inconclusive},
		{"participant fake, counted none", authenta.Media{Faces: new(1), Deepfakes: new(0), Participants: faces(face(yes))}, queue.Fake},
	} {
		if got := outcome(c.m); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTheConfidenceIsThatOfTheSurestFakeOrTheLeastSureRealFace(t *testing.T) {
	t.Parallel()
	yes, no := new(true), new(false)
	for _, c := range []struct {
		name  string
		of    queue.Outcome
		faces []authenta.Participant
		want  float64 // -1: none
	}{
		{"no faces", queue.Fake, nil, -1},
		{"surest fake", queue.Fake, faces(face(yes, 0.6), face(yes, 0.9), face(yes, 0.7)), 0.9},
		{"real faces beside a fake do not count", queue.Fake, faces(face(no, 0.99), face(yes, 0.6)), 0.6},
		{"least sure real", queue.Real, faces(face(no, 0.9), face(no, 0.6), face(no, 0.7)), 0.6},
		{"fake faces do not count for real", queue.Real, faces(face(yes, 0.1), face(no, 0.7)), 0.7},
		{"not said", queue.Real, faces(face(no), face(nil, 0.5)), -1},
		{"inconclusive", queue.Inconclusive, faces(face(no, 0.9), face(yes, 0.9)), -1},
		{"equal", queue.Real, faces(face(no, 0.5), face(no, 0.5)), 0.5},
	} {
		got := confidence(c.of, c.faces)
		if c.want < 0 && got != nil || c.want >= 0 && (got == nil || *got != c.want) {
			t.Errorf("%s: %v, want %v", c.name, show(got), c.want)
		}
	}
}

func TestAJudgementKeepsAllThatTheRecordSays(t *testing.T) {
	t.Parallel()
	no := new(false)
	m := authenta.Media{
		Faces: new(1), Deepfakes: new(0), ResultURL: "https://r/?secret", HeatmapURL: "https://h/?secret",
		Participants: []authenta.Participant{{ID: 3, Fake: no, Confidence: new(0.8), Heatmap: "https://p/?secret"}},
	}
	j := judge(m)
	if j.Outcome != queue.Real || show(j.Confidence) != 0.8 || *j.Faces != 1 || *j.Deepfakes != 0 ||
		j.ResultURL != "https://r/?secret" || j.HeatmapURL != "https://h/?secret" || len(j.Participants) != 1 {
		t.Fatalf("%+v", j)
	}
	if p := j.Participants[0]; p.ID != 3 || *p.Fake || *p.Confidence != 0.8 || p.Heatmap != "https://p/?secret" {
		t.Errorf("%+v", p)
	}
	m.Confidence = new(0.7)
	if j := judge(m); show(j.Confidence) != 0.7 {
		t.Errorf("the record's own confidence is %v", show(j.Confidence))
	}
}

func show(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

func TestAJudgementIsBoundedWhateverTheRecordSays(t *testing.T) {
	t.Parallel()
	long := authenta.PresignedURL("https://s3/" + strings.Repeat("&", 8<<10-11)) // the longest that a client lets through
	m := authenta.Media{Fake: new(true), Confidence: new(0.12345678901234567), ResultURL: long, HeatmapURL: long}
	for range authenta.MaxParticipants {
		m.Participants = append(m.Participants, authenta.Participant{
			ID: 1 << 53, Fake: new(false), Confidence: new(0.12345678901234567), Heatmap: long,
		})
	}
	j := judge(m)
	data, err := json.Marshal(j)
	if err != nil || len(data) > 350<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if len(j.Participants) != authenta.MaxParticipants || j.Participants[0].Heatmap == "" || j.ResultURL != string(long) {
		t.Error("more is left out than has to be")
	}
}

// The broker takes no message of more than 1 MB: a verdict that is larger would come round for ever.
func TestAFileWhoseRecordIsHugeIsJudged(t *testing.T) {
	t.Parallel()
	url := "https://s3.test/" + strings.Repeat("%26&", 1000)
	face := fmt.Sprintf(`{"id":1,"fake":false,"heatmap":%q},`, url)
	long := strings.Repeat("x", 300_000)
	body := `{"status":"PROCESSED","name":"` + long + `","type":"` + long + `","modelType":"` + long + `","resultURL":"https://s3.test/` + long +
		`","heatmapURL":"` + url + `","participants":[` + strings.Repeat(face, 500) + `{"fake":true}]}`
	r := newRig(t)
	r.Faults(always(sandbox.OpGet, sandbox.Answer(200, "application/json", body)))
	a := r.file("a.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantIdle()
	r.wantPaidOnce(a)
	if v := r.verdicts[0]; v.Outcome != queue.Fake || v.ResultURL != "" || v.HeatmapURL != url || len(v.Participants) != 501 {
		t.Errorf("%s, %d participants", v.Outcome, len(v.Participants))
	}
}
