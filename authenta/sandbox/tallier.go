package sandbox

import "net/http"

// A tallier reports the status of an answer before the client can see it: a client that has its answer finds the call
// in the ledger.
type tallier struct {
	http.ResponseWriter
	tally    func(status int)
	answered bool
}

func (t *tallier) WriteHeader(status int) {
	if !t.answered {
		t.answered = true
		t.tally(status)
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *tallier) Write(b []byte) (int, error) {
	if !t.answered {
		t.WriteHeader(http.StatusOK)
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (t *tallier) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// done reports calls that got no answer, as status 0.
func (t *tallier) done() {
	if !t.answered {
		t.tally(0)
	}
}
