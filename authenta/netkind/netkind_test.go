package netkind

import (
	"net/netip"
	"testing"
)

func TestOnlyAddressesOfTheInternetArePublic(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]Kind{
		"203.0.113.1":            Public,
		"100.63.255.255":         Public,
		"100.128.0.0":            Public,
		"172.32.0.1":             Public,
		"198.20.0.1":             Public,
		"2001:db8::1":            Public,
		"2606:4700::1111":        Public,
		"64:ff9b::c633:6407":     Public,
		"::ffff:198.51.100.7":    Public,
		"127.0.0.1":              Loopback,
		"127.8.8.8":              Loopback,
		"0.0.0.0":                Loopback,
		"::":                     Loopback,
		"::1":                    Loopback,
		"::ffff:127.0.0.1":       Loopback,
		"::ffff:0.0.0.0":         Loopback,
		"64:ff9b::7f00:1":        Loopback,
		"169.254.169.254":        LinkLocal,
		"::ffff:169.254.169.254": LinkLocal,
		"64:ff9b::a9fe:a9fe":     LinkLocal,
		"fe80::1":                LinkLocal,
		"fe80::1%eth0":           LinkLocal,
		"224.0.0.1":              Multicast,
		"239.255.255.250":        Multicast,
		"255.255.255.255":        Multicast,
		"ff02::1":                Multicast,
		"0.1.2.3":                Private,
		"10.1.2.3":               Private,
		"100.64.0.1":             Private,
		"100.100.100.200":        Private,
		"172.16.0.1":             Private,
		"192.0.0.192":            Private,
		"192.168.1.1":            Private,
		"198.18.0.1":             Private,
		"240.0.0.1":              Private,
		"::ffff:10.0.0.1":        Private,
		"64:ff9b::a00:1":         Private,
		"::7f00:1":               Private, // IPv4-compatible
		"64:ff9b:1::7f00:1":      Private, // a network's own NAT64
		"fc00::1":                Private,
		"fd00:ec2::254":          Private,
		"fec0::1":                Private,
		"2001::1":                Private,
		"2002:7f00:1::":          Private,
		"100::1":                 Private,
	} {
		if got := Of(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
}

func TestPlainIsOneSpellingOfAnAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1":          "127.0.0.1",
		"::ffff:127.0.0.1":   "127.0.0.1",
		"64:ff9b::7f00:1":    "127.0.0.1",
		"fe80::1%eth0":       "fe80::1",
		"64:ff9b:1::c0a8:1":  "64:ff9b:1::c0a8:1",
		"2001:db8::1":        "2001:db8::1",
		"64:ff9b::1:7f00:1":  "64:ff9b::1:7f00:1",
		"::ffff:10.0.0.1%lo": "10.0.0.1",
	} {
		if got := Plain(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}
