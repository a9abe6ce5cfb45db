package sandbox

import "encoding/binary"

// A Verdict is what the analysis of a content comes to.
type Verdict string

// The verdicts there are. NoFaces is inconclusive: a video has 0 faces, an image neither "fake" nor "confidence".
// Failed is no verdict at all: the record becomes FAILED.
const (
	Real    Verdict = "real"
	Fake    Verdict = "fake"
	NoFaces Verdict = "no_faces"
	Failed  Verdict = "failed"
)

// An Outcome is all that the analysis finds.
type Outcome struct {
	Verdict    Verdict `json:"verdict"`
	Confidence float64 `json:"confidence,omitempty"` // 0 to 1, in the verdict
	Faces      int     `json:"faces,omitempty"`      // in a video: of a Fake one, the first is the fake; at least 1 is shown
}

// OutcomeOf is what the platform finds in a content unless Options.Outcome says otherwise. It reads the digest's bytes:
//
//	byte 0       below 16 (1 content in 16): NoFaces; else odd: Fake, even: Real
//	bytes 1, 2   confidence, from 0.5000 (00 00) to 1.0000 (ff ff), in four decimals
//	byte 3       faces: 1 to 3
func OutcomeOf(sha256 [32]byte) Outcome {
	if sha256[0] < 16 {
		return Outcome{Verdict: NoFaces}
	}
	o := Outcome{
		Verdict:    Real,
		Confidence: float64(5000+int(binary.BigEndian.Uint16(sha256[1:3]))*5000/0xffff) / 10000,
		Faces:      1 + int(sha256[3])%3,
	}
	if sha256[0]&1 == 1 {
		o.Verdict = Fake
	}
	return o
}
