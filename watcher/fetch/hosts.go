package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// CheckHosts returns every mistake in a list for Options.Hosts, joined, each on a line of its own and naming the entry.
func CheckHosts(list []string) error {
	_, err := parsePatterns(list)
	return err
}

// A place is a host in the one form that it has here, and a port of it.
type place struct {
	host string // a name in lower case without a dot at its end, or an address
	port uint16
}

const httpsPort = 443

// String is the place as a URL has it.
func (p place) String() string {
	if p.port != httpsPort {
		return net.JoinHostPort(p.host, strconv.Itoa(int(p.port)))
	}
	if strings.Contains(p.host, ":") {
		return "[" + p.host + "]"
	}
	return p.host
}

func placeOf(u *url.URL) (place, error) {
	host, err := canonicalHost(u.Hostname())
	if err != nil {
		return place{}, err
	}
	port, err := parsePort(u.Port())
	return place{host, port}, err
}

func parsePort(s string) (uint16, error) {
	if s == "" {
		return httpsPort, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("there is no port %.20q", s)
	}
	return uint16(n), nil
}

// canonicalHost is the one form of a host. What some resolvers take for an address, and others for a name, is neither.
func canonicalHost(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return "", fmt.Errorf("the address %s is of one network interface only", a)
		}
		return a.Unmap().String(), nil
	}
	name := strings.TrimSuffix(s, ".")
	if strings.ContainsFunc(name, func(r rune) bool { return r > 0x7f }) {
		return "", fmt.Errorf("write the host %.60q as the domain name system has it, xn--…", s)
	}
	name = strings.ToLower(name)
	labels := strings.Split(name, ".")
	if len(name) > 253 || slices.ContainsFunc(labels, func(l string) bool { return !isLabel(l) }) || isNumber(labels[len(labels)-1]) {
		return "", fmt.Errorf("%.60q is no host", s)
	}
	return name, nil
}

func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// isNumber reports whether a label is one that no name ends in, but other spellings of addresses do: 127.1, 0x7f.1.
func isNumber(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil || strings.Trim(label, "0123456789") == ""
}

// A pattern is an entry of the allow-list.
type pattern struct {
	place
	below bool // the names below its host, and not the host itself
}

func (p pattern) matches(to place) bool {
	if p.port != to.port {
		return false
	}
	if p.below {
		return strings.HasSuffix(to.host, "."+p.host)
	}
	return p.host == to.host
}

func allows(list []pattern, p place) bool {
	return slices.ContainsFunc(list, func(allowed pattern) bool { return allowed.matches(p) })
}

func parsePatterns(list []string) ([]pattern, error) {
	var patterns []pattern
	var mistakes []error
	for _, entry := range list {
		p, err := parsePattern(strings.TrimSpace(entry))
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("host %q: %w", entry, err))
		}
		patterns = append(patterns, p)
	}
	return patterns, errors.Join(mistakes...)
}

func parsePattern(entry string) (pattern, error) {
	if entry == "*" || strings.HasPrefix(entry, "*:") {
		return pattern{}, errors.New("that would be every host: name them, or the domain that they are below, *.example.com")
	}
	if strings.ContainsAny(entry, "/@?#") || entry == "" {
		return pattern{}, errors.New("want a host alone, such as media.example.com, media.example.com:8443 or *.example.com")
	}
	host, port, err := splitEntry(entry)
	if err != nil {
		return pattern{}, err
	}
	host, below := strings.CutPrefix(host, "*.")
	p := pattern{below: below}
	if p.host, err = canonicalHost(host); err != nil {
		return pattern{}, err
	}
	if _, err := netip.ParseAddr(p.host); err == nil && below {
		return pattern{}, errors.New("there is nothing below an address")
	}
	p.port, err = parsePort(port)
	return p, err
}

// splitEntry takes the port off an entry; "" if it has none.
func splitEntry(entry string) (host, port string, err error) {
	if _, err := netip.ParseAddr(entry); err == nil {
		return entry, "", nil
	}
	if inner, ok := strings.CutPrefix(entry, "["); ok && strings.HasSuffix(inner, "]") {
		if _, err := netip.ParseAddr(inner[:len(inner)-1]); err == nil {
			return inner[:len(inner)-1], "", nil
		}
	}
	if !strings.Contains(entry, ":") {
		return entry, "", nil
	}
	host, port, err = net.SplitHostPort(entry)
	if err != nil || port == "" {
		return "", "", errors.New("want host:port with a port from 1 to 65535")
	}
	return host, port, nil
}
