package quic

import (
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/ingress/listener"
)

// windows chooses the flow control windows of clients and charges them.
type windows struct {
	memory *listener.Memory

	mu   sync.Mutex
	next int64 // initial window of the connection that is arriving
	has  map[*quicgo.Conn]int64
}

// Bounds of the initial window: enough to start with, small enough for very many connections.
const leastWindow, mostWindow = 32 << 10, 768 << 10

func newWindows(m *listener.Memory) *windows {
	return &windows{memory: m, has: make(map[*quicgo.Conn]int64)}
}

// begin sets the initial windows of a connection. quic-go calls it right before it reports the
// connection, on the same goroutine, one connection at a time.
func (w *windows) begin(c *quicgo.Config) *quicgo.Config {
	c = c.Clone()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = min(w.memory.Window(leastWindow, mostWindow), int64(c.MaxConnectionReceiveWindow))
	c.InitialConnectionReceiveWindow = uint64(w.next)
	c.InitialStreamReceiveWindow = min(c.InitialStreamReceiveWindow, uint64(w.next))
	return c
}

// first returns the last choice of begin.
func (w *windows) first() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

// grow is called before a connection's window grows by that many bytes. A connection that is
// refused keeps its window, which makes it slower over long distances.
func (w *windows) grow(c *quicgo.Conn, bytes uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Context().Err() != nil || !w.memory.Grow(listener.Address(c.RemoteAddr()), int64(bytes)) {
		return false
	}
	w.has[c] += int64(bytes)
	return true
}

// forget refunds the window growth of a connection that has ended.
func (w *windows) forget(c *quicgo.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory.Shrink(listener.Address(c.RemoteAddr()), w.has[c])
	delete(w.has, c)
}

// rate detects more than a given number of events in a second.
type rate struct {
	perSecond float64

	mu     sync.Mutex
	left   float64
	filled time.Time
}

func newRate(perSecond int) *rate {
	return &rate{perSecond: float64(perSecond), left: float64(perSecond), filled: time.Now()}
}

// exceeded counts an arrival and reports whether there are too many.
func (r *rate) exceeded(net.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.left = min(r.perSecond, r.left+now.Sub(r.filled).Seconds()*r.perSecond)
	r.filled = now
	if r.left < 1 {
		return true
	}
	r.left--
	return false
}
