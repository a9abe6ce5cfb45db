package worker

import (
	"encoding/json"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/queue"
)

// judge reads the platform's finished record. Any sign of a fake makes it one; it is real only if the record says so
// and, of a video, if there was a face to look at; everything else is inconclusive.
func judge(m authenta.Media) queue.Judgement {
	j := queue.Judgement{
		Outcome: outcome(m), Confidence: m.Confidence, Faces: m.Faces, Deepfakes: m.Deepfakes,
		ResultURL: string(m.ResultURL), HeatmapURL: string(m.HeatmapURL),
	}
	left := maxHeatmaps
	for _, p := range m.Participants {
		q := queue.Participant{ID: p.ID, Fake: p.Fake, Confidence: p.Confidence}
		if size := jsonSize(p.Heatmap); size <= left {
			left -= size
			q.Heatmap = string(p.Heatmap)
		}
		j.Participants = append(j.Participants, q)
	}
	if j.Confidence == nil {
		j.Confidence = confidence(j.Outcome, m.Participants)
	}
	return j
}

// maxHeatmaps is how many bytes the URLs of the participants' heatmaps take in a verdict at most; those beyond are left out.
// With it, authenta.MaxParticipants and the two reports' own URLs, a judgement stays under 350 KiB, so that together with the
// drops in the ledger's record of its job it fits a message of 1 MB.
const maxHeatmaps = 128 << 10

// jsonSize is how much a URL takes in JSON, which writes a & in six bytes.
func jsonSize(u authenta.PresignedURL) int {
	b, err := json.Marshal(string(u))
	if err != nil { // strings always have a JSON form
		return maxHeatmaps + 1
	}
	return len(b)
}

func outcome(m authenta.Media) queue.Outcome {
	fake := m.Fake != nil && *m.Fake || m.Deepfakes != nil && *m.Deepfakes > 0
	cleared := len(m.Participants) > 0
	for _, p := range m.Participants {
		fake = fake || p.Fake != nil && *p.Fake
		cleared = cleared && p.Fake != nil && !*p.Fake
	}
	noFace := m.Faces != nil && *m.Faces == 0
	saidReal := m.Fake != nil && !*m.Fake ||
		m.Deepfakes != nil && m.Faces != nil && *m.Faces > 0 || cleared
	switch {
	case fake:
		return queue.Fake
	case saidReal && !noFace:
		return queue.Real
	}
	return queue.Inconclusive
}

// confidence of a video as a whole, where the record has it only for each face: that of the surest fake, or that of
// the least sure real face.
func confidence(o queue.Outcome, faces []authenta.Participant) *float64 {
	var found *float64
	for _, p := range faces {
		if p.Confidence == nil || p.Fake == nil || *p.Fake != (o == queue.Fake) || o == queue.Inconclusive {
			continue
		}
		if found == nil || (o == queue.Fake) == (*p.Confidence > *found) {
			found = p.Confidence
		}
	}
	return found
}
