package queue

import (
	"fmt"
	"net/url"
	"strings"
)

const objectScheme = "nats-object"

// ObjectURI returns the address of an object in a JetStream object store. Any name has one, and [ObjectName] gives it back.
func ObjectURI(bucket, name string) string {
	return (&url.URL{Scheme: objectScheme, Host: bucket, Path: "/" + name}).String()
}

// ObjectName returns the bucket and the name of a nats-object: URI. All behind the slash after the bucket is the name, slashes
// included; a ? or # in it has to be escaped.
func ObjectName(uri string) (bucket, name string, err error) {
	u, err := url.Parse(uri)
	if err == nil && (u.Scheme != objectScheme || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(uri, "#")) ||
		err == nil && (!bucketPattern.MatchString(u.Host) || len(u.Path) < 2 || len(u.Path)-1 > mostName) || err != nil {
		return "", "", fmt.Errorf("%q is not an address such as nats-object://bucket/name", uri)
	}
	return u.Host, u.Path[1:], nil
}
