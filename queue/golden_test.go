package queue_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// goldenJob is a job that has everything a judged or failed one can have.
func goldenJob() queue.Job {
	j := judgement()
	return queue.Job{
		Key: "5e884898-DF-1", Digest: "5e884898", Size: 1048576, ContentType: "video/mp4", Model: "DF-1", Name: "clip-5e884898",
		State: queue.Judged,
		Drops: []queue.Drop{{
			ID: "0123456789abcdef01234567", URI: "file:///srv/inbox/clip.mp4", Name: "clip.mp4", Meta: meta("case", "7 & 8"),
			File:     queue.FileID{Device: 1, Inode: 2, Size: 1048576, ModTime: t1},
			Trace:    queue.Trace{Parent: parentA, State: "vendor=1"},
			QueuedAt: time.Date(2026, 1, 2, 8, 34, 5, 0, time.FixedZone("", 5*3600+1800)),
		}},
		MediaID: "692f406f9f68d4b70080bb80", Abandoned: []string{"692f406f9f68d4b70080bb7f"}, Attempts: 2,
		QueuedAt: t1, UploadedAt: t1.Add(time.Minute), EndedAt: t1.Add(2 * time.Minute),
		Judgement: &j,
	}
}

// head and the other lists are the contract's fields, in its order.
var (
	head         = []string{"id", "uri", "name", "meta", "sha256", "size", "content_type", "model", "mid"}
	verdictField = append(slices.Clone(head), "platform", "outcome", "confidence", "faces", "deepfakes", "participants",
		"result_url", "heatmap_url", "cached", "queued_at", "uploaded_at", "judged_at")
	failureField = append(slices.Clone(head), "reason", "code", "message", "retryable", "attempts", "failed_at")
)

func TestJobOnTheWire(t *testing.T) { golden(t, "job.json", goldenJob()) }

func TestVerdictOnTheWireHasTheContractsFields(t *testing.T) {
	j := goldenJob()
	data := golden(t, "verdict.json", queue.VerdictOf(j, j.Drops[0], platformURL, false))
	wantFields(t, data, verdictField)
	participants := decode[struct{ Participants []json.RawMessage }](t, data).Participants
	wantFields(t, participants[0], []string{"id", "fake", "confidence", "heatmap"})
}

func TestFailureOnTheWireHasTheContractsFields(t *testing.T) {
	j := goldenJob()
	j.State, j.Judgement, j.Stopped = queue.Failed, nil, queue.Uploaded
	j.Fault = &queue.Fault{Reason: queue.AnalysisFailed, Code: "FAILED", Message: "the platform could not judge it"}
	wantFields(t, golden(t, "failure.json", queue.FailureOf(j, j.Drops[0])), failureField)
}

// A reader may rely on these even where there is nothing to say.
func TestMetaIsAnObjectEvenWhenEmpty(t *testing.T) {
	j := goldenJob()
	j.Drops[0].Meta = nil
	if data := pretty(t, queue.VerdictOf(j, j.Drops[0], "", false)); !strings.Contains(data, `"meta": {}`) {
		t.Errorf("no empty meta in %s", data)
	}
}

func TestTimesOfTerminalMessagesAreUTC(t *testing.T) {
	j := goldenJob()
	v := queue.VerdictOf(j, j.Drops[0], "", false)
	if !v.QueuedAt.Equal(j.Drops[0].QueuedAt) || v.QueuedAt.Location() != time.UTC {
		t.Errorf("queued at %s", v.QueuedAt)
	}
}

func TestOnlySomeReasonsAreRetryable(t *testing.T) {
	for reason, want := range map[queue.Reason]bool{
		queue.Unsupported: false, queue.Rejected: false, queue.TooLarge: false,
		queue.AnalysisFailed: true, queue.Timeout: true, queue.Unreadable: true, queue.Changed: true,
	} {
		if reason.Retryable() != want {
			t.Errorf("%s: retryable %t", reason, !want)
		}
	}
}

// golden compares a value's JSON with a file, and the file read back with the value.
func golden[T any](t *testing.T, name string, v T) []byte {
	t.Helper()
	file := filepath.Join("testdata", name)
	got := pretty(t, v)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test -update writes it):\n%s\nwant:\n%s", file, got, want)
	}
	if again := pretty(t, decode[T](t, want)); again != string(want) {
		t.Errorf("%s read and written again:\n%s\nwant:\n%s", file, again, want)
	}
	return want
}

func wantFields(t *testing.T, data []byte, want []string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(decode[map[string]json.RawMessage](t, data)))
	if want = slices.Sorted(slices.Values(want)); !reflect.DeepEqual(got, want) {
		t.Errorf("fields\n%v, want\n%v", got, want)
	}
}
