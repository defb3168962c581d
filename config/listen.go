package config

import (
	"net"
	"net/netip"
	"strings"

	"github.com/sluicemq/sluice/internal/setting"
)

// listeners are the settings of addresses that TCP listens on, by key. QUIC is UDP, whose ports
// are others.
type listeners []struct{ key, address string }

// apart checks that no two would listen on one port of one address.
func apart(p *setting.Problems, all listeners) {
	for i, a := range all {
		for _, b := range all[:i] {
			p.Require(!collide(a.address, b.address), "{"+b.key+"} (%s) and {"+a.key+"} (%s) are the same TCP port; give one of them another, or leave one empty",
				b.address, a.address)
		}
	}
}

// collide reports whether both addresses can not be listened on at once, as far as they tell
// without a look-up of names. Port 0 is any that is free.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	portA, portB = strings.TrimLeft(portA, "0"), strings.TrimLeft(portB, "0")
	if errA != nil || errB != nil || portA != portB || portA == "" {
		return false
	}
	return covers(hostA, hostB) || covers(hostB, hostA) || sameHost(hostA, hostB)
}

// covers reports whether host stands for all addresses of the machine, other among them: an empty
// one and that of IPv6 do so for both versions.
func covers(host, other string) bool {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return true
	case err != nil || !ip.IsUnspecified():
		return false
	}
	to, err := netip.ParseAddr(other)
	return ip.Is6() || err != nil || to.Unmap().Is4()
}

func sameHost(a, b string) bool {
	if a, b := strings.ToLower(a), strings.ToLower(b); a == b {
		return true
	} else if a == "localhost" || b == "localhost" {
		return loopback(a) && loopback(b)
	}
	ipA, errA := netip.ParseAddr(a)
	ipB, errB := netip.ParseAddr(b)
	return errA == nil && errB == nil && ipA.Unmap() == ipB.Unmap()
}

// loopback reports whether a host is one that localhost may be.
func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
