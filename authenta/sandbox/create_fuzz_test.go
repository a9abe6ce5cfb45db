package sandbox

import "testing"

func FuzzParseCreate(f *testing.F) {
	f.Add([]byte(`{"name": "clip.mp4", "contentType": "video/mp4", "size": 164266, "modelType": "DF-1"}`))
	f.Add([]byte(`{"name":"a","contentType":"image/png","size":1,"modelType":"FI-1","metadata":{"isSingleFace":true,"livenessCheck":null}}`))
	f.Add([]byte(`{"size":1e400}`))
	f.Add([]byte(`[`))
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
