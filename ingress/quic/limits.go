package quic

import (
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// windows is the budget that flow control windows grow from. A connection that
// gets no more goes on with the window it has, more slowly over long distances.
type windows struct {
	mu   sync.Mutex
	left int64
	has  map[*quicgo.Conn]int64
}

func newWindows(budget int64) *windows {
	return &windows{left: budget, has: make(map[*quicgo.Conn]int64)}
}

// grow is asked by a connection before its window grows by so many bytes.
func (w *windows) grow(c *quicgo.Conn, bytes uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Context().Err() != nil || int64(bytes) > w.left {
		return false
	}
	w.left -= int64(bytes)
	w.has[c] += int64(bytes)
	return true
}

// forget takes back what an ended connection had.
func (w *windows) forget(c *quicgo.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += w.has[c]
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
