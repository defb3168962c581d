package listener

import (
	"errors"
	"net/netip"
	"sync"
)

// Memory of an idle connection, as measured with thousands of them (docs/benchmarks.md):
// goroutines, TLS buffers and library state. Requests in flight are charged elsewhere.
const (
	TCPBytes    = 12 << 10
	TLSBytes    = 40 << 10
	QUICBytes   = 48 << 10 // without its flow control windows
	StreamBytes = 16 << 10
)

// ErrNoMemory means that connections have used up their memory.
var ErrNoMemory = errors.New("there is no memory for more connections")

// Memory is the budget of the connections and streams of all listeners, including received QUIC
// data that has not been read yet. An address that holds more than a quarter is refused once
// three quarters are in use, so that no single address can take all of it. It is safe for
// concurrent use; a nil Memory has no limit.
type Memory struct {
	limit int64

	mu   sync.Mutex
	used int64
	by   map[netip.Addr]int64
}

// NewMemory returns a budget of limit bytes.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, by: make(map[netip.Addr]int64)}
}

// Memory returns the bytes in use and the limit.
func (m *Memory) Memory() (used, limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used, m.limit
}

// take charges n bytes to an address, or returns ErrNoMemory.
func (m *Memory) take(ip netip.Addr, n int64) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.limit || crowds(m.used+n, m.by[ip]+n, m.limit) {
		return ErrNoMemory
	}
	m.charge(ip, n)
	return nil
}

func (m *Memory) charge(ip netip.Addr, n int64) {
	m.used += n
	if m.by[ip] += n; m.by[ip] == 0 {
		delete(m.by, ip)
	}
}

func (m *Memory) give(ip netip.Addr, n int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.charge(ip, -n)
}

// Hold charges n bytes that the listener itself takes, whatever the limit, until release is
// called.
func (m *Memory) Hold(n int64) (release func()) {
	if m == nil {
		return func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += n
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.used -= n
	}
}

// Grow charges n bytes of window growth to an address, or returns false. Windows grow only
// while half of the budget is free; the rest is reserved for new connections.
func (m *Memory) Grow(ip netip.Addr, n int64) bool {
	if m == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.limit/2 {
		return false
	}
	m.charge(ip, n)
	return true
}

// Shrink refunds what Grow charged.
func (m *Memory) Shrink(ip netip.Addr, n int64) { m.give(ip, n) }

// Window returns the initial window of a new connection: a fraction of what is left for
// windows, between least and most.
func (m *Memory) Window(least, most int64) int64 {
	if m == nil {
		return most
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(least, min(most, (m.limit/2-m.used)/windowParts))
}

// windowParts divides what is left: the first connections get full windows, and each further
// one gets less.
const windowParts = 32

// crowds reports whether a holder of mine out of all leaves too little to others.
func crowds(all, mine, limit int64) bool { return all > limit-limit/4 && mine > limit/4 }
