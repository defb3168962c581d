package door

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Errors of Enter.
var (
	ErrFull      = errors.New("the broker has as many connections as it may")
	ErrFullForIP = errors.New("the client's address has as many connections as it may")
)

// Bounds limit the connections of a door. It is safe for concurrent use.
type Bounds struct {
	total, perIP int

	mu    sync.Mutex
	count int
	byIP  map[netip.Addr]int
}

// NewBounds returns bounds on all connections and on those of one IP address.
// Either is unlimited at 0.
func NewBounds(total, perIP int) *Bounds {
	return &Bounds{total: total, perIP: perIP, byIP: make(map[netip.Addr]int)}
}

// Enter counts a connection until leave is called, or says why there is no room.
func (b *Bounds) Enter(remote net.Addr) (leave func(), err error) {
	ip := Address(remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.total > 0 && b.count >= b.total:
		return nil, ErrFull
	case b.perIP > 0 && b.byIP[ip] >= b.perIP:
		return nil, ErrFullForIP
	}
	b.count++
	b.byIP[ip]++
	return sync.OnceFunc(func() { b.leave(ip) }), nil
}

func (b *Bounds) leave(ip netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count--
	if b.byIP[ip]--; b.byIP[ip] == 0 {
		delete(b.byIP, ip)
	}
}

// Address returns the address of a client that bounds and shares go by: without
// port and zone, and of IPv6 the network of 64 bits that a client has to itself.
// Addresses of other kinds are counted together.
func Address(a net.Addr) netip.Addr {
	var ip netip.Addr
	switch a := a.(type) {
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	case *net.UDPAddr:
		ip = a.AddrPort().Addr()
	default:
		return netip.Addr{}
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() && !ip.IsLoopback() {
		network, err := ip.Prefix(64)
		if err == nil {
			return network.Addr()
		}
	}
	return ip
}
