package sandbox

import (
	"net/http"
	"strings"
)

// An Op is one kind of call, to the API or to the storage.
type Op string

// The calls there are. OpAny stands for all of them in a Fault.
const (
	OpCreate Op = "create" // POST /api/media
	OpGet    Op = "get"    // GET /api/media/{mid}
	OpList   Op = "list"   // GET /api/media
	OpDelete Op = "delete" // DELETE /api/media/{mid}
	OpPut    Op = "put"    // PUT of an upload URL
	OpFetch  Op = "fetch"  // GET of a result's or a heatmap's URL
	OpAny    Op = "any"
)

// needs is the permission that an API call takes.
func (op Op) needs() Permission {
	switch op {
	case OpCreate:
		return PermWrite
	case OpDelete:
		return PermDelete
	}
	return PermRead
}

// isQuery tells calls that count as Query from those that count as Mutation.
func (op Op) isQuery() bool { return op == OpGet || op == OpList }

// route says which operation a request is, and on which media id or storage key; the empty Op is none.
func route(r *http.Request) (op Op, key string) {
	area := r.URL.Path
	for _, prefix := range []string{"/api/media/", "/storage/"} {
		if rest, ok := strings.CutPrefix(area, prefix); ok {
			area, key = prefix, rest
			break
		}
	}
	switch r.Method + " " + area {
	case "POST /api/media":
		return OpCreate, ""
	case "GET /api/media":
		return OpList, ""
	case "GET /api/media/":
		return OpGet, key
	case "DELETE /api/media/":
		return OpDelete, key
	case "PUT /storage/":
		return OpPut, key
	case "GET /storage/":
		return OpFetch, key
	}
	return "", ""
}
