package watcher

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/authenta/authenta-ingest/queue"
)

// bytesOf opens a file to be staged, if files are.
func (w *Watcher) bytesOf(g sighting) func(context.Context) (io.ReadCloser, error) {
	if !w.Stage {
		return nil
	}
	return func(ctx context.Context) (io.ReadCloser, error) {
		f, err := w.openFile(g.path)
		if err != nil {
			return nil, err
		}
		if err := check(f, g); err != nil {
			f.Close()
			return nil, err
		}
		return &version{Reader: reader{ctx, f}, f: f, g: g}, nil
	}
}

// A version of a file is read whole, or not at all: at its end it says whether it still is the one that had settled.
type version struct {
	io.Reader
	f *os.File
	g sighting
}

func (v *version) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		if altered := check(v.f, v.g); altered != nil {
			return n, altered
		}
	}
	return n, err
}

func (v *version) Close() error { return v.f.Close() }

// isAltered reports whether a file did not stay as it was while it was dealt with: it settles again, and is taken in then.
func isAltered(err error) bool {
	return errors.Is(err, errAltered) || errors.Is(err, queue.ErrOtherBytes)
}
