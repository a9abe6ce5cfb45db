package worker

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// on makes the rig's worker one on a machine.
func on(host string) []setting {
	return []setting{options(func(o *Options) { o.Host = host }), rates(func(o *control.Options) { o.Host = host })}
}

// machine runs another worker, on another machine.
func (r *rig) machine(host string) (stop func()) {
	r.t.Helper()
	rates := r.rates
	rates.Host = host
	o := r.options
	o.Host, o.Cluster = host, control.New(rates)
	leave := background(r.t, "cluster of "+host, o.Cluster.Run)
	must(r.t, o.Cluster.Synced(deadline(r.t)))
	r.await("the others know of it", func() bool { return r.cluster.Works(host) })
	end := background(r.t, "worker on "+host, New(o).Run)
	return func() {
		end()
		leave()
	}
}

// taken submits a file that was on a machine, and is not seen by anybody before it is brought.
func (r *rig) taken(host, name string) (f file, bring func()) {
	r.t.Helper()
	path := write(r.t, filepath.Join(r.dir, name), "the content of "+strings.Trim(name, "0123456789"))
	f = file{path: path, Submission: queue.Submission{
		Drop: dropOf(r.t, path), Digest: digestOf("the content of " + strings.Trim(name, "0123456789")), ContentType: "image/jpeg", Model: "AC-1",
	}}
	f.Drop.Host, f.Size = host, f.Drop.File.Size
	f.Drop.ID = queue.DropIDOf(f.Drop.URI, f.Drop.File, f.Digest, f.Model)
	must(r.t, os.Rename(path, path+".away"))
	_, err := r.queue.Submit(deadline(r.t), f.Submission)
	must(r.t, err)
	return f, func() { must(r.t, os.Rename(path+".away", path)) }
}

func (r *rig) wantWaitingFor(host string, n int) {
	r.t.Helper()
	r.await("so much waits for "+host, func() bool {
		w, err := r.queue.Waiting(deadline(r.t))
		return err == nil && w[host] == n
	})
}

func TestAFileWaitsForAWorkerOnItsMachine(t *testing.T) {
	t.Parallel()
	r := newRig(t, on("b")...)
	one, bringOne := r.taken("a", "one")
	two, bringTwo := r.taken("a", "two")
	r.run()
	r.wantWaitingFor("a", 2)
	if r.answered() > 0 || r.Ledger().Creates > 0 {
		t.Errorf("%d answered, %v", r.answered(), r.Ledger().Calls)
	}
	bringOne()
	bringTwo()
	r.machine("a")
	r.wantAnswer(one, "verdict")
	r.wantAnswer(two, "verdict")
	r.wantPaidOnce(one, two)
	r.wantIdle()
}

func TestAFileIsGoneOnlyWhenItsMachineSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, on("b")...)
	gone, _ := r.taken("a", "gone")
	r.run()
	r.wantWaitingFor("a", 1)
	if got := r.answer(gone); got != "" {
		t.Errorf("answered with %s by who cannot know", got)
	}
	r.machine("a")
	r.wantAnswer(gone, "unreadable")
	if said := r.failure(gone).Message; !strings.HasSuffix(said, "(on a)") {
		t.Errorf("said %q", said)
	}
	r.wantCalls(sandbox.OpCreate, 0)
	r.wantIdle()
}

func TestACopyOnAnotherMachineIsUsed(t *testing.T) {
	t.Parallel()
	r := newRig(t, on("a")...)
	gone, _ := r.taken("a", "copy1")
	there, bring := r.taken("b", "copy2")
	bring()
	must(t, os.Rename(there.path, there.path+".b"))
	r.run()
	r.wantWaitingFor("b", 1)
	must(t, os.Rename(there.path+".b", there.path))
	r.machine("b")
	r.wantAnswer(gone, "verdict")
	r.wantAnswer(there, "verdict")
	r.wantPaidOnce(there)
	r.wantIdle()
}

func TestWithoutMachinesAFileThatIsGoneIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone, _ := r.taken("a", "gone")
	r.run()
	r.wantAnswer(gone, "unreadable")
	if said := r.failure(gone).Message; strings.Contains(said, "(on") {
		t.Errorf("said %q", said)
	}
}

// Those for this machine and those for any are uploaded in turn, as many at a time as was said.
func TestFilesForThisMachineAndOthersShareTheUploads(t *testing.T) {
	t.Parallel()
	const uploads, each = 2, 8
	var now, most atomic.Int32
	r := newRig(t, append(on("a"), options(func(o *Options) { o.Uploads = uploads }))...)
	pair := make(chan bool)
	r.Faults(always(sandbox.OpPut, func(w http.ResponseWriter, req *http.Request, next http.HandlerFunc) {
		n := now.Add(1)
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
		select { // two at a time there are, or the test would not end
		case pair <- true:
		case <-pair:
		}
		now.Add(-1)
		next(w, req)
	}))
	var own, all []file
	for i := range each {
		f, bring := r.taken("a", string(rune('a'+i))+" own")
		own = append(own, f)
		bring()
	}
	stop := background(t, "a machine that passes all on", func(ctx context.Context) error {
		return r.queue.Work(ctx, queue.Pool{Stage: queue.Upload, Slots: 4, Ready: context.Context.Err, Handle: func(context.Context, *queue.Task) queue.Settlement {
			return queue.Pass("b", "a")
		}})
	})
	r.wantWaitingFor("a", each)
	stop()
	for i := range each {
		all = append(all, r.file(string(rune('a'+i))+" all"))
	}
	r.run()
	for i := range each {
		r.wantAnswer(own[i], "verdict")
		r.wantAnswer(all[i], "verdict")
	}
	r.wantPaidOnce(append(own, all...)...)
	if n := most.Load(); n > uploads {
		t.Errorf("%d uploads at a time, want %d", n, uploads)
	}
}
