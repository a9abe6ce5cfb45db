package media

import (
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

func TestAModelThatIsAskedForByNameHasToTakeTheKind(t *testing.T) {
	t.Parallel()
	m := Models{Images: []queue.Model{"AC-1", "OWN-7"}, Videos: []queue.Model{"DF-1"}}
	for _, c := range []struct {
		model        queue.Model
		known        bool
		image, video bool
	}{
		{"AC-1", true, true, false},
		{"FD-1", true, true, false}, // not configured, but the platform's
		{"DF-1", true, false, true},
		{"FI-1", true, true, true},
		{"OWN-7", true, true, false},
		{"DF-9", false, false, false},
		{"", false, false, false},
	} {
		if got := m.Known(c.model); got != c.known {
			t.Errorf("%q is known: %v", c.model, got)
		}
		if i, v := m.Takes(c.model, "image/png"), m.Takes(c.model, "video/mp4"); i != c.image || v != c.video {
			t.Errorf("%q takes images: %v, videos: %v", c.model, i, v)
		}
		if m.Takes(c.model, "text/plain") {
			t.Errorf("%q takes a text", c.model)
		}
	}
}
