package sandbox

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"
)

// An Effect is what a Fault does to a call: it may answer by itself, in which case the platform never saw the call and
// nothing is consumed; or let next do the work, and spoil what goes in or comes out.
type Effect func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc)

// Answer answers in the platform's stead.
func Answer(status int, contentType, body string) Effect {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		write(w, status, contentType, []byte(body))
	}
}

// QuotaUsedUp answers 429 AA001.
func QuotaUsedUp(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { quotaUsedUp.write(w, r) }

// RateLimited answers 429 with another code than AA001 and a Retry-After, in whole seconds.
func RateLimited(after time.Duration) Effect {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
		tooMany.write(w, r)
	}
}

// OutOfCredits answers 400 U007, or 402 INSUFFICIENT_BALANCE to a bearer key.
func OutOfCredits(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	outOfCredits.write(w, r)
}

// ServerError answers 500 in the API's JSON.
func ServerError(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { serverError.write(w, r) }

// BadGateway answers 502 in HTML, as something in front of the platform does.
func BadGateway(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
	write(w, http.StatusBadGateway, "text/html", []byte("<html><body><h1>502 Bad Gateway</h1></body></html>"))
}

// SlowDown answers 503 in the storage's XML.
func SlowDown(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { slowDown.write(w) }

// Garbage answers 200 with something that is not what was asked for.
func Garbage(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
	write(w, http.StatusOK, "application/json", []byte(`{"mid": 7, "status": ["`))
}

// Delay lets the call wait before anything else happens. It measures real time, not Options.Clock's.
func Delay(d time.Duration) Effect {
	return func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			next(w, r)
		case <-r.Context().Done():
			cut()
		}
	}
}

// Hang takes the whole request and never answers: it ends when the client goes.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	io.Copy(io.Discard, r.Body) // the server notices a client's going only once the body is read
	<-r.Context().Done()
	cut()
}

// CutBefore cuts the connection before anything is done.
func CutBefore(http.ResponseWriter, *http.Request, http.HandlerFunc) { cut() }

// CutAfter does the work and cuts the connection instead of answering: the reply is lost.
func CutAfter(_ http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(lostReply{}, r)
	cut()
}

// CutBody cuts the connection when half of the body has been read. It is meant for OpPut.
func CutBody(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	half := io.LimitReader(r.Body, r.ContentLength/2)
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(half, cutter{}), r.Body}
	next(w, r)
}

// FailResult lets the object in, and the processing that it starts fail. It is meant for OpPut.
func FailResult(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(w, r.WithContext(context.WithValue(r.Context(), failResult{}, true)))
}

type failResult struct{}

func mustFail(r *http.Request) bool { return r.Context().Value(failResult{}) != nil }

// cut ends the handler so that the server closes the connection.
func cut() { panic(http.ErrAbortHandler) }

// A cutter cuts the connection when it is read.
type cutter struct{}

func (cutter) Read([]byte) (int, error) { cut(); return 0, nil }

// A lostReply is an answer that nobody will read.
type lostReply struct{}

func (lostReply) Header() http.Header         { return http.Header{} }
func (lostReply) Write(b []byte) (int, error) { return len(b), nil }
func (lostReply) WriteHeader(int)             {}
