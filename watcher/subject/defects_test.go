package subject

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

func (w *world) taker(change ...func(*Options)) *Taker {
	w.t.Helper()
	t, err := New(w.options(w.Queue, change...))
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

// reference is a message in hand.
func reference(id queue.DropID, path string, tries int, at time.Time) queue.Message {
	data, _ := json.Marshal(map[string]string{"uri": queue.FileURI(path)})
	return queue.Message{ID: id, URI: "nats-message://x/1", Data: data, At: at, Tries: tries}
}

func wantWaits(t *testing.T, err error) {
	t.Helper()
	if later, ok := errors.AsType[*notYet](err); !ok || later.after <= 0 {
		t.Errorf("%v: want it to wait", err)
	}
}

// A reference may have waited on its stream for days while no process ran at all. That says nothing of the machine that sees its file.
func TestAnOldReferenceWaitsForItsMachineAsAFreshOneDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taker := w.taker()
	if _, err := w.Intake(w.deadline(), "other", queue.Named{Roots: []string{"/on/other"}}); err != nil {
		t.Fatal(err)
	}
	m := reference("m-1", "/on/other/a.jpg", 1, time.Now().Add(-5*awayTime))
	_, err := taker.decide(w.deadline(), m)
	wantWaits(t, err)
	taker.tries.made[m.ID].first = time.Now().Add(-2 * awayTime)
	if r, err := taker.decide(w.deadline(), m); err != nil || r.Refusal == nil || r.Refusal.Fault.Reason != queue.Unreadable {
		t.Errorf("%+v, %v", r, err)
	}
}

// After a reboot, the daemon may be there before the disk is.
func TestAReferenceIntoAFolderThatIsNotThereWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := filepath.Join(w.dir, "mount")
	path := w.write("mount/a.jpg", picture(1))
	taker := w.taker(func(o *Options) { o.Roots = []string{root} })
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	m := reference("m-1", path, 1, time.Now())
	for range 2 * len(missing) {
		_, err := taker.decide(w.deadline(), m)
		wantWaits(t, err)
	}
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
	if r, err := taker.decide(w.deadline(), m); err != nil || len(r.Submissions) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMessagesThatOthersHaveTakenInAreForgotten(t *testing.T) {
	t.Parallel()
	var tried tries
	for i := range manyTried {
		tried.add(queue.DropID(fmt.Sprint(i)))
	}
	for _, m := range tried.made {
		m.last = time.Now().Add(-2 * comesBack)
	}
	tried.made["7"].last = time.Now()
	if n := tried.add("7"); n != 2 || len(tried.made) != 1 {
		t.Errorf("%d tries, %d messages", n, len(tried.made))
	}
}

// An object whose store says something else of it than what is there will not be another one the next time.
func TestADamagedObjectIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take()
	bucket, err := w.js.CreateObjectStore(w.deadline(), jetstream.ObjectStoreConfig{Bucket: "THEIRS"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := bucket.PutBytes(w.deadline(), "a.jpg", picture(1))
	if err != nil {
		t.Fatal(err)
	}
	describe := func(name string, data []byte) {
		m := nats.NewMsg("$O.THEIRS.M." + base64.URLEncoding.EncodeToString([]byte(name)))
		m.Data = data
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		if _, err := w.js.PublishMsg(w.deadline(), m); err != nil {
			t.Fatal(err)
		}
	}
	info.Size++
	data, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	describe("a.jpg", data)
	describe("b.jpg", []byte("{"))
	for _, name := range []string{"a.jpg", "b.jpg"} {
		f := w.failure(w.refer(map[string]any{"uri": queue.ObjectURI("THEIRS", name)}))
		if f.Reason != queue.Unreadable || !strings.Contains(f.Message, "damaged") {
			t.Errorf("%s: %s: %s", name, f.Reason, f.Message)
		}
	}
	w.settled()
}

func TestWhatIsNoMediaIsNotCalledEmptyBecauseItsServerDoesNotTellItsSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take()
	address := w.serve("/page", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte("<html><body>log in</body></html>"))
		rw.(http.Flusher).Flush()
	})
	if f := w.failure(w.refer(map[string]any{"uri": address})); f.Reason != queue.Unsupported || !strings.Contains(f.Message, "text/html") {
		t.Errorf("%s: %s", f.Reason, f.Message)
	}
}

// A drop that was refused as its file was altered before it was staged, and whose message is handed out again when its content has
// a verdict, keeps its answer.
func TestADropThatWasLostHasOneAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.judge()
	taker := w.taker(func(o *Options) { o.Stage = true })
	path := w.write("a.jpg", picture(1))
	ctx := w.deadline()
	m := reference("m-1", path, 1, time.Now())
	if _, err := taker.decided(ctx, m); err != nil {
		t.Fatal(err)
	}
	w.write("a.jpg", picture(2))
	m.Tries++
	if s := taker.handle(ctx, m); s.String() != queue.Done().String() {
		t.Fatal(s)
	}
	if f := w.failure(m.ID); f.Reason != queue.Changed {
		t.Errorf("%s: %s", f.Reason, f.Message)
	}
	other := reference("m-2", w.write("b.jpg", picture(1)), 1, time.Now())
	if s := taker.handle(ctx, other); s.String() != queue.Done().String() {
		t.Fatal(s)
	}
	w.verdict(other.ID)
	m.Tries++
	if s := taker.handle(ctx, m); s.String() != queue.Done().String() {
		t.Fatal(s)
	}
	last := reference("m-3", w.write("c.jpg", picture(1)), 1, time.Now())
	if s := taker.handle(ctx, last); s.String() != queue.Done().String() {
		t.Fatal(s)
	}
	w.verdict(last.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.verdicts {
		if v.ID == m.ID {
			t.Errorf("it has a failure and a verdict: %+v", v)
		}
	}
}

// That this process has too many files open says nothing of the one that it cannot open.
func TestTooManyOpenFilesRefuseNothing(t *testing.T) {
	t.Parallel()
	taker := &Taker{}
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		err = &os.PathError{Op: "open", Path: "/a", Err: err}
		if got := taker.fileError(context.Background(), queue.Message{}, "/a", err); got != err {
			t.Errorf("%v: %v", err, got)
		}
	}
}
