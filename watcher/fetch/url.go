package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"unicode"

	"github.com/authenta/authenta-ingest/authenta/netkind"
)

// errNoURL does not say what is wrong with it: url.Parse tells by quoting, and quotes passwords.
var errNoURL = errors.New("it is no URL")

func parse(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, fmt.Errorf("the URL has %d bytes, more than %d", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errNoURL
	}
	return u, nil
}

// target is u as it is asked for, if it may be.
func (f *Fetcher) target(u *url.URL) (*url.URL, error) {
	t, err := canonical(u)
	if err != nil {
		return nil, err
	}
	p, err := placeOf(t)
	if err != nil {
		return nil, err
	}
	if !allows(f.hosts, p) {
		return nil, fmt.Errorf("%s is not in %s", t.Host, hostsSetting)
	}
	if a, err := netip.ParseAddr(p.host); err == nil && !f.private {
		return t, checkPublic(a)
	}
	return t, nil
}

// checkPublic refuses an address that is not one of the Internet.
func checkPublic(a netip.Addr) error {
	kind := netkind.Of(a)
	if kind == netkind.Public {
		return nil
	}
	return &addressError{a, kind}
}

// An addressError says that a URL leads where it must not.
type addressError struct {
	address netip.Addr
	kind    netkind.Kind
}

func (e *addressError) Error() string {
	return fmt.Sprintf("it leads to %s, a %s address, and only public ones are allowed while %s is not set",
		e.address, e.kind, privateSetting)
}

// canonical returns u with its host in the one form that it has here, and without its fragment. It refuses what is never
// fetched, whatever the options say.
func canonical(u *url.URL) (*url.URL, error) {
	switch {
	case u.Scheme != "https":
		return nil, fmt.Errorf("it has the scheme %.20q, and only https is fetched", u.Scheme)
	case u.User != nil:
		return nil, errors.New("it has a user name in it: that is sent nowhere")
	case u.Host == "" || u.Opaque != "":
		return nil, errors.New("it names no host")
	}
	p, err := placeOf(u)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: u.Scheme, Host: p.String(), Path: u.Path, RawPath: u.RawPath,
		RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}, nil
}

// Redacted is a URL without what may be secret in it: user, query and fragment. It is fit for a log.
func Redacted(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Opaque != "", u.Host == "":
		return "(no URL)"
	}
	return clean((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String())
}

// nameIn is the name that a URL's path ends in, fit to be a file's; "" if there is none.
func nameIn(u *url.URL) string {
	if strings.HasSuffix(u.Path, "/") {
		return ""
	}
	name := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, path.Base(u.Path))
	name = strings.TrimSpace(name)
	if name == "." || name == ".." || name == "/" {
		return ""
	}
	return cut(name, maxName)
}

const (
	maxName    = 255 // bytes, as file systems have it
	maxMessage = 300 // bytes of a text from outside
)

// clean makes a text that came from outside one line that is not long.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, text)
	if len(text) > maxMessage {
		return cut(text, maxMessage) + "…"
	}
	return text
}

// cut returns at most n bytes of s, and no part of a character.
func cut(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// contentEncoding is what a body was encoded with; "" if with nothing.
func contentEncoding(h http.Header) string {
	for _, v := range h.Values("Content-Encoding") {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" && !strings.EqualFold(e, "identity") {
				return cut(e, 20)
			}
		}
	}
	return ""
}
