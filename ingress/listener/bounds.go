package listener

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Errors returned by Enter.
var (
	ErrFull      = errors.New("the broker has reached its connection limit")
	ErrFullForIP = errors.New("the client's address has reached its connection limit")
)

// Bounds limits the connections of a listener. It is safe for concurrent use.
type Bounds struct {
	total, perIP int
	memory       *Memory

	mu    sync.Mutex
	count int
	byIP  map[netip.Addr]int
}

// NewBounds limits the connections in total and per IP address, and charges them to memory. 0
// means no limit. Without a limit per address, an address that holds more than a quarter of the
// total is refused once three quarters are in use.
func NewBounds(total, perIP int, memory *Memory) *Bounds {
	return &Bounds{total: total, perIP: perIP, memory: memory, byIP: make(map[netip.Addr]int)}
}

// Enter counts a connection that takes that many bytes until leave is called, or returns why it
// is refused.
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

// Address returns the address that limits apply to: without port and zone, and for IPv6 the /64
// network, which usually belongs to one client. Addresses of other kinds are counted together.
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
