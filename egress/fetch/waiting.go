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

// waiting bounds the memory of fetches from their arrival until their answers are
// taken, and shares it out. Nobody is kept from fetching by others' long polls: when
// there is no more room, fetches are answered with what there is, however little. It
// is the turn of the connection that holds most at the address that holds most, and of
// its fetch that has been there longest.
//
// A place is
//
//	open      its fetch is not answered yet and may be hurried    in kept
//	hurried   it was told to be answered with what there is       in going
//	answered  its client has not taken the answer yet             in going
//	left                                                          in neither
//
// An eighth is for what is going, and while it is used up, connections that have
// something there are not read. The rest is for what is kept.
//
// Who holds most himself pays for his own room with time: his connection is not read
// until the longest there has been there for least, at most for longestPause. So
// clients that are answered early do not come back as fast as they can.
type waiting struct {
	limit int64
	early func() // called for each fetch that has to make room

	mu     sync.Mutex
	kept   int64
	going  int64
	count  uint64 // places ever given
	addrs  holders
	byAddr map[netip.Addr]*holder
	conns  map[uint64]*holder
}

// goingPart is the part of the limit for what is going.
const goingPart = 8

// leastOpen is how long a fetch is left alone by those of its like, and longestPause
// how long one waits for a place at most.
const (
	leastOpen    = 500 * time.Millisecond
	longestPause = time.Second
)

// holder is a connection with its places, or an address with its connections.
type holder struct {
	who    pipeline.Holder
	bytes  int64
	going  int64 // of bytes
	parent *holder
	index  int       // among its like
	conns  holders   // of an address
	open   list.List // of a connection: *place, the oldest first
}

// place is what one fetch takes.
type place struct {
	w     *waiting
	conn  *holder
	bytes int64
	since time.Time
	nth   uint64
	elem  *list.Element // in conn.open, nil once hurried or answered
	hurry func()        // has the fetch answered with what there is; must not wait
	left  bool
}

func newWaiting(limit int64) *waiting {
	return &waiting{limit: limit, early: func() {}, byAddr: make(map[netip.Addr]*holder), conns: make(map[uint64]*holder)}
}

// memory returns the bytes in use.
func (w *waiting) memory() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept + w.going
}

// largest is how much one fetch may take and wait.
func (w *waiting) largest() int64 { return w.limit / 4 }

// enter gives a fetch a place, and returns nil when ctx or the server ends before.
func (w *waiting) enter(ctx context.Context, closing <-chan struct{}, who pipeline.Holder, bytes int64, hurry func()) *place {
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

// Pauses of who waits until answers have been sent, and of whose client does not take
// them.
const (
	shortPause = 10 * time.Millisecond
	sentPause  = 50 * time.Millisecond
)

// try gives a place, or says how long to wait before the next try, and whom to hurry
// in any case.
func (w *waiting) try(who pipeline.Holder, bytes int64, now time.Time, atAnyRate bool, hurry func()) (p *place, pause time.Duration, hurried []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	conn := w.conns[who.Conn]
	if w.going > w.limit/goingPart && conn != nil { // a new one costs little
		if conn.going > untaken {
			return nil, sentPause, nil
		}
		if !atAnyRate {
			return nil, shortPause, nil
		}
	}
	for w.kept+bytes > w.limit-w.limit/goingPart && w.kept > 0 {
		first := w.addrs[0].first() // there is one, since something is kept
		if open := now.Sub(first.since); !atAnyRate && open < leastOpen && !w.holdsMore(first.conn, conn, who, bytes) {
			return nil, min(leastOpen-open, longestPause), hurried
		}
		hurried = append(hurried, first.hurry)
		first.close(min(first.bytes, answerBytes))
	}
	return w.add(who, bytes, now, hurry), 0, hurried
}

// untaken is how much of answers a connection may have that its client does not take
// while such answers take much in all.
const untaken = 16 << 10

// holdsMore says whether a holder has clearly more than one who wants so many bytes
// would have, at his address or, at the same one, on his connection. Holds mu.
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

// class makes those alike that hold about the same.
func class(bytes int64) int { return bits.Len64(uint64(bytes)) }

// add makes a place. Holds mu.
func (w *waiting) add(who pipeline.Holder, bytes int64, now time.Time, hurry func()) *place {
	conn := w.conns[who.Conn]
	if conn == nil { // else it is of the address that it had at first, though it may have moved
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
	p := &place{w: w, conn: conn, bytes: bytes, since: now, nth: w.count, hurry: hurry}
	p.elem = conn.open.PushBack(p)
	w.kept += bytes
	w.account(conn, bytes, 0)
	return p
}

// account adds to what a connection and its address hold, and forgets those that hold
// nothing. Holds mu.
func (w *waiting) account(conn *holder, bytes, going int64) {
	addr := conn.parent
	conn.bytes, conn.going = conn.bytes+bytes, conn.going+going
	addr.bytes, addr.going = addr.bytes+bytes, addr.going+going
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

// resize notes what an open fetch really takes.
func (p *place) resize(bytes int64) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.elem == nil {
		return
	}
	p.w.kept += bytes - p.bytes
	p.w.account(p.conn, bytes-p.bytes, 0)
	p.bytes = bytes
}

// answered leaves to the fetch what its answer takes, until leave.
func (p *place) answered(bytes int64) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.elem != nil {
		p.close(bytes)
		return
	}
	p.w.going += bytes - p.bytes
	p.w.account(p.conn, bytes-p.bytes, bytes-p.bytes)
	p.bytes = bytes
}

// close takes the place from those that are open. Holds mu.
func (p *place) close(bytes int64) {
	p.conn.open.Remove(p.elem)
	p.elem = nil
	p.w.kept -= p.bytes
	p.w.going += bytes
	p.w.account(p.conn, bytes-p.bytes, bytes)
	p.bytes = bytes
}

// leave gives the place up. Further calls do nothing.
func (p *place) leave() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	if p.elem != nil {
		p.close(p.bytes)
	}
	p.w.going -= p.bytes
	p.w.account(p.conn, -p.bytes, -p.bytes)
}

// hurryAll has all fetches answered.
func (w *waiting) hurryAll() {
	w.mu.Lock()
	var all []func()
	for _, conn := range w.conns {
		for e := conn.open.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*place).hurry)
		}
	}
	w.mu.Unlock()
	for _, f := range all {
		f()
	}
}

// first is the place whose turn it is to make room, nil where none is open.
func (h *holder) first() *place {
	if len(h.conns) > 0 {
		h = h.conns[0]
	}
	if e := h.open.Front(); e != nil {
		return e.Value.(*place)
	}
	return nil
}

// before says whether h makes room before x: who has nothing open never, then who
// holds more, then who has been there longer.
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
