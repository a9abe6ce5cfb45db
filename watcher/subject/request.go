package subject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/watcher/fetch"
	"github.com/authenta/authenta-ingest/watcher/media"
)

// A request is what a message asks for.
type request struct {
	uri   string // empty: the message is the media itself
	name  string
	model queue.Model // empty: those of its kind
	meta  queue.Meta
}

// What a message may bring along. A drop with all of it fits its job's record many times.
const (
	mostURI  = 4 << 10 // bytes
	mostName = 1 << 10
	mostMeta = 16 << 10
)

// The headers of a message that is the media itself.
const (
	typeHeader  = "Content-Type"
	nameHeader  = "Name"
	modelHeader = "Model"
	metaPrefix  = "Meta-"
)

// parse reads a message. The error says what is wrong with it.
func parse(h nats.Header, data []byte) (request, error) {
	r, err := parseBody(h, data)
	if err != nil {
		return r, err
	}
	return r, r.check()
}

func parseBody(h nats.Header, data []byte) (request, error) {
	switch declared := header(h, typeHeader); {
	case declared != "" && !isJSON(declared), declared == "" && media.Is(media.Detect(data)):
		return parseMedia(h)
	default:
		return parseReference(data)
	}
}

func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// header is a header's value, however its name is written.
func header(h nats.Header, name string) string {
	for key, values := range h {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// parseMedia reads the headers of a message that is the media itself.
func parseMedia(h nats.Header) (request, error) {
	r := request{name: header(h, nameHeader), model: queue.Model(header(h, modelHeader))}
	for key, values := range h {
		if len(key) <= len(metaPrefix) || !strings.EqualFold(key[:len(metaPrefix)], metaPrefix) || len(values) == 0 {
			continue
		}
		value, err := json.Marshal(values[0])
		if err != nil {
			return r, err
		}
		if r.meta == nil {
			r.meta = queue.Meta{}
		}
		r.meta[key[len(metaPrefix):]] = value
	}
	return r, nil
}

// parseReference reads a message that says where the media are.
func parseReference(data []byte) (request, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return request{}, fmt.Errorf("the message is empty: want JSON such as %s, or the media itself", example)
	}
	var in struct {
		URI   *string     `json:"uri"`
		Name  string      `json:"name"`
		Model queue.Model `json:"model"`
		Meta  queue.Meta  `json:"meta"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return request{}, fmt.Errorf("the message is neither media nor JSON such as %s (%w)", example, err)
	}
	r := request{name: in.Name, model: in.Model, meta: in.Meta}
	if in.URI == nil || *in.URI == "" {
		return r, fmt.Errorf("the message has no uri: want JSON such as %s", example)
	}
	r.uri = *in.URI
	return r, nil
}

const example = `{"uri": "file:///srv/inbox/clip.mp4"}`

// check says what a message has that cannot be taken, and takes that from it, so that its failure can be told.
func (r *request) check() error {
	var err error
	if len(r.uri) > mostURI {
		err = fmt.Errorf("its uri has %d bytes, and %d are the most", len(r.uri), mostURI)
		shown := Shown(r.uri)
		r.uri = strings.ToValidUTF8(shown[:min(100, len(shown))], "") + "…"
	}
	if len(r.name) > mostName || !utf8.ValidString(r.name) {
		r.name, err = "", fmt.Errorf("its name has more than %d bytes, or is no UTF-8", mostName)
	}
	size := 0
	for key, value := range r.meta {
		size += len(key) + len(value)
	}
	if size > mostMeta {
		r.meta, err = nil, fmt.Errorf("its meta has %d bytes, and %d are the most", size, mostMeta)
	}
	if r.model != "" && !r.model.Valid() {
		r.model, err = "", fmt.Errorf("%.40q is no model: want one such as DF-1", r.model)
	}
	return err
}

// Shown is an address as others may read it, who are told the answer. But for files and objects, what goes before the host or
// follows the path may be a secret, whatever is wrong with the address, and is left out.
func Shown(uri string) string {
	_, file := queue.FilePath(uri)
	_, _, object := queue.ObjectName(uri)
	if file == nil || object == nil {
		return uri
	}
	u, err := url.Parse(uri)
	if err == nil && (u.Scheme == "file" || u.Scheme == "nats-object") {
		return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	}
	return fetch.Redacted(uri)
}

// displayName is what the media are called: as the message says, or as the end of their address does.
func (r request) displayName(id queue.DropID) string {
	name := r.name
	if name == "" {
		if u, err := url.Parse(r.uri); err == nil {
			name = u.Path
		}
	}
	name = path.Base(filepath.ToSlash(name))
	if name == "." || name == "/" || strings.TrimFunc(name, unicode.IsSpace) == "" {
		return string(id)
	}
	return name
}
