package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// writeJSON answers with v; unlike json.Marshal it leaves the & of URLs alone.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only this package's own types come here
	}
	write(w, status, "application/json", bytes.TrimSuffix(body.Bytes(), []byte("\n")))
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(body) // a client that went away is no concern of the platform
}
