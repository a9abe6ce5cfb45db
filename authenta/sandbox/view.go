package sandbox

import "time"

// createdAtLayout is RFC 3339 with milliseconds, as the platform writes it.
const createdAtLayout = "2006-01-02T15:04:05.000Z"

// A mediaView is a media record as the API shows it.
type mediaView struct {
	MID       string `json:"mid"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	Status    string `json:"status"`
	Model     string `json:"modelType"`
	CreatedAt string `json:"createdAt"`

	UploadURL string `json:"uploadUrl,omitempty"`
	ExpiresIn int    `json:"expiresIn,omitempty"`

	Fake       *bool    `json:"fake,omitempty"`
	Confidence *float64 `json:"confidence,omitempty"`
	Faces      *int     `json:"faces,omitempty"`
	DeepFakes  *int     `json:"deepFakes,omitempty"`

	Participants []participant `json:"participants,omitzero"`
	SrcURL       string        `json:"srcURL,omitempty"`
	ResultURL    string        `json:"resultURL,omitempty"`
	HeatmapURL   string        `json:"heatmapURL,omitempty"`
}

// A participant is one face in a video.
type participant struct {
	ID         int     `json:"id"`
	Fake       bool    `json:"fake"`
	Confidence float64 `json:"confidence"`
	Heatmap    string  `json:"heatmap,omitempty"`
}

// The statuses that the platform gives a record.
const (
	statusInited    = "INITED"    // there is a record only
	statusUploaded  = "UPLOADED"  // the object is there and being processed
	statusProcessed = "PROCESSED" // the result is there
	statusFailed    = "FAILED"    // there will be no result
)

func (m *media) status(now time.Time) string {
	switch {
	case m.run == nil || now.Before(m.run.seenAt):
		return statusInited
	case now.Before(m.run.doneAt):
		return statusUploaded
	case m.run.object.Outcome.Verdict == Failed:
		return statusFailed
	}
	return statusProcessed
}

// summary is the record as the list shows it.
func (m *media) summary(now time.Time) mediaView {
	v := mediaView{
		MID: m.mid, Name: m.Name, Type: "Video", Status: m.status(now), Model: m.Model,
		CreatedAt: m.createdAt.UTC().Format(createdAtLayout),
	}
	if m.isImage() {
		v.Type = "Image"
	}
	if v.Status != statusProcessed {
		return v
	}
	switch o := m.run.object.Outcome; {
	case !m.isImage():
		faces, deepFakes := m.people()
		v.Faces, v.DeepFakes = &faces, &deepFakes
	case o.Verdict != NoFaces:
		v.Fake, v.Confidence = new(o.Verdict == Fake), &o.Confidence
	}
	return v
}

// detail is the record as it is shown alone.
func (m *media) detail(urls presigner) mediaView {
	v := m.summary(urls.now)
	if v.Status == statusInited {
		return v
	}
	v.SrcURL = urls.get(m.sourceKey())
	if v.Status != statusProcessed {
		return v
	}
	v.ResultURL = urls.get(resultKey(m.mid))
	if v.Fake != nil {
		v.HeatmapURL = urls.get(heatmapKey(m.mid))
	}
	if v.Faces != nil {
		v.Participants = make([]participant, *v.Faces)
	}
	for i := range v.Participants {
		face := participant{ID: i, Fake: i < *v.DeepFakes, Confidence: m.run.object.Outcome.Confidence}
		if face.Fake {
			face.Heatmap = urls.get(heatmapKey(m.mid))
		}
		v.Participants[i] = face
	}
	return v
}

// people counts the faces in a processed video, and the fake ones among them.
func (m *media) people() (faces, deepFakes int) {
	o := m.run.object.Outcome
	switch o.Verdict {
	case NoFaces:
		return 0, 0
	case Fake:
		return max(1, o.Faces), 1
	}
	return max(1, o.Faces), 0
}
