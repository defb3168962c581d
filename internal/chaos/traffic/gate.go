package traffic

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const dialLimit = time.Second

// Gate dials for clients, and can be shut for an address: its connections break, and new ones are
// refused, as those of a process that died. Clients of a silent broker then move on as soon as
// the other brokers let them, without waiting for their own timers.
type Gate struct {
	dialer net.Dialer

	mu    sync.Mutex
	shut  map[string]bool
	conns map[string]map[*gated]struct{}
}

// NewGate returns a gate that is open.
func NewGate() *Gate {
	return &Gate{dialer: net.Dialer{Timeout: dialLimit}, shut: make(map[string]bool), conns: make(map[string]map[*gated]struct{})}
}

type gated struct {
	net.Conn
	gate *Gate
	addr string
}

// Close closes the connection.
func (c *gated) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns[c.addr], c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// Dial is a dialer of franz-go.
func (g *Gate) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if g.isShut(addr) {
		return nil, refused(network)
	}
	conn, err := g.dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &gated{conn, g, addr}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut[addr] { // since the check above
		_ = conn.Close() // never used
		return nil, refused(network)
	}
	if g.conns[addr] == nil {
		g.conns[addr] = make(map[*gated]struct{})
	}
	g.conns[addr][c] = struct{}{}
	return c, nil
}

// refused is the error of a port that nobody listens on. Clients retry that, and not every other.
func refused(network string) error {
	return &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func (g *Gate) isShut(addr string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut[addr]
}

// Shut breaks the connections to an address and refuses new ones.
func (g *Gate) Shut(addr string) {
	g.mu.Lock()
	g.shut[addr] = true
	var conns []*gated
	for c := range g.conns[addr] {
		conns = append(conns, c)
	}
	g.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // the client closes it again
	}
}

// Open lets connections to an address through again.
func (g *Gate) Open(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.shut, addr)
}
