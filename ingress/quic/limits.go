package quic

import (
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/ingress/door"
)

// windows says what clients may send that is not read yet, and charges it.
type windows struct {
	memory *door.Memory

	mu   sync.Mutex
	next int64 // what the connection that arrives begins with
	has  map[*quicgo.Conn]int64
}

// A new connection's window: enough to begin with, small enough to have very many.
const leastWindow, mostWindow = 32 << 10, 768 << 10

func newWindows(m *door.Memory) *windows {
	return &windows{memory: m, has: make(map[*quicgo.Conn]int64)}
}

// begin sets the windows that a connection begins with. quic-go asks for them right
// before it tells of the arrival, in the same goroutine, one connection at a time.
func (w *windows) begin(c *quicgo.Config) *quicgo.Config {
	c = c.Clone()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = min(w.memory.Window(leastWindow, mostWindow), int64(c.MaxConnectionReceiveWindow))
	c.InitialConnectionReceiveWindow = uint64(w.next)
	c.InitialStreamReceiveWindow = min(c.InitialStreamReceiveWindow, uint64(w.next))
	return c
}

// first is what begin has chosen last.
func (w *windows) first() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

// grow is asked by a connection before its window grows by so many bytes. One that
// gets no more goes on with what it has, more slowly over long distances.
func (w *windows) grow(c *quicgo.Conn, bytes uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Context().Err() != nil || !w.memory.Grow(door.Address(c.RemoteAddr()), int64(bytes)) {
		return false
	}
	w.has[c] += int64(bytes)
	return true
}

// forget takes back what an ended connection's windows had grown by.
func (w *windows) forget(c *quicgo.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory.Shrink(door.Address(c.RemoteAddr()), w.has[c])
	delete(w.has, c)
}

// rate notices when more than so many events happen in a second.
type rate struct {
	perSecond float64

	mu     sync.Mutex
	left   float64
	filled time.Time
}

func newRate(perSecond int) *rate {
	return &rate{perSecond: float64(perSecond), left: float64(perSecond), filled: time.Now()}
}

// exceeded counts an arrival and says whether there are too many.
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
