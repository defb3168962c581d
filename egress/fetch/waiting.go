package fetch

import (
	"container/heap"
	"container/list"
	"context"
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicemq/sluice/pipeline"
)

// waiting limits the memory of fetches from arrival until their responses are taken, and
// divides it fairly. Long polls of some never keep others from fetching: when the memory is
// used up, polls are answered early with what is available. The first to go is the oldest poll
// of the largest connection of the largest address.
//
// A reservation is in one of the states
//
//	open      the fetch is not answered yet and may be hurried    counted in kept
//	hurried   the fetch is being answered with what it has        counted in draining
//	answered  the client has not taken the response yet           counted in draining
//	left                                                          not counted
//
// An eighth of the limit is for draining, and while it is used up, connections with memory in
// draining are not read. The rest is for kept.
//
// A connection that itself holds the most pays for its own memory with time: it is not read
// until the oldest open poll has had leastOpen, at most for longestPause. So clients that are
// answered early do not come back as fast as they can.
type waiting struct {
	limit int64
	early func() // called for each fetch that is hurried

	mu       sync.Mutex
	kept     int64
	draining int64
	count    uint64 // reservations made so far
	addrs    holders
	byAddr   map[netip.Addr]*holder
	conns    map[uint64]*holder
}

// drainingPart is the fraction of the limit for draining.
const drainingPart = 8

// leastOpen is how long a fetch is safe from others that hold about as much, and longestPause
// how long a fetch waits for memory at most.
const (
	leastOpen    = 500 * time.Millisecond
	longestPause = time.Second
)

// holder is a connection with its reservations, or an address with its connections.
type holder struct {
	who      pipeline.Holder
	bytes    int64
	draining int64 // part of bytes
	parent   *holder
	index    int       // in the heap of its parent
	conns    holders   // of an address
	open     list.List // of a connection: *reservation, oldest first
}

// reservation is the memory reserved for one fetch.
type reservation struct {
	w     *waiting
	conn  *holder
	bytes int64
	since time.Time
	nth   uint64
	elem  *list.Element // in conn.open, nil once hurried or answered
	hurry func()        // makes the fetch answer with what is available; must not block
	left  bool
}

func newWaiting(limit int64) *waiting {
	return &waiting{limit: limit, early: func() {}, byAddr: make(map[netip.Addr]*holder), conns: make(map[uint64]*holder)}
}

// memory returns the bytes in use.
func (w *waiting) memory() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept + w.draining
}

// largest is the most that one fetch may reserve and still wait.
func (w *waiting) largest() int64 { return w.limit / 4 }

// enter reserves memory for a fetch; nil if ctx or the server ends first.
func (w *waiting) enter(ctx context.Context, closing <-chan struct{}, who pipeline.Holder, bytes int64, hurry func()) *reservation {
	began := time.Now()
	for {
		now := time.Now()
		p, pause, hurried := w.try(who, bytes, now, now.Sub(began) >= longestPause, hurry)
		for _, f := range hurried {
			w.early()
			f()
		}
		if p != nil {
			return p
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-closing:
			timer.Stop()
			return nil
		}
	}
}

// Retry intervals: until responses have been sent, and for a connection whose client does not
// take its responses.
const (
	shortPause = 10 * time.Millisecond
	sentPause  = 50 * time.Millisecond
)

// try returns a reservation, or how long to wait before the next try. atAnyRate makes it hurry others
// instead of waiting.
func (w *waiting) try(who pipeline.Holder, bytes int64, now time.Time, atAnyRate bool, hurry func()) (p *reservation, pause time.Duration, hurried []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	conn := w.conns[who.Conn]
	if w.draining > w.limit/drainingPart && conn != nil { // a new connection costs little
		if conn.draining > untaken {
			return nil, sentPause, nil
		}
		if !atAnyRate {
			return nil, shortPause, nil
		}
	}
	for w.kept+bytes > w.limit-w.limit/drainingPart && w.kept > 0 {
		first := w.addrs[0].first() // never nil, since kept > 0
		if open := now.Sub(first.since); !atAnyRate && open < leastOpen && !w.holdsMore(first.conn, conn, who, bytes) {
			return nil, min(leastOpen-open, longestPause), hurried
		}
		hurried = append(hurried, first.hurry)
		first.close(min(first.bytes, answerBytes))
	}
	return w.add(who, bytes, now, hurry), 0, hurried
}

// untaken is how many response bytes a connection may leave unread while such bytes are scarce.
const untaken = 16 << 10

// holdsMore reports whether another holder clearly has more than the caller would have with
// that many bytes: another address, or another connection of the same address. Holds mu.
func (w *waiting) holdsMore(than, conn *holder, who pipeline.Holder, bytes int64) bool {
	mine, ofConn := bytes, bytes
	if addr := w.byAddr[who.Addr]; addr != nil {
		mine += addr.bytes
	}
	if conn != nil {
		ofConn += conn.bytes
	}
	if than.parent.who.Addr != who.Addr {
		return class(than.parent.bytes) > class(mine)
	}
	return class(than.bytes) > class(ofConn)
}

// class groups holders of about the same size.
func class(bytes int64) int { return bits.Len64(uint64(bytes)) }

// add creates a reservation. Holds mu.
func (w *waiting) add(who pipeline.Holder, bytes int64, now time.Time, hurry func()) *reservation {
	conn := w.conns[who.Conn]
	if conn == nil { // an existing connection keeps the address it started with, even after migration
		addr := w.byAddr[who.Addr]
		if addr == nil {
			addr = &holder{who: who}
			w.byAddr[who.Addr] = addr
			heap.Push(&w.addrs, addr)
		}
		conn = &holder{who: who, parent: addr}
		w.conns[who.Conn] = conn
		heap.Push(&addr.conns, conn)
	}
	w.count++
	p := &reservation{w: w, conn: conn, bytes: bytes, since: now, nth: w.count, hurry: hurry}
	p.elem = conn.open.PushBack(p)
	w.kept += bytes
	w.account(conn, bytes, 0)
	return p
}

// account changes what a connection and its address hold, and removes holders of nothing. Holds
// mu.
func (w *waiting) account(conn *holder, bytes, draining int64) {
	addr := conn.parent
	conn.bytes, conn.draining = conn.bytes+bytes, conn.draining+draining
	addr.bytes, addr.draining = addr.bytes+bytes, addr.draining+draining
	if conn.bytes == 0 {
		heap.Remove(&addr.conns, conn.index)
		delete(w.conns, conn.who.Conn)
	} else {
		heap.Fix(&addr.conns, conn.index)
	}
	if addr.bytes == 0 {
		heap.Remove(&w.addrs, addr.index)
		delete(w.byAddr, addr.who.Addr)
	} else {
		heap.Fix(&w.addrs, addr.index)
	}
}

// resize sets the actual size of an open fetch.
func (p *reservation) resize(bytes int64) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.elem == nil {
		return
	}
	p.w.kept += bytes - p.bytes
	p.w.account(p.conn, bytes-p.bytes, 0)
	p.bytes = bytes
}

// answered keeps only what the response takes, until leave.
func (p *reservation) answered(bytes int64) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.elem != nil {
		p.close(bytes)
		return
	}
	p.w.draining += bytes - p.bytes
	p.w.account(p.conn, bytes-p.bytes, bytes-p.bytes)
	p.bytes = bytes
}

// close removes the reservation from the open ones. Holds mu.
func (p *reservation) close(bytes int64) {
	p.conn.open.Remove(p.elem)
	p.elem = nil
	p.w.kept -= p.bytes
	p.w.draining += bytes
	p.w.account(p.conn, bytes-p.bytes, bytes)
	p.bytes = bytes
}

// leave releases the reservation. Further calls do nothing.
func (p *reservation) leave() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	if p.elem != nil {
		p.close(p.bytes)
	}
	p.w.draining -= p.bytes
	p.w.account(p.conn, -p.bytes, -p.bytes)
}

// hurryAll makes all fetches answer.
func (w *waiting) hurryAll() {
	w.mu.Lock()
	var all []func()
	for _, conn := range w.conns {
		for e := conn.open.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*reservation).hurry)
		}
	}
	w.mu.Unlock()
	for _, f := range all {
		f()
	}
}

// first returns the reservation that is hurried next, nil if none is open.
func (h *holder) first() *reservation {
	if len(h.conns) > 0 {
		h = h.conns[0]
	}
	if e := h.open.Front(); e != nil {
		return e.Value.(*reservation)
	}
	return nil
}

// before orders holders for hurrying: those with nothing open last, then larger first, then
// older first.
func (h *holder) before(x *holder) bool {
	a, b := h.first(), x.first()
	if a == nil || b == nil {
		return a != nil
	}
	if m, n := class(h.bytes), class(x.bytes); m != n {
		return m > n
	}
	return a.nth < b.nth
}

// holders implements heap.Interface.
type holders []*holder

func (h holders) Len() int           { return len(h) }
func (h holders) Less(i, j int) bool { return h[i].before(h[j]) }
func (h holders) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *holders) Push(x any) {
	x.(*holder).index = len(*h)
	*h = append(*h, x.(*holder))
}

// Pop implements heap.Interface.
func (h *holders) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}
