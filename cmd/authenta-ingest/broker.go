package main

import (
	"net"
	"net/url"
	"strings"
)

// natsAddresses are the servers of a list such as NATS_URL, as host:port.
func natsAddresses(list string) []string {
	var found []string
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" {
			continue // NATS_URL was checked, and none of this kind is there
		}
		port := u.Port()
		if port == "" {
			port = defaultPorts[u.Scheme]
		}
		found = append(found, net.JoinHostPort(u.Hostname(), port))
	}
	return found
}

// defaultPorts are those that the NATS client assumes.
var defaultPorts = map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443"}
