package pipeline

import (
	"container/heap"
	"container/list"
	"context"
	"math"
	"sync"
	"time"
)

// Places lets a few at a time do what takes much of a processor, or of something else
// that all share; the others wait for their turn.
//
//   - The next place goes to the address that has had places for the shortest time, and
//     within it to such a connection. So however many wait, at one address or on one
//     connection, others come after the work that is under way, not after theirs.
//   - Who comes after a pause is taken to have had as much as the one whose turn came
//     last, less one share. A pause is no credit beyond that.
//   - Who has a place is taken to use one share, until it is known what it was.
//
// This is start-time fair queueing in two levels, with time as the cost. What is
// remembered of those who do not wait is bounded by idleParties.
//
// All methods may be called concurrently.
type Places struct {
	share int64
	clk   *clock

	mu    sync.Mutex
	free  int
	addrs party     // the root of all
	idle  list.List // connections without places or waiters, the longest so in front
}

// idleParties is how many connections that neither wait nor have a place are
// remembered. One that is forgotten starts anew, as after a pause.
const idleParties = 4096

// party is a connection, an address with its connections, or all addresses.
type party struct {
	parent *party
	key    any
	used   int64 // ns of places, and what came of pauses
	held   int   // places

	// Of those with parties of their own.
	now     int64 // what the one whose turn came last had used; never falls
	parties map[any]*party
	due     due // of parties, those with waiters

	// Of connections.
	waiters list.List // of *Place
	resting *list.Element
	at      int // in parent.due, -1 if it has no waiters
}

// Place is one of Places, once Enter has returned it.
type Place struct {
	of      *Places
	conn    *party
	since   int64
	granted chan struct{}
	left    bool
}

// NewPlaces returns so many places. A share is about how long one is had at most by
// what is no trouble to others.
func NewPlaces(n int, share time.Duration) *Places {
	return &Places{share: int64(share), clk: newClock(), free: n}
}

// Enter waits for the turn of who, and returns its place, or the cause of ctx when that
// ends first.
func (p *Places) Enter(ctx context.Context, who Holder) (*Place, error) {
	p.mu.Lock()
	pl := &Place{of: p, conn: p.enter(who)}
	if p.free > 0 { // so nobody waits
		p.take(pl)
		p.mu.Unlock()
		return pl, nil
	}
	pl.granted = make(chan struct{})
	e := pl.conn.waiters.PushBack(pl)
	pl.conn.wait(p.share)
	p.mu.Unlock()
	select {
	case <-pl.granted:
		return pl, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-pl.granted: // at the same moment: it is for the next
		p.leave(pl)
	default:
		pl.conn.waiters.Remove(e)
		pl.conn.unwait()
		p.rest(pl.conn)
	}
	return nil, context.Cause(ctx)
}

// Leave gives the place up. Further calls do nothing, nor does that of no place.
func (pl *Place) Leave() {
	if pl == nil {
		return
	}
	pl.of.mu.Lock()
	defer pl.of.mu.Unlock()
	pl.of.leave(pl)
}

// Waiting returns how many wait.
func (p *Places) Waiting() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.addrs.due {
		for _, c := range a.due {
			n += c.waiters.Len()
		}
	}
	return n
}

// Idle reports whether nobody has a place.
func (p *Places) Idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addrs.held == 0
}

// enter returns the party of who. Holds p.mu.
func (p *Places) enter(who Holder) *party {
	conn := p.addrs.child(who.Addr).child(who.Conn)
	if conn.resting != nil {
		p.idle.Remove(conn.resting)
		conn.resting = nil
	}
	return conn
}

func (q *party) child(key any) *party {
	c := q.parties[key]
	if c == nil {
		if c = (&party{parent: q, key: key, used: math.MinInt64, at: -1}); q.parties == nil {
			q.parties = make(map[any]*party)
		}
		q.parties[key] = c
	}
	return c
}

// take gives pl a place that is free. Holds p.mu.
func (p *Places) take(pl *Place) {
	p.free--
	pl.since = p.clk.now()
	for q := pl.conn; ; q = q.parent {
		q.held++
		if q.parent == nil {
			return
		}
		q.resume(p.share)
		q.parent.now = max(q.parent.now, q.used)
		q.charge(p.share)
	}
}

// leave takes the place of pl back, and gives it to the next. Holds p.mu.
func (p *Places) leave(pl *Place) {
	if pl.left {
		return
	}
	pl.left = true
	p.free++
	cost := p.clk.now() - pl.since
	for q := pl.conn; ; q = q.parent {
		q.held--
		if q.parent == nil {
			break
		}
		q.charge(cost - p.share)
	}
	p.rest(pl.conn)
	for p.free > 0 && len(p.addrs.due) > 0 {
		conn := p.addrs.due[0].due[0]
		next := conn.waiters.Remove(conn.waiters.Front()).(*Place)
		conn.unwait()
		p.take(next)
		close(next.granted)
	}
}

// rest remembers conn, for a while, if it neither waits nor has a place. Holds p.mu.
func (p *Places) rest(conn *party) {
	if conn.held > 0 || conn.waiters.Len() > 0 {
		return
	}
	conn.resting = p.idle.PushBack(conn)
	if p.idle.Len() <= idleParties {
		return
	}
	old := p.idle.Remove(p.idle.Front()).(*party)
	delete(old.parent.parties, old.key)
	if len(old.parent.parties) == 0 {
		delete(old.parent.parent.parties, old.parent.key)
	}
}

// resume has the party at most a share behind, whatever its pause was.
func (q *party) resume(share int64) { q.used = max(q.used, q.parent.now-share) }

// wait has the party, and those that it belongs to, in line.
func (q *party) wait(share int64) {
	for ; q.parent != nil && q.at < 0; q = q.parent {
		q.resume(share)
		heap.Push(&q.parent.due, q)
	}
}

// unwait is called when there is a waiter less: parties without any leave the line.
func (q *party) unwait() {
	for ; q.parent != nil && q.waiters.Len() == 0 && len(q.due) == 0; q = q.parent {
		heap.Remove(&q.parent.due, q.at)
		q.at = -1
	}
}

// charge adds to what the party has used.
func (q *party) charge(ns int64) {
	if q.used += ns; q.at >= 0 {
		heap.Fix(&q.parent.due, q.at)
	}
}

// due is a heap of parties: who used least comes first.
type due []*party

func (d due) Len() int           { return len(d) }
func (d due) Less(i, j int) bool { return d[i].used < d[j].used }
func (d due) Swap(i, j int)      { d[i], d[j] = d[j], d[i]; d[i].at, d[j].at = i, j }

// Push implements heap.Interface.
func (d *due) Push(x any) {
	x.(*party).at = len(*d)
	*d = append(*d, x.(*party))
}

// Pop implements heap.Interface.
func (d *due) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return x
}
