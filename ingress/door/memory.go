package door

import (
	"errors"
	"net/netip"
	"sync"
)

// What a connection takes of memory while nothing happens on it, as measured with
// thousands of them (docs/benchmarks.md): goroutines, buffers of TLS, what the
// library keeps. Requests on their way are charged elsewhere.
const (
	TCPBytes    = 12 << 10
	TLSBytes    = 40 << 10
	QUICBytes   = 48 << 10 // its windows apart
	StreamBytes = 16 << 10
)

// ErrNoMemory: connections have used up their memory.
var ErrNoMemory = errors.New("there is no memory for more connections")

// Memory is what the connections and streams of all doors may take together, with
// what QUIC clients may have sent that is not read yet. So that no client address has
// all of it, one that has more than a quarter gets no more once three quarters are
// used. It is safe for concurrent use; a nil Memory has no limit.
type Memory struct {
	limit int64

	mu   sync.Mutex
	used int64
	by   map[netip.Addr]int64
}

// NewMemory returns a memory of limit bytes.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, by: make(map[netip.Addr]int64)}
}

// Memory returns what is used and the limit, in bytes.
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

// Hold charges n bytes that a door takes for itself, whatever the limit, until release
// is called.
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

// Grow charges n bytes for a window to an address, or returns false. Windows grow
// while half of the memory is free only: the rest is for those who come.
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

// Shrink takes back what Grow has charged.
func (m *Memory) Shrink(ip netip.Addr, n int64) { m.give(ip, n) }

// Window returns what a new connection's window may begin with: a part of what windows
// have left, within least and most.
func (m *Memory) Window(least, most int64) int64 {
	if m == nil {
		return most
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(least, min(most, (m.limit/2-m.used)/windowParts))
}

// windowParts: the first connections get whole windows, and with more of them each
// new one gets less.
const windowParts = 32

// crowds tells whether one that has mine of what all have leaves too little to others.
func crowds(all, mine, limit int64) bool { return all > limit-limit/4 && mine > limit/4 }
