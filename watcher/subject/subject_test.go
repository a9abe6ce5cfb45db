package subject

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/queue"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

func readAll(r io.Reader) string {
	data, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// picture is a JPEG by its beginning, and another for each n.
func picture(n int) []byte { return fmt.Appendf([]byte("\xff\xd8\xff\xe0"), "picture %d", n) }

func video(n int) []byte {
	return fmt.Appendf([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), "video %d", n)
}

func digest(data []byte) queue.Digest {
	sum := sha256.Sum256(data)
	return queue.Digest(hex.EncodeToString(sum[:]))
}

func TestMediaInAMessageAreJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take()
	w.judge()
	id := w.publish(picture(1), "Content-Type", "image/jpeg", "Name", "a.jpg", "Meta-Case", "7 & 8", "meta-desk", "night")
	v := w.verdict(id)
	if v.Name != "a.jpg" || v.Digest != digest(picture(1)) || v.Model != "AC-1" || v.ContentType != "image/jpeg" || v.Size != int64(len(picture(1))) ||
		string(v.Meta["Case"]) != `"7 & 8"` && string(v.Meta["Case"]) != `"7 \u0026 8"` || string(v.Meta["desk"]) != `"night"` || !strings.HasPrefix(v.URI, "nats-message://authenta-intake/") {
		t.Errorf("verdict %+v", v)
	}
	bare := w.verdict(w.publish(video(1))) // no header: its bytes tell
	if bare.Model != "DF-1" || bare.Name != string(bare.ID) {
		t.Errorf("verdict %+v", bare)
	}
	again := w.verdict(w.publish(picture(1), "Content-Type", "application/octet-stream"))
	if !again.Cached {
		t.Errorf("verdict %+v", again)
	}
	other := w.verdict(w.publish(picture(1), "Content-Type", "image/jpeg", "Model", "FD-1"))
	if other.Model != "FD-1" || other.Cached {
		t.Errorf("verdict %+v", other)
	}
	w.wantNothingStaged()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reads[id] != string(picture(1)) {
		t.Errorf("staged %q", w.reads[id])
	}
}

func TestReferencesAreFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take()
	w.judge()
	path := w.write("sub dir/a.jpg", picture(1))
	v := w.verdict(w.refer(map[string]any{"uri": queue.FileURI(path), "meta": map[string]any{"case": 17, "tags": []string{"x"}}}))
	if v.URI != queue.FileURI(path) || v.Name != "a.jpg" || string(v.Meta["case"]) != "17" || string(v.Meta["tags"]) != `["x"]` {
		t.Errorf("verdict %+v", v)
	}

	bucket, err := w.js.CreateObjectStore(w.deadline(), jetstream.ObjectStoreConfig{Bucket: "THEIRS"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.PutBytes(w.deadline(), "in/b 2.mp4", video(2)); err != nil {
		t.Fatal(err)
	}
	v = w.verdict(w.refer(map[string]any{"uri": "nats-object://THEIRS/in/b%202.mp4", "name": "../../evening news.mp4"}))
	if v.Name != "evening news.mp4" || v.Digest != digest(video(2)) || v.Model != "DF-1" {
		t.Errorf("verdict %+v", v)
	}
	if info, err := bucket.GetInfo(w.deadline(), "in/b 2.mp4"); err != nil || info.Size == 0 { // it is its owner's
		t.Errorf("%+v, %v", info, err)
	}

	address := w.serve("/c.jpg", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(picture(3)) })
	id := w.refer(map[string]any{"uri": address + "?signature=s3cr3t", "model": "FD-1"})
	v = w.verdict(id)
	if v.URI != address || v.Name != "c.jpg" || v.Digest != digest(picture(3)) || v.Model != "FD-1" {
		t.Errorf("verdict %+v", v)
	}

	uri, err := w.PutIn(w.deadline(), bytes.NewReader(picture(4)))
	if err != nil {
		t.Fatal(err)
	}
	w.verdict(w.refer(map[string]any{"uri": uri}))
	w.wantNothingStaged()
}

// TestABadMessageFailsOnce has every kind of mistake, and a reason for each that its maker understands.
func TestABadMessageFailsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take(func(o *Options) { o.MaxSize = 1000 })
	outside := filepath.Join(t.TempDir(), "a.jpg")
	if err := os.WriteFile(outside, picture(1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(w.dir, "link.jpg")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	text, large := w.write("a.txt", []byte("a note")), w.write("large.jpg", append(picture(2), make([]byte, 1000)...))
	small := w.write("small.jpg", picture(1))
	empty := w.write("empty.jpg", nil)
	staged := "nats-object://" + w.MediaBucket() + "/"
	if err := w.Stage(w.deadline(), "another's", bytes.NewReader(picture(9))); err != nil {
		t.Fatal(err)
	}
	web := func(path string, h http.HandlerFunc) string { return w.serve(path, h) }
	redirect := web("/away", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://elsewhere.example/a.jpg", http.StatusFound)
	})
	endless := web("/endless", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write(picture(1))
		for chunk := make([]byte, 64<<10); ; {
			if _, err := rw.Write(chunk); err != nil {
				return
			}
		}
	})
	note := web("/note", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("a note")) })
	file := func(path string) string { return fmt.Sprintf(`{"uri": %q}`, queue.FileURI(path)) }
	ref := func(uri string) string { return fmt.Sprintf(`{"uri": %q}`, uri) }
	for _, c := range []struct {
		message string
		header  string
		reason  queue.Reason
		says    string
	}{
		{"", "", queue.Invalid, "empty"},
		{"hello", "", queue.Invalid, "neither media nor JSON"},
		{`{"uri":`, "", queue.Invalid, "JSON"},
		{`["file:///a"]`, "", queue.Invalid, "JSON"},
		{`{}`, "", queue.Invalid, "no uri"},
		{`{"uri": 7}`, "", queue.Invalid, "JSON"},
		{`{"uri": "a.jpg"}`, "", queue.Invalid, "https://"},
		{`{"uri": "ftp://example.com/a.jpg"}`, "", queue.Invalid, "https://"},
		{`{"uri": "http://example.com/a.jpg"}`, "", queue.Invalid, "https://"},
		{`{"uri": "file://host/a.jpg"}`, "", queue.Invalid, "file"},
		{`{"uri": "nats-object://THEIRS"}`, "", queue.Invalid, "nats-object://bucket/name"},
		{fmt.Sprintf(`{"uri": %q, "model": "DF-99"}`, queue.FileURI(small)), "", queue.Invalid, "DF-99"},
		{fmt.Sprintf(`{"uri": %q, "model": "a model"}`, queue.FileURI(small)), "", queue.Invalid, "a model"},
		{fmt.Sprintf(`{"uri": %q, "model": "DF-1"}`, queue.FileURI(small)), "", queue.Unsupported, "DF-1"},
		{fmt.Sprintf(`{"uri": %q, "name": %q}`, queue.FileURI(small), strings.Repeat("n", 2000)), "", queue.Invalid, "name"},
		{fmt.Sprintf(`{"uri": %q, "meta": {"a": %q}}`, queue.FileURI(small), strings.Repeat("n", 20_000)), "", queue.Invalid, "meta"},
		{ref("https://example.com/" + strings.Repeat("n", 5000)), "", queue.Invalid, "uri"},
		{file(outside), "", queue.Invalid, "INGEST_ROOTS"},
		{file(w.dir + "/../" + filepath.Base(filepath.Dir(outside)) + "/a.jpg"), "", queue.Invalid, "INGEST_ROOTS"},
		{file(w.dir), "", queue.Invalid, "INGEST_ROOTS"},
		{file(filepath.Join(w.dir, "link.jpg")), "", queue.Unreadable, "link.jpg"},
		{file(filepath.Join(w.dir, "link", "a.jpg")), "", queue.Unreadable, "link"},
		{file(filepath.Join(w.dir, "sub")), "", queue.Unreadable, "no such file"},
		{file(text), "", queue.Unsupported, "text/plain"},
		{file(empty), "", queue.Unsupported, "empty"},
		{file(large), "", queue.TooLarge, "INGEST_MAX_SIZE"},
		{ref("nats-object://NONE/a.jpg"), "", queue.Unreadable, "NONE"},
		{ref(staged + "another%27s"), "", queue.Invalid, "others"},
		{ref(staged + "submit/none"), "", queue.Unreadable, "no such object"},
		{ref("https://other.example/a.jpg"), "", queue.Invalid, "INGEST_URL_HOSTS"},
		{ref(w.web.URL + "/none"), "", queue.Unreadable, "404"},
		{ref(redirect), "", queue.Invalid, "elsewhere.example"},
		{ref(endless), "", queue.TooLarge, "INGEST_MAX_SIZE"},
		{ref(note), "", queue.Unsupported, "text/plain"},
		{"plain words", "text/plain", queue.Unsupported, "text/plain"},
		{string(append(picture(5), make([]byte, 1000)...)), "image/jpeg", queue.TooLarge, "INGEST_MAX_SIZE"},
	} {
		header := []string{}
		if c.header != "" {
			header = append(header, "Content-Type", c.header)
		}
		id := w.publish([]byte(c.message), header...)
		t.Run(fmt.Sprintf("%.60q", c.message), func(t *testing.T) {
			f := w.failure(id)
			if f.Reason != c.reason || !strings.Contains(f.Message, c.says) {
				t.Errorf("%s: %s; want %s with %q", f.Reason, f.Message, c.reason, c.says)
			}
			if strings.Contains(f.Message, "\n") {
				t.Errorf("more than a line: %q", f.Message)
			}
		})
	}
	w.settled()
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[queue.DropID]int{}
	for _, f := range w.failures {
		if seen[f.ID]++; seen[f.ID] > 1 {
			t.Errorf("%s has failed %d times", f.ID, seen[f.ID])
		}
	}
	if o, err := w.OpenStaged(w.deadline(), "another's"); err != nil {
		t.Errorf("somebody else's copy was removed: %v", err)
	} else {
		o.Close()
	}
}

func TestEveryModelHasItsOwnDropAndBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take(func(o *Options) { o.Models.Images = append(o.Models.Images, "FD-1") })
	w.judge()
	address := w.serve("/a.jpg", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(picture(1)) })
	for n, id := range []queue.DropID{w.refer(map[string]any{"uri": address}), w.publish(picture(2))} {
		if v := w.verdict(id); len(v.With) != 1 || v.With[0] != id+"-FD-1" {
			t.Errorf("with %v", v.With)
		}
		w.verdict(id + "-FD-1")
		w.mu.Lock()
		for _, id := range []queue.DropID{id, id + "-FD-1"} {
			if w.reads[id] != string(picture(n+1)) {
				t.Errorf("%s was staged as %q", id, w.reads[id])
			}
		}
		w.mu.Unlock()
	}
	w.wantNothingStaged()
}

func TestAServerThatIsDownForAWhileIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take()
	w.judge()
	var asked atomic.Int32
	address := w.serve("/a.jpg", func(rw http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = rw.Write(picture(1))
	})
	w.verdict(w.refer(map[string]any{"uri": address}))
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// TestWhatMayBeASecretInAnAddressIsNotTold has it in addresses that are mistaken in other ways, too.
func TestWhatMayBeASecretInAnAddressIsNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take()
	for _, uri := range []string{
		"https://other.example/a.jpg?sig=s3cr3t", "https://other.example/%zz.jpg?sig=s3cr3t", " https://other.example/a.jpg?sig=s3cr3t",
		"http://other.example/a.jpg?sig=s3cr3t", "s3://key:s3cr3t@bucket/a.jpg", "https:other.example?sig=s3cr3t", "https://u:s3cr3t@other.example:x/",
		"https://other.example:s3cr3t/a.jpg", "a.jpg?sig=s3cr3t", "https://other.example/a.jpg?sig=s3cr3t#" + strings.Repeat("n", 5000),
	} {
		f := w.failure(w.refer(map[string]any{"uri": uri}))
		if f.Reason != queue.Invalid || strings.Contains(f.URI+f.Name+f.Message, "s3cr3t") {
			t.Errorf("%.60s: %+v", uri, f)
		}
	}
}
