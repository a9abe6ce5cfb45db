package fetch

import (
	"fmt"
	"io"
	"net/http"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
)

// allocated is how many bytes this process has ever taken for its heap.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// endless sends n bytes, and counts how many it got rid of.
func endless(n int64, sent *atomic.Int64, done chan<- struct{}) http.HandlerFunc {
	block := make([]byte, 1<<20)
	return func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		if r.URL.Query().Has("declared") {
			w.Header().Set("Content-Length", fmt.Sprint(n))
		}
		for left := n; left > 0; left -= int64(len(block)) {
			written, err := w.Write(block)
			sent.Add(int64(written))
			if err != nil {
				return
			}
		}
	}
}

// What the server can get rid of beyond the cap lies in the buffers of both kernels. Not parallel: it counts memory, the
// server's included.
func TestAGigabyteIsNotTakenWhereTenMegabytesAreTheMost(t *testing.T) {
	for query, most := range map[string]int64{"": maxSize + 16<<20, "?declared": 16 << 20} {
		var sent atomic.Int64
		done := make(chan struct{}, 1)
		f, base := world(t, endless(1<<30, &sent, done))
		before := allocated()
		b, err := f.Open(t.Context(), base+"/clip.mp4"+query)
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, b)
			b.Close()
		}
		<-done
		took := allocated() - before
		wantError(t, query, err, TooLarge, "taken at most (INGEST_MAX_SIZE)")
		if query == "" && n != maxSize {
			t.Errorf("handed on %d bytes, want %d", n, maxSize)
		}
		if sent.Load() > most {
			t.Errorf("the server sent %d bytes, want no more than %d", sent.Load(), most)
		}
		if took > 4<<20 {
			t.Errorf("took %d bytes of memory", took)
		}
		t.Logf("%q: the server sent %.1f MB, %.2f MB of memory were allocated", query, float64(sent.Load())/1e6, float64(took)/1e6)
	}
}

func TestMemoryIsFlatWhateverTheSize(t *testing.T) {
	s, address := serveTLS(t, nil)
	f := newFetcher(t, Options{Hosts: []string{address}, Private: true, Roots: roots(s)})
	const size = 100 << 20
	for _, query := range []string{"?declared", ""} {
		var sent atomic.Int64
		done := make(chan struct{}, 1)
		s.Config.Handler = endless(size, &sent, done)
		before := allocated()
		b, err := f.Open(t.Context(), "https://"+address+query)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, b)
		b.Close()
		<-done
		took := allocated() - before
		if err != nil || n != size {
			t.Errorf("%d bytes, %v", n, err)
		}
		if took > 8<<20 {
			t.Errorf("took %d bytes of memory for %d", took, size)
		}
		t.Logf("%q: %.2f MB allocated for %d MB", query, float64(took)/1e6, size>>20)
	}
}

func TestTheCapIsInclusive(t *testing.T) {
	t.Parallel()
	for _, size := range []int{maxSize - 1, maxSize, maxSize + 1} {
		f, base := world(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("declared") {
				w.Header().Set("Content-Length", fmt.Sprint(size))
			}
			io.Copy(w, strings.NewReader(strings.Repeat("a", size)))
		})
		for _, query := range []string{"?declared", ""} {
			got, err := read(t, f, base+query)
			if size > maxSize {
				wantError(t, query, err, TooLarge, "taken at most (INGEST_MAX_SIZE)")
			} else if err != nil || len(got) != size {
				t.Errorf("%d of %d bytes, %v", len(got), size, err)
			}
		}
	}
}
