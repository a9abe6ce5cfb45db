package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxCreateBody bounds the request of a create; the API's own are some 200 bytes.
const maxCreateBody = 64 << 10

// takes says which types of media a model analyses.
var takes = map[string][]string{
	"AC-1": {"image/"},
	"FD-1": {"image/"},
	"FE-1": {"image/"},
	"DF-1": {"video/"},
	"FI-1": {"image/", "video/"},
}

// A createRequest is the body of POST /api/media.
type createRequest struct {
	Name        string  `json:"name"`
	ContentType string  `json:"contentType"`
	Size        int64   `json:"size"`
	Model       string  `json:"modelType"`
	Metadata    *checks `json:"metadata,omitempty"`
}

// checks are FI-1's parameters; official clients send null for those not asked for.
type checks struct {
	IsSingleFace        bool `json:"isSingleFace"`
	FaceswapCheck       bool `json:"faceswapCheck"`
	LivenessCheck       bool `json:"livenessCheck"`
	FaceSimilarityCheck bool `json:"faceSimilarityCheck"`
}

func (c createRequest) isImage() bool { return strings.HasPrefix(c.ContentType, "image/") }

// readCreate reads and checks the body of a create.
func readCreate(r *http.Request) (createRequest, *refusal) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxCreateBody+1))
	if err != nil {
		return createRequest{}, badRequest("the body could not be read")
	}
	if len(body) > maxCreateBody {
		return createRequest{}, clientError(413, "payload_too_large", "the body is too large")
	}
	return parseCreate(body)
}

func parseCreate(body []byte) (createRequest, *refusal) {
	var c createRequest
	if err := json.Unmarshal(body, &c); err != nil {
		return c, badRequest(err.Error())
	}
	prefixes, known := takes[c.Model]
	switch {
	case c.Name == "":
		return c, badRequest("name is required")
	case c.Size <= 0:
		return c, badRequest("size must be greater than 0")
	case !known:
		return c, badRequest(fmt.Sprintf("modelType %q is unknown", c.Model))
	}
	for _, prefix := range prefixes {
		if subtype, ok := strings.CutPrefix(c.ContentType, prefix); ok && subtype != "" {
			return c, nil
		}
	}
	return c, badRequest(fmt.Sprintf("modelType %s does not take contentType %q", c.Model, c.ContentType))
}

func badRequest(message string) *refusal { return clientError(400, "bad_request", message) }
