package queue_test

import (
	"strings"
	"testing"

	"github.com/authenta/authenta-ingest/queue"
)

func TestObjectURIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ uri, bucket, name string }{
		{"nats-object://media/a.mp4", "media", "a.mp4"},
		{"nats-object://my_media-2/2026/11/a.mp4", "my_media-2", "2026/11/a.mp4"},
		{"nats-object://media/a%20b%3F%23%25.mp4", "media", "a b?#%.mp4"},
		{"nats-object://media/%2Fa//b/../c", "media", "/a//b/../c"},
		{"nats-object://media/caf%C3%A9", "media", "café"},
	} {
		bucket, name, err := queue.ObjectName(c.uri)
		if err != nil || bucket != c.bucket || name != c.name {
			t.Errorf("%s: bucket %q, name %q, error %v", c.uri, bucket, name, err)
		}
	}
	for _, uri := range []string{
		"", "media/a", "nats-object:", "nats-object://", "nats-object://media", "nats-object://media/", "nats-object:///a",
		"nats-object:media/a", "file:///media/a", "nats-object://media/a?b", "nats-object://media/a?", "nats-object://media/a#b",
		"nats-object://media/a#", "nats-object://me.dia/a", "nats-object://media:1/a", "nats-object://u@media/a",
		"nats-object://me*/a", "nats-object://%3E/a", "nats-object://media/%zz", "nats-object://media/" + strings.Repeat("a", 1001),
	} {
		if bucket, name, err := queue.ObjectName(uri); err == nil {
			t.Errorf("%q is taken for %q of bucket %q", uri, name, bucket)
		}
	}
}

func FuzzObjectURIsLeadBack(f *testing.F) {
	f.Add("media", "a b/c?#%.mp4")
	f.Add("m-1_X", "/..//\xff\x00")
	f.Fuzz(func(t *testing.T, bucket, name string) {
		uri := queue.ObjectURI(bucket, name)
		b, n, err := queue.ObjectName(uri)
		if err == nil && (b != bucket || n != name) {
			t.Errorf("%q of %q became %s, and that %q of %q", name, bucket, uri, n, b)
		}
		plain := bucket != "" && strings.Trim(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if fits := plain && name != "" && len(name) <= 1000; fits && err != nil {
			t.Errorf("%q of %q: %v", name, bucket, err)
		}
	})
}

func FuzzObjectName(f *testing.F) {
	f.Add("nats-object://media/a%2Fb")
	f.Fuzz(func(t *testing.T, uri string) {
		bucket, name, err := queue.ObjectName(uri)
		if err != nil {
			return
		}
		if b, n, err := queue.ObjectName(queue.ObjectURI(bucket, name)); err != nil || b != bucket || n != name {
			t.Errorf("%s: %q of %q, and then %q of %q, error %v", uri, name, bucket, n, b, err)
		}
	})
}
