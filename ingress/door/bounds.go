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
	memory       *Memory

	mu    sync.Mutex
	count int
	byIP  map[netip.Addr]int
}

// NewBounds returns bounds on all connections and on those of one IP address, which
// are charged to memory. Either number is unlimited at 0. An address without a bound
// of its own that has more than a quarter of all gets no more once three quarters are
// in use.
func NewBounds(total, perIP int, memory *Memory) *Bounds {
	return &Bounds{total: total, perIP: perIP, memory: memory, byIP: make(map[netip.Addr]int)}
}

// Enter counts a connection that takes so many bytes until leave is called, or says
// why there is no room.
func (b *Bounds) Enter(remote net.Addr, bytes int64) (leave func(), err error) {
	ip := Address(remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.total > 0 && b.count >= b.total:
		return nil, ErrFull
	case b.perIP > 0 && b.byIP[ip] >= b.perIP:
		return nil, ErrFullForIP
	case b.perIP == 0 && b.total > 0 && crowds(int64(b.count)+1, int64(b.byIP[ip])+1, int64(b.total)):
		return nil, ErrFullForIP
	}
	if err := b.memory.take(ip, bytes); err != nil {
		return nil, err
	}
	b.count++
	b.byIP[ip]++
	return sync.OnceFunc(func() { b.leave(ip, bytes) }), nil
}

func (b *Bounds) leave(ip netip.Addr, bytes int64) {
	b.memory.give(ip, bytes)
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
