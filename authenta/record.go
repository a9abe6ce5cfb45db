package authenta

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A record is a media record as the platform sends it. encoding/json matches names in any case.
type record struct {
	MID          scalar              `json:"mid"`
	ID           scalar              `json:"id"` // instead of mid
	Name         scalar              `json:"name"`
	Type         scalar              `json:"type"`
	Status       scalar              `json:"status"`
	Model        scalar              `json:"modelType"`
	Size         scalar              `json:"size"`
	CreatedAt    scalar              `json:"createdAt"`
	UploadURL    scalar              `json:"uploadUrl"`
	ExpiresIn    scalar              `json:"expiresIn"` // seconds
	Fake         scalar              `json:"fake"`
	Confidence   scalar              `json:"confidence"`
	Faces        scalar              `json:"faces"`
	Deepfakes    scalar              `json:"deepFakes"`
	Participants listOf[participant] `json:"participants"`
	ResultURL    scalar              `json:"resultURL"`
	HeatmapURL   scalar              `json:"heatmapURL"`
	SourceURL    scalar              `json:"srcURL"`
}

type participant struct {
	ID         scalar `json:"id"`
	Fake       scalar `json:"fake"`
	Confidence scalar `json:"confidence"`
	Heatmap    scalar `json:"heatmap"`
}

// media converts a record that came at the given time. The id is left to those who know what it should be.
func (r record) media(at time.Time) Media {
	m := Media{
		Name:       string(r.Name),
		Type:       string(r.Type),
		Status:     Status(strings.ToUpper(string(r.Status))),
		Model:      Model(r.Model),
		Size:       int64(r.Size.countOrZero()),
		CreatedAt:  r.CreatedAt.time(),
		UploadURL:  PresignedURL(r.UploadURL),
		Fake:       r.Fake.bool(),
		Confidence: r.Confidence.float(),
		Faces:      r.Faces.count(),
		Deepfakes:  r.Deepfakes.count(),
		ResultURL:  PresignedURL(r.ResultURL),
		HeatmapURL: PresignedURL(r.HeatmapURL),
		SourceURL:  PresignedURL(r.SourceURL),
	}
	m.UploadExpires = m.UploadURL.expires(at)
	if seconds := r.ExpiresIn.countOrZero(); 0 < seconds && seconds < 1<<31 {
		m.UploadExpires = at.Add(time.Duration(seconds) * time.Second)
	}
	for _, p := range r.Participants {
		m.Participants = append(m.Participants, p.participant())
	}
	return m
}

func (p participant) participant() Participant {
	return Participant{
		ID:         p.ID.countOrZero(),
		Fake:       p.Fake.bool(),
		Confidence: p.Confidence.float(),
		Heatmap:    PresignedURL(p.Heatmap),
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
		Data                 listOf[record]
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
			m.ID = id
			p.Media = append(p.Media, m)
		}
	}
	return p, nil
}
