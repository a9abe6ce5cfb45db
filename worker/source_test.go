package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// staged writes a file and submits it with its bytes.
func (r *rig) staged(name string) file {
	r.t.Helper()
	path := write(r.t, filepath.Join(r.dir, name), "the content of "+name)
	content, err := os.ReadFile(path)
	must(r.t, err)
	return r.submitDrop(path, dropOf(r.t, path), string(content), func(context.Context) (io.ReadCloser, error) { return os.Open(path) })
}

// object makes an object of somebody else's and submits it.
func (r *rig) object(name string) file {
	r.t.Helper()
	content := "the content of " + name
	_, err := r.bucket("theirs").PutString(deadline(r.t), name, content)
	must(r.t, err)
	return r.submitDrop("", queue.Drop{URI: queue.ObjectURI("theirs", name), Name: name, QueuedAt: now()}, content, nil)
}

func (r *rig) submitDrop(path string, d queue.Drop, content string, open func(context.Context) (io.ReadCloser, error)) file {
	r.t.Helper()
	f := file{path: path, Submission: queue.Submission{
		Drop: d, Digest: digestOf(content), Size: int64(len(content)), ContentType: "image/jpeg", Model: "AC-1", Bytes: open,
	}}
	f.Drop.ID = queue.DropIDOf(d.URI, d.File, f.Digest, f.Model)
	_, err := r.queue.Submit(deadline(r.t), f.Submission)
	must(r.t, err)
	return f
}

func (r *rig) bucket(name string) jetstream.ObjectStore {
	r.t.Helper()
	js, err := jetstream.New(r.conn.Conn)
	must(r.t, err)
	bucket, err := js.ObjectStore(deadline(r.t), name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = js.CreateObjectStore(deadline(r.t), jetstream.ObjectStoreConfig{Bucket: name})
	}
	must(r.t, err)
	return bucket
}

// wantNothingStaged waits until the staging bucket is empty.
func (r *rig) wantNothingStaged() {
	r.t.Helper()
	r.await("the bucket is empty", func() bool {
		js, err := jetstream.New(r.conn.Conn)
		must(r.t, err)
		s, err := js.Stream(deadline(r.t), "OBJ_authenta-media")
		must(r.t, err)
		return s.CachedInfo().State.Msgs == 0
	})
}

// TestAStagedFileIsUploadedWhateverBecomesOfIt has a file damaged in every way after it was staged: what was hashed is judged.
func TestAStagedFileIsUploadedWhateverBecomesOfIt(t *testing.T) {
	t.Parallel()
	for _, v := range vices {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := r.staged("a.jpg")
			v.do(t, a.path)
			r.run()
			r.wantAnswer(a, "verdict")
			r.wantPaidOnce(a)
			r.wantNothingStaged()
		})
	}
}

func TestAnObjectOfOthersIsUploadedAndLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.object("folder/a b.jpg")
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
	if _, err := r.bucket("theirs").GetInfo(deadline(t), "folder/a b.jpg"); err != nil {
		t.Errorf("it is not there any more: %v", err)
	}
}

// TestAnObjectThatIsNotWhatWasHashedFailsWithoutACall is about objects that vanish or change after they were submitted.
func TestAnObjectThatIsNotWhatWasHashedFailsWithoutACall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		submit func(r *rig) file
		do     func(r *rig, f file) error
		reason queue.Reason
		says   []string
	}{
		{"staged, and gone with its file", func(r *rig) file { return r.staged("a.jpg") }, func(r *rig, f file) error {
			return errors.Join(os.Remove(f.path), r.queue.Unstage(context.Background(), string(f.Drop.ID)))
		}, queue.Unreadable, []string{"no such file", "staged copy is gone"}},
		{"staged, and replaced by the same size", func(r *rig) file { return r.staged("a.jpg") }, func(r *rig, f file) error {
			_, err := r.bucket("authenta-media").PutString(context.Background(), string(f.Drop.ID), "THE content of a.jpg")
			return errors.Join(os.Remove(f.path), err)
		}, queue.Changed, []string{"another content"}},
		{"removed", func(r *rig) file { return r.object("a.jpg") }, func(r *rig, _ file) error {
			return r.bucket("theirs").Delete(context.Background(), "a.jpg")
		}, queue.Unreadable, []string{"nats-object://theirs/a.jpg is gone"}},
		{"replaced", func(r *rig) file { return r.object("a.jpg") }, func(r *rig, _ file) error {
			_, err := r.bucket("theirs").PutString(context.Background(), "a.jpg", "something else")
			return err
		}, queue.Changed, []string{"nats-object://theirs/a.jpg has another content"}},
		{"without its bucket", func(r *rig) file { return r.object("a.jpg") }, func(r *rig, _ file) error {
			_ = r.bucket("theirs")
			js, err := jetstream.New(r.conn.Conn)
			return errors.Join(err, js.DeleteObjectStore(context.Background(), "theirs"))
		}, queue.Unreadable, []string{"is gone"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			f := c.submit(r)
			must(t, c.do(r, f))
			r.run()
			r.wantAnswer(f, string(c.reason))
			r.wantCalls(sandbox.OpCreate, 0)
			for _, text := range c.says {
				if got := r.failure(f).Message; !strings.Contains(got, text) {
					t.Errorf("message %q does not say %q", got, text)
				}
			}
		})
	}
}

// TestACopyIsComparedWithWhatWasHashed does not rely on what a store says of an object.
func TestACopyIsComparedWithWhatWasHashed(t *testing.T) {
	t.Parallel()
	if _, err := spool(strings.NewReader("another"), digestOf(content)); !errors.Is(err, errOther) {
		t.Errorf("error %v", err)
	}
	s, err := spool(strings.NewReader(content), digestOf(content))
	must(t, err)
	defer s.Close()
	got, err := io.ReadAll(s)
	if err != nil || string(got) != content || !s.copied || s.altered(queue.Job{Digest: "whatever"}) {
		t.Errorf("%q, copied %t, error %v", got, s.copied, err)
	}
	if _, err := os.Stat(s.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy has a name: %v", err)
	}
}

func TestACopyThatFindsNoRoomIsNoFaultOfTheFile(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err) // not on this system
	}
	defer full.Close()
	err = copyInto(full, strings.NewReader(content))
	if err == nil || !strings.Contains(err.Error(), "TMPDIR") || !strings.Contains(err.Error(), "no room") {
		t.Errorf("error %v", err)
	}
	broken := errors.New("the broker is gone")
	if err := copyInto(full, io.MultiReader(bytes.NewReader(nil), badReader{broken})); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type badReader struct{ err error }

func (b badReader) Read([]byte) (int, error) { return 0, b.err }

// TestAJobWaitsUntilItsCopyCanBeMade has neither the broker nor the folder for copies at hand, and then both.
func TestAJobWaitsUntilItsCopyCanBeMade(t *testing.T) {
	r := newRig(t) // not parallel: the environment is everybody's
	dir := filepath.Join(t.TempDir(), "tmp")
	t.Setenv("TMPDIR", dir)
	a := r.staged("a.jpg")
	must(t, os.Remove(a.path))
	s, fault, err := r.worker.fetch(deadline(t), r.job(a), queue.Fault{})
	if err == nil || fault != nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("source %v, fault %v, error %v", s, fault, err)
	}
	must(t, os.Mkdir(dir, 0o700))
	cut, cancel := context.WithCancel(deadline(t))
	cancel()
	if s, fault, err := r.worker.fetch(cut, r.job(a), queue.Fault{}); err == nil || fault != nil {
		t.Errorf("without the broker: source %v, fault %v, error %v", s, fault, err)
	}
	r.run()
	r.wantAnswer(a, "verdict")
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("copies are left: %v, error %v", left, err)
	}
}

// TestNoCopyIsMadeWhileTheGateIsClosed has a job whose object is gone: who looked for it would fail the job.
func TestNoCopyIsMadeWhileTheGateIsClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.object("a.jpg")
	must(t, r.bucket("theirs").Delete(deadline(t), "a.jpg"))
	job := r.job(a)
	for _, why := range []control.Why{control.Quota, control.Spent, control.Credits} {
		r.refuse(r.cluster.Uploads, control.Create, why)
		r.wantClosedFor(r.cluster.Uploads, why)
		if _, fault, settled := r.worker.open(deadline(t), job); settled == nil || fault != nil {
			t.Errorf("%s: settled as %v, with fault %v", why, settled, fault)
		}
		must(t, r.cluster.Uploads.Resume(deadline(t)))
		r.await("the gate is open", func() bool { return !r.cluster.Uploads.State().Paused() })
	}
	if _, fault, settled := r.worker.open(deadline(t), job); settled != nil || fault == nil {
		t.Errorf("open: settled as %v, with fault %v", settled, fault)
	}
}

// TestACopyThatWasSentIsNotTakenForTheFileThatWasOverwritten has the process go down in the middle of a PUT, whose bytes have
// arrived, and the file overwritten in its place before. What was sent is a copy: it need not be paid for again.
func TestACopyThatWasSentIsNotTakenForTheFileThatWasOverwritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.staged("a.jpg")
	write(t, a.path, "THE CONTENT OF A.JPG")
	r.Faults(once(sandbox.OpPut, sandbox.CutAfter))
	stop := r.run()
	r.await("the bytes have arrived", func() bool { return r.Ledger().Total(sandbox.OpPut) == 1 })
	stop()
	r.worker = New(r.options) // which remembers nothing
	r.run()
	r.wantAnswer(a, "verdict")
	r.wantPaidOnce(a)
	r.wantCalls(sandbox.OpPut, 1)
	if !r.job(a).Copied {
		t.Error("the record does not say that a copy was sent")
	}
}
