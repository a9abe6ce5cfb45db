package authenta

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What is taken over from a record, so that whoever keeps one knows how large it gets.
const (
	// MaxParticipants is how many of a video's participants a [Media] has at most. If there are more, the last place goes
	// to one that is fake, or else to one of which nothing is said, if there is any: no sign of a fake gets lost.
	MaxParticipants = 1000
	maxRecords      = 1000 // on a page; a hundred are asked for
	// maxURLLife is how long an upload URL is believed to live. The documentation says about an hour; a record of which
	// nobody hears again is given up no later than that.
	maxURLLife = 2 * time.Hour
)

// A record is a media record as the platform sends it. encoding/json matches names in any case.
type record struct {
	MID          scalar       `json:"mid"`
	ID           scalar       `json:"id"` // instead of mid
	Name         scalar       `json:"name"`
	Type         scalar       `json:"type"`
	Status       scalar       `json:"status"`
	Model        scalar       `json:"modelType"`
	Size         scalar       `json:"size"`
	CreatedAt    scalar       `json:"createdAt"`
	UploadURL    scalar       `json:"uploadUrl"`
	ExpiresIn    scalar       `json:"expiresIn"` // seconds
	Fake         scalar       `json:"fake"`
	Confidence   scalar       `json:"confidence"`
	Faces        scalar       `json:"faces"`
	Deepfakes    scalar       `json:"deepFakes"`
	Participants participants `json:"participants"`
	ResultURL    scalar       `json:"resultURL"`
	HeatmapURL   scalar       `json:"heatmapURL"`
	SourceURL    scalar       `json:"srcURL"`
}

type participant struct {
	ID         scalar `json:"id"`
	Fake       scalar `json:"fake"`
	Confidence scalar `json:"confidence"`
	Heatmap    scalar `json:"heatmap"`
}

// participants is a JSON array of them, of which the first MaxParticipants are kept.
type participants []Participant

func (l *participants) UnmarshalJSON(b []byte) error {
	*l = nil
	for p := range elements[participant](b) {
		if q := p.participant(); len(*l) < MaxParticipants {
			*l = append(*l, q)
		} else if last := &(*l)[MaxParticipants-1]; q.suspicion() > last.suspicion() {
			*last = q
		}
	}
	return nil
}

// suspicion orders participants by how much they matter to who reads all of them together.
func (p Participant) suspicion() int {
	switch {
	case p.Fake == nil:
		return 1
	case *p.Fake:
		return 2
	}
	return 0
}

// records is a JSON array of them, of which the first maxRecords are kept. It is nil for what is no array.
type records []record

func (l *records) UnmarshalJSON(b []byte) error {
	*l = nil
	if b[0] != '[' {
		return nil
	}
	*l = records{} // an empty array is said
	for r := range elements[record](b) {
		if *l = append(*l, r); len(*l) == maxRecords {
			break
		}
	}
	return nil
}

// media converts a record that came at the given time. The id is left to those who know what it should be.
func (r record) media(at time.Time) Media {
	m := Media{
		Name:       r.Name.text(),
		Type:       r.Type.text(),
		Status:     Status(strings.ToUpper(r.Status.text())),
		Model:      Model(r.Model.text()),
		Size:       int64(r.Size.countOrZero()),
		CreatedAt:  r.CreatedAt.time(),
		UploadURL:  PresignedURL(r.UploadURL),
		Fake:       r.Fake.bool(),
		Confidence: r.Confidence.share(),
		Faces:      r.Faces.count(),
		Deepfakes:  r.Deepfakes.count(),
		ResultURL:  r.ResultURL.webURL(),
		HeatmapURL: r.HeatmapURL.webURL(),
		SourceURL:  r.SourceURL.webURL(),

		Participants: r.Participants,
	}
	m.UploadExpires = m.UploadURL.expires(at)
	if seconds := r.ExpiresIn.countOrZero(); 0 < seconds && seconds < 1<<31 {
		m.UploadExpires = at.Add(time.Duration(seconds) * time.Second)
	}
	if latest := at.Add(maxURLLife); m.UploadExpires.After(latest) {
		m.UploadExpires = latest
	}
	return m
}

func (p participant) participant() Participant {
	return Participant{
		ID:         p.ID.countOrZero(),
		Fake:       p.Fake.bool(),
		Confidence: p.Confidence.share(),
		Heatmap:    p.Heatmap.webURL(),
	}
}

func (r record) id() (MediaID, error) {
	return ParseMediaID(string(cmp.Or(r.MID, r.ID)))
}

// decodeMedia reads one record that came at the given time. A record that does not name itself is taken for the one that
// was asked for, if there was one and it looks like a record at all; one of another name is refused.
func decodeMedia(body []byte, asked MediaID, at time.Time) (Media, error) {
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return Media{}, err
	}
	m := r.media(at)
	if cmp.Or(r.MID, r.ID) == "" && asked != "" && m.Status != "" {
		m.ID = asked
		return m, nil
	}
	id, err := r.id()
	if err == nil && asked != "" && id != asked {
		err = fmt.Errorf("it is about %s", id)
	}
	m.ID = id
	return m, err
}

// decodePage reads a page of records that came at the given time.
func decodePage(body []byte, at time.Time) (Page, error) {
	var wire struct {
		Limit, Offset, Total scalar
		Data                 records
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return Page{}, err
	}
	if wire.Data == nil {
		return Page{}, errors.New("it has no list of records")
	}
	p := Page{Limit: wire.Limit.countOrZero(), Offset: wire.Offset.countOrZero(), Total: wire.Total.countOrZero()}
	for _, r := range wire.Data {
		if id, err := r.id(); err == nil {
			m := r.media(at)
			m.ID, m.UploadURL = id, r.UploadURL.webURL()
			p.Media = append(p.Media, m)
		}
	}
	return p, nil
}
