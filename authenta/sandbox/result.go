package sandbox

import (
	"bytes"
	"image"
	"image/png"
	"strconv"
	"sync"
)

// An imageResult is the document behind an image's resultURL.
type imageResult struct {
	ResultType            string   `json:"resultType"`
	IsDeepFake            *bool    `json:"isDeepFake,omitempty"`
	RealConfidencePercent *float64 `json:"RealConfidencePercent,omitempty"`
}

// A videoResult is the document behind a video's resultURL.
type videoResult struct {
	ResultType          string               `json:"resultType"`
	IdentityPredictions []identity           `json:"identityPredictions"`
	BoundingBoxes       map[string]faceBoxes `json:"boundingBoxes"`
}

type identity struct {
	IdentityID int  `json:"identityId"`
	IsDeepFake bool `json:"isDeepFake"`
}

// faceBoxes are where one face is: x1, y1, x2, y2 by frame.
type faceBoxes struct {
	BoundingBox map[string][4]int `json:"boundingBox"`
	Class       Verdict           `json:"class"`
	Confidence  float64           `json:"confidence"`
}

// result is the document behind a processed record's resultURL.
func (m *media) result() any {
	if m.isImage() {
		return m.imageResult()
	}
	return m.videoResult()
}

func (m *media) imageResult() imageResult {
	o := m.run.object.Outcome
	r := imageResult{ResultType: "image"}
	switch o.Verdict {
	case Real:
		r.IsDeepFake, r.RealConfidencePercent = new(false), new(100*o.Confidence)
	case Fake:
		r.IsDeepFake, r.RealConfidencePercent = new(true), new(100*(1-o.Confidence))
	}
	return r
}

func (m *media) videoResult() videoResult {
	r := videoResult{ResultType: "video", IdentityPredictions: []identity{}, BoundingBoxes: map[string]faceBoxes{}}
	faces, deepFakes := m.people()
	for i := range faces {
		class := Real
		if i < deepFakes {
			class = Fake
		}
		r.IdentityPredictions = append(r.IdentityPredictions, identity{IdentityID: i, IsDeepFake: class == Fake})
		r.BoundingBoxes[strconv.Itoa(i)] = faceBoxes{
			BoundingBox: map[string][4]int{"frame_0": {100 * i, 0, 100*i + 80, 80}},
			Class:       class,
			Confidence:  m.run.object.Outcome.Confidence,
		}
	}
	return r
}

// heatmap is the picture behind every heatmap's URL: one black pixel.
var heatmap = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
})
