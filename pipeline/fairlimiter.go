package pipeline

import (
	"container/heap"
	"container/list"
	"context"
	"math"
	"sync"
	"time"
)

// FairLimiter limits how many callers use a shared resource, such as a processor, at
// the same time; the others queue for their turn.
//
//   - The next permit goes to the address that has used the least time, and within
//     it to the connection that has used the least. So however many callers wait at
//     one address or connection, others wait only for work in progress.
//   - An address or connection that returns after a pause counts as having used as much as the one
//     served last, less one share. Pausing earns no further credit.
//   - A caller is charged one share on entry, which is corrected to the actual time
//     when it leaves.
//
// This is two-level start-time fair queueing (Goyal, Vin and Cheng, 1996) with
// time as the cost. How many idle ones are remembered is bounded by maxIdle.
//
// All methods may be called concurrently.
type FairLimiter struct {
	share int64
	clk   *clock

	mu    sync.Mutex
	free  int
	addrs fairNode  // the root
	idle  list.List // connections without permits or waiters, longest idle first
}

// maxIdle is how many connections are remembered that neither wait nor hold a
// permit. A forgotten one starts over, as after a pause.
const maxIdle = 4096

// fairNode is a connection, an address with its connections, or the root.
type fairNode struct {
	parent *fairNode
	key    any
	used   int64 // ns of use, as adjusted after pauses
	held   int   // permits held

	// For nodes with children.
	now      int64 // used of the child served last; never falls
	children map[any]*fairNode
	due      due // children with waiters

	// For connections.
	waiters  list.List // of *Permit
	idleElem *list.Element
	at       int // index in parent.due, -1 without waiters
}

// Permit is the right to use the resource, once Acquire has returned it.
type Permit struct {
	of       *FairLimiter
	conn     *fairNode
	since    int64
	granted  chan struct{}
	released bool
}

// NewFairLimiter returns a FairLimiter for n concurrent callers. share is about the longest
// time that a well-behaved caller holds a permit.
func NewFairLimiter(n int, share time.Duration) *FairLimiter {
	return &FairLimiter{share: int64(share), clk: newClock(), free: n}
}

// Acquire waits for who's turn and returns its permit, or the cause of ctx when that
// ends first.
func (l *FairLimiter) Acquire(ctx context.Context, who Holder) (*Permit, error) {
	l.mu.Lock()
	permit := &Permit{of: l, conn: l.node(who)}
	if l.free > 0 { // so there are no waiters
		l.grant(permit)
		l.mu.Unlock()
		return permit, nil
	}
	permit.granted = make(chan struct{})
	e := permit.conn.waiters.PushBack(permit)
	permit.conn.wait(l.share)
	l.mu.Unlock()
	select {
	case <-permit.granted:
		return permit, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-permit.granted: // granted at the same moment: pass it on
		l.release(permit)
	default:
		permit.conn.waiters.Remove(e)
		permit.conn.unwait()
		l.markIdle(permit.conn)
	}
	return nil, context.Cause(ctx)
}

// Release returns the permit. Further calls, and calls on nil, have no effect.
func (permit *Permit) Release() {
	if permit == nil {
		return
	}
	permit.of.mu.Lock()
	defer permit.of.mu.Unlock()
	permit.of.release(permit)
}

// Waiting returns the number of waiters.
func (l *FairLimiter) Waiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.addrs.due {
		for _, c := range a.due {
			n += c.waiters.Len()
		}
	}
	return n
}

// Idle reports whether no permit is held.
func (l *FairLimiter) Idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addrs.held == 0
}

// node returns the connection of who. Holds l.mu.
func (l *FairLimiter) node(who Holder) *fairNode {
	conn := l.addrs.child(who.Addr).child(who.Conn)
	if conn.idleElem != nil {
		l.idle.Remove(conn.idleElem)
		conn.idleElem = nil
	}
	return conn
}

func (q *fairNode) child(key any) *fairNode {
	c := q.children[key]
	if c == nil {
		if c = (&fairNode{parent: q, key: key, used: math.MinInt64, at: -1}); q.children == nil {
			q.children = make(map[any]*fairNode)
		}
		q.children[key] = c
	}
	return c
}

// grant gives permit a free permit. Holds l.mu.
func (l *FairLimiter) grant(permit *Permit) {
	l.free--
	permit.since = l.clk.now()
	for q := permit.conn; ; q = q.parent {
		q.held++
		if q.parent == nil {
			return
		}
		q.resume(l.share)
		q.parent.now = max(q.parent.now, q.used)
		q.charge(l.share)
	}
}

// release takes back permit and gives it to the next waiter. Holds l.mu.
func (l *FairLimiter) release(permit *Permit) {
	if permit.released {
		return
	}
	permit.released = true
	l.free++
	cost := l.clk.now() - permit.since
	for q := permit.conn; ; q = q.parent {
		q.held--
		if q.parent == nil {
			break
		}
		q.charge(cost - l.share)
	}
	l.markIdle(permit.conn)
	for l.free > 0 && len(l.addrs.due) > 0 {
		conn := l.addrs.due[0].due[0]
		next := conn.waiters.Remove(conn.waiters.Front()).(*Permit)
		conn.unwait()
		l.grant(next)
		close(next.granted)
	}
}

// markIdle keeps conn on the idle list, for a while, if it neither waits nor holds a
// permit. Holds l.mu.
func (l *FairLimiter) markIdle(conn *fairNode) {
	if conn.held > 0 || conn.waiters.Len() > 0 {
		return
	}
	conn.idleElem = l.idle.PushBack(conn)
	if l.idle.Len() <= maxIdle {
		return
	}
	old := l.idle.Remove(l.idle.Front()).(*fairNode)
	delete(old.parent.children, old.key)
	if len(old.parent.children) == 0 {
		delete(old.parent.parent.children, old.parent.key)
	}
}

// resume makes the node at most one share behind, however long it paused.
func (q *fairNode) resume(share int64) { q.used = max(q.used, q.parent.now-share) }

// wait adds the node and its ancestors to the queue.
func (q *fairNode) wait(share int64) {
	for ; q.parent != nil && q.at < 0; q = q.parent {
		q.resume(share)
		heap.Push(&q.parent.due, q)
	}
}

// unwait is called when a waiter has left: nodes without waiters leave the
// queue.
func (q *fairNode) unwait() {
	for ; q.parent != nil && q.waiters.Len() == 0 && len(q.due) == 0; q = q.parent {
		heap.Remove(&q.parent.due, q.at)
		q.at = -1
	}
}

// charge adds to the used time.
func (q *fairNode) charge(ns int64) {
	if q.used += ns; q.at >= 0 {
		heap.Fix(&q.parent.due, q.at)
	}
}

// due is a heap of nodes, least used first.
type due []*fairNode

func (d due) Len() int           { return len(d) }
func (d due) Less(i, j int) bool { return d[i].used < d[j].used }
func (d due) Swap(i, j int)      { d[i], d[j] = d[j], d[i]; d[i].at, d[j].at = i, j }

// Push implements heap.Interface.
func (d *due) Push(x any) {
	x.(*fairNode).at = len(*d)
	*d = append(*d, x.(*fairNode))
}

// Pop implements heap.Interface.
func (d *due) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return x
}
