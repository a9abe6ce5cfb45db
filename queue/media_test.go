package queue_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/embedded"
)

const mediaBucket = "authenta-media"

// bytesOf makes up bytes, the same for the same arguments.
func bytesOf(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(b)
	return b
}

func sha(b []byte) queue.Digest {
	sum := sha256.Sum256(b)
	return queue.Digest(hex.EncodeToString(sum[:]))
}

// staged reads an object, and wants it to be some bytes.
func wantObject(t *testing.T, open func() (*queue.Object, error), want []byte) {
	t.Helper()
	o, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, error %v; want %d", len(got), err, len(want))
	}
	if o.Size != int64(len(want)) || o.Digest != sha(want) {
		t.Errorf("size %d, digest %s; want %d, %s", o.Size, o.Digest, len(want), sha(want))
	}
}

func wantStaged(t *testing.T, q *queue.Queue, name string, want []byte) {
	t.Helper()
	wantObject(t, func() (*queue.Object, error) { return q.OpenStaged(deadline(t), name) }, want)
}

// bucketMessages counts what is in the staging bucket.
func bucketMessages(t testing.TB, q *queue.Queue) uint64 {
	t.Helper()
	return lookUp(t, q, "OBJ_"+mediaBucket).CachedInfo().State.Msgs
}

func TestWhatIsStagedIsReadBackByUsAndByOthers(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	js := queue.JetStreamOf(s.Queue)
	for _, n := range []int{0, 1, 1000, 1<<20 - 1025, 1<<20 - 1024, 1<<20 - 1023, 5<<20 + 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			name, want := fmt.Sprintf("drop-%d/é ?#", n), bytesOf(n, uint64(n))
			if err := s.Stage(deadline(t), name, bytes.NewReader(want)); err != nil {
				t.Fatal(err)
			}
			wantStaged(t, s.Queue, name, want)
			bucket, err := js.ObjectStore(deadline(t), mediaBucket)
			if err != nil {
				t.Fatal(err)
			}
			got, err := bucket.GetBytes(deadline(t), name)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("nats.go read %d bytes, error %v", len(got), err)
			}
			if err := s.Unstage(deadline(t), name); err != nil {
				t.Fatal(err)
			}
			if n := bucketMessages(t, s.Queue); n != 0 {
				t.Errorf("%d messages are left", n)
			}
			if _, err := s.OpenStaged(deadline(t), name); !errors.Is(err, queue.ErrNoObject) {
				t.Errorf("open what was removed: %v", err)
			}
			if err := s.Unstage(deadline(t), name); err != nil {
				t.Errorf("remove nothing: %v", err)
			}
		})
	}
}

func TestObjectsOfOthersAreRead(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	js := queue.JetStreamOf(s.Queue)
	if _, err := s.OpenObject(deadline(t), "theirs", "a"); !errors.Is(err, queue.ErrNoObject) {
		t.Errorf("no bucket: %v", err)
	}
	bucket, err := js.CreateObjectStore(deadline(t), jetstream.ObjectStoreConfig{Bucket: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	want := bytesOf(1<<20+1, 1)
	info, err := bucket.PutBytes(deadline(t), "a/b", want)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.AddLink(deadline(t), "link", info); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b", "link"} {
		wantObject(t, func() (*queue.Object, error) { return s.OpenObject(deadline(t), "theirs", name) }, want)
	}
	if err := bucket.Delete(deadline(t), "a/b"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b", "link", "never", ""} {
		if _, err := s.OpenObject(deadline(t), "theirs", name); !errors.Is(err, queue.ErrNoObject) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// unreadable fails the test when it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("what is there already was read again")
	return 0, io.EOF
}

func TestAnObjectThatIsThereIsKept(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	want := bytesOf(3000, 1)
	if err := s.Stage(deadline(t), "a", bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	if err := s.Stage(deadline(t), "a", unreadable{t}); err != nil {
		t.Fatal(err)
	}
	wantStaged(t, s.Queue, "a", want)
}

// TestOfManyThatStageAtATimeOneWins has many stage under one name, each with a content of its own: in the end there is one of
// them, whole, and nothing of the others.
func TestOfManyThatStageAtATimeOneWins(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const n, size = 8, 2<<20 + 100
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := s.Stage(deadline(t), "a", bytes.NewReader(bytesOf(size, uint64(i)))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	o, err := s.OpenStaged(deadline(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err != nil || o.Digest != sha(got) {
		t.Errorf("what is there is not whole: %d bytes, error %v", len(got), err)
	}
	if left := bucketMessages(t, s.Queue); left != 4 {
		t.Errorf("%d messages are left of the others", left-4)
	}
}

// failing fails in the middle.
type failing struct{ io.Reader }

var errFailing = errors.New("the disk is on fire")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errFailing
	}
	return n, err
}

func TestWhatCannotBeReadLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	err := s.Stage(deadline(t), "a", failing{bytes.NewReader(bytesOf(3<<20, 1))})
	if !errors.Is(err, errFailing) {
		t.Errorf("error %v", err)
	}
	if n := bucketMessages(t, s.Queue); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestAFullBucketSaysWhichSettingAndTakesAgainWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(o *queue.Options) { o.StageBytes = 5 << 20 })
	stage := func(name string, n int) error {
		return s.Stage(deadline(t), name, bytes.NewReader(bytesOf(n, 1)))
	}
	if err := stage("a", 3<<20); err != nil {
		t.Fatal(err)
	}
	wantText(t, stage("b", 3<<20), queue.ErrFull, "INGEST_STAGE_BYTES")
	wantText(t, s.Room(deadline(t)), queue.ErrFull, "INGEST_STAGE_BYTES")
	if n := bucketMessages(t, s.Queue); n != 5 {
		t.Errorf("%d messages, want those of the first", n)
	}
	if err := s.Unstage(deadline(t), "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Room(deadline(t)); err != nil {
		t.Errorf("no room after there was some: %v", err)
	}
	wantText(t, stage("c", 6<<20), queue.ErrTooLarge, "INGEST_STAGE_BYTES")
	if n := bucketMessages(t, s.Queue); n != 0 {
		t.Errorf("%d messages are left of what does not fit", n)
	}
	if err := stage("b", 3<<20); err != nil {
		t.Error(err)
	}
}

func wantText(t *testing.T, err, is error, text string) {
	t.Helper()
	if !errors.Is(err, is) || !bytes.Contains([]byte(err.Error()), []byte(text)) {
		t.Errorf("error %v; want one that is %q and names %s", err, is, text)
	}
}

func TestChunksAreNoLargerThanTheServerTakes(t *testing.T) {
	t.Parallel()
	e := newExternal(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	q := openQueue(t, dial(t, e.url("")))
	want := bytesOf(1<<20, 1)
	if err := q.Stage(deadline(t), "a", bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	wantStaged(t, q, "a", want)
}

// TestABrokerThatRestartsInTheMiddleSpoilsNothing stops the broker while an object is written, and while it is read.
func TestABrokerThatRestartsInTheMiddleSpoilsNothing(t *testing.T) {
	t.Parallel()
	e := newExternal(t)
	q := openQueue(t, dial(t, e.url("")))
	want := bytesOf(8<<20, 1)
	restart := func() {
		e.stop()
		e.start()
	}
	if err := q.Stage(deadline(t), "a", &interrupted{r: bytes.NewReader(want), after: 4 << 20, do: restart}); err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		o, err := q.OpenStaged(deadline(t), "a")
		if err == nil {
			o.Close()
		}
		return err == nil
	}
	await(t, "the broker is back", there)
	wantStaged(t, q, "a", want)
	o, err := q.OpenStaged(deadline(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var got bytes.Buffer
	_, err = io.Copy(&got, &interrupted{r: o, after: 3 << 20, do: restart})
	if err == nil && !bytes.Equal(got.Bytes(), want) || errors.Is(err, queue.ErrNoObject) { // it may fail, but not lie
		t.Errorf("read %d bytes, error %v", got.Len(), err)
	}
	await(t, "the broker is back", there)
	wantStaged(t, q, "a", want)
}

// interrupted does something after so many bytes: once, or every so many.
type interrupted struct {
	r            io.Reader
	after, every int
	do           func()
}

func (r *interrupted) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.after -= n; r.after <= 0 && r.do != nil {
		r.do()
		if r.after += r.every; r.every == 0 {
			r.do = nil
		}
	}
	return n, err
}

func TestReadingAnObjectThatVanishesSaysSo(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if err := s.Stage(deadline(t), "a", bytes.NewReader(bytesOf(12<<20, 1))); err != nil {
		t.Fatal(err)
	}
	o, err := s.OpenStaged(deadline(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	_, err = io.Copy(io.Discard, &interrupted{r: o, after: 1, do: func() {
		if err := s.Unstage(context.Background(), "a"); err != nil {
			t.Error(err)
		}
	}})
	if !errors.Is(err, queue.ErrNoObject) {
		t.Errorf("error %v", err)
	}
}

// TestMemoryStaysFlatWhateverTheObjectsSize writes and reads an object that is many times as large as what may be held of it, by
// us and by a broker in the same process.
func TestMemoryStaysFlatWhateverTheObjectsSize(t *testing.T) { // not parallel: the heap is everybody's
	const size, most = 300 << 20, 80 << 20
	s := newStore(t)
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak := live(), uint64(0)
	measured := func(r io.Reader) io.Reader {
		return &interrupted{r: r, after: 32 << 20, every: 32 << 20, do: func() { peak = max(peak, live()) }}
	}
	source := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), size) }
	if err := s.Stage(deadline(t), "a", measured(source())); err != nil {
		t.Fatal(err)
	}
	t.Logf("writing: %d MB more than before", (int64(peak)-int64(before))>>20)
	o, err := s.OpenStaged(deadline(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	h := sha256.New()
	if n, err := io.Copy(h, measured(o)); err != nil || n != size || hex.EncodeToString(h.Sum(nil)) != string(o.Digest) {
		t.Errorf("read %d bytes, error %v", n, err)
	}
	t.Logf("and reading: %d MB", (int64(peak)-int64(before))>>20)
	if peak > before+most {
		t.Errorf("it took %d MB of memory", (peak-before)>>20)
	}
}

// BenchmarkStage measures the way of a file into the bucket and out of it again, on a broker that syncs every write, and how many
// messages and bytes it takes there.
func BenchmarkStage(b *testing.B) {
	for _, size := range []int{20_000, 20 << 20, 300 << 20} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			server, err := embedded.Start(embedded.Options{Dir: b.TempDir(), Listen: embedded.Off, Sync: embedded.SyncAlways, Log: quiet})
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			conn, err := server.Connect()
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			q := openQueue(b, conn)
			content := bytesOf(size, 1)
			var in, out, gone time.Duration
			since := func(d *time.Duration, do func() error) {
				began := time.Now()
				if err := do(); err != nil {
					b.Fatal(err)
				}
				*d += time.Since(began)
			}
			for range b.N {
				since(&in, func() error { return q.Stage(b.Context(), "a", bytes.NewReader(content)) })
				state := lookUp(b, q, "OBJ_"+mediaBucket).CachedInfo().State
				b.ReportMetric(float64(state.Msgs), "messages")
				b.ReportMetric(float64(int(state.Bytes)-size), "B/more")
				since(&out, func() error {
					o, err := q.OpenStaged(b.Context(), "a")
					if err != nil {
						return err
					}
					defer o.Close()
					_, err = io.Copy(io.Discard, o)
					return err
				})
				since(&gone, func() error { return q.Unstage(b.Context(), "a") })
			}
			rate := func(d time.Duration) float64 { return float64(size) * float64(b.N) / 1e6 / d.Seconds() }
			b.ReportMetric(rate(in), "MB/s-in")
			b.ReportMetric(rate(out), "MB/s-out")
			b.ReportMetric(float64(gone.Microseconds())/1000/float64(b.N), "ms-removal")
		})
	}
}
