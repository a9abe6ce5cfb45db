// Package netkind tells addresses of the Internet from those that lead to this machine, to its neighbours, or to what a
// cloud tells its own machines only. Whoever connects to where others say asks it about the address that a name was
// resolved to, right before the connection is begun: then no name hides an address.
//
// It is a calculation, and looks at no network. What it cannot know is a network's own prefix for NAT64, behind which an
// IPv4 address hides as behind the well-known one.
package netkind

import (
	"net/netip"
	"slices"
)

// A Kind says what keeps an address from being one of the Internet.
type Kind string

// The kinds.
const (
	Public    Kind = "" // nothing
	Loopback  Kind = "loopback"
	LinkLocal Kind = "link-local"
	Multicast Kind = "multicast"
	Private   Kind = "private" // all else that the Internet does not route
)

// internal are addresses that the Internet does not route, besides those of [netip.Addr.IsPrivate]. Two clouds tell their
// machines secrets there.
var internal = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // behind a carrier's NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), // measurements
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/32"), // Teredo and 6to4, tunnels to an IPv4 address that cannot be seen here
	netip.MustParsePrefix("2002::/16"),
}

var (
	// routed is all that the Internet routes of IPv6.
	routed = netip.MustParsePrefix("2000::/3")
	// nat64 are addresses that stand for the IPv4 address in their last 4 bytes.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// Plain is the address that is really meant: that of IPv4 where one is written in IPv6, and without a zone.
func Plain(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// Of is the kind of an address. To connect to an unspecified address is to connect to this machine.
func Of(a netip.Addr) Kind {
	a = Plain(a)
	switch {
	case a.IsLoopback(), a.IsUnspecified():
		return Loopback
	case a.IsLinkLocalUnicast():
		return LinkLocal
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Multicast
	case a.IsPrivate(), a.Is6() && !routed.Contains(a),
		slices.ContainsFunc(internal, func(p netip.Prefix) bool { return p.Contains(a) }):
		return Private
	}
	return Public
}
