package worker

import (
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
	for _, p := range m.Participants {
		j.Participants = append(j.Participants, queue.Participant{
			ID: p.ID, Fake: p.Fake, Confidence: p.Confidence, Heatmap: string(p.Heatmap),
		})
	}
	if j.Confidence == nil {
		j.Confidence = confidence(j.Outcome, m.Participants)
	}
	return j
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
