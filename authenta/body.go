package authenta

import (
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// A body lends a file to net/http as a request's body. It has no more methods than these, because each matters:
//
//   - SyscallConn lets package net send the file by sendfile(2) over plain HTTP; strace shows it with Go 1.26. A wrapper
//     without it is copied through user space.
//   - Close leaves the file open, which is its owner's, and tells when net/http has let go of it. That may be after
//     RoundTrip has returned, and until then the file's offset moves.
//
// sendfile reads at the file's own offset and moves it, as Read does, so that the offset tells how much has been handed
// to the network.
type body struct {
	file   *os.File
	closed chan struct{} // closed by the first Close

	mu   sync.Mutex // held by a Read, so that none is under way once closed is
	done bool
}

func newBody(f *os.File) *body { return &body{file: f, closed: make(chan struct{})} }

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return 0, os.ErrClosed
	}
	return b.file.Read(p)
}

func (b *body) SyscallConn() (syscall.RawConn, error) { return b.file.SyscallConn() }

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.done = true
		close(b.closed)
	}
	return nil
}

// forRequest is the body as it goes into a request. Only on Linux does sendfile move the offset as it goes; package net
// does so afterwards elsewhere, when it is too late to tell a slow upload from one that stalls.
func (b *body) forRequest() io.ReadCloser {
	if runtime.GOOS == "linux" {
		return b
	}
	return struct{ io.ReadCloser }{b}
}
