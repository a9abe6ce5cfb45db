package sandbox

import "testing"

func FuzzParseCreate(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		c, refused := parseCreate(body)
		if refused != nil {
			if refused.status != 400 || refused.message == "" {
				t.Errorf("refused with %+v", refused)
			}
			return
		}
		if c.Name == "" || c.Size <= 0 || takes[c.Model] == nil {
			t.Errorf("accepted %+v", c)
		}
	})
}
