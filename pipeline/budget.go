package pipeline

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Budget bounds bytes in use and shares them fairly between connections and
// client addresses.
//
//   - A claim is charged as its bytes arrive ([Claim]), so declaring a large size
//     costs nothing.
//   - A waiting claim does not block smaller ones that fit. But once four times the
//     capacity has been granted past it, no new claim of its tier starts before it
//     proceeds.
//   - A sixteenth is reserved for claims of at most [SmallClaim] bytes; each
//     connection and each address gets part of the reserve.
//   - A connection that claims more than an eighth of the capacity, or an address
//     that claims more than a quarter, leaves a further quarter to the others.
//   - With [Budget.ReserveForNewcomers] an eighth is reserved for addresses that hold
//     almost nothing, so that clients slow to release never block newcomers.
//   - A claim starts or grows only if every claim that has started can still
//     complete, one after another, so claims never deadlock (as in the banker's
//     algorithm).
//
// The completion order is found from sizes rounded up (growing.go), at a cost
// independent of the number of claims. All methods may be called concurrently.
type Budget struct {
	mu           sync.Mutex
	capacity     int64
	inUse        int64
	beyond       int64     // part of inUse held by claims beyond their share
	reserved     int64     // part of inUse that small claims took from the reserve
	passed       int64     // bytes ever granted
	holders      int       // claims that hold bytes, other than whole ones
	claimed      int64     // bytes they hold
	forNewcomers bool      // an eighth is reserved for newcomers
	waiters      list.List // of *waiter, in order of arrival
	growing      [2]growing
	conns        map[uint64]*account
	addrs        map[any]*account
}

// waiter is a blocked Grow. It is granted or refused under Budget.mu, then
// notified.
type waiter struct {
	c       *Claim
	to      int64 // size the claim wants to grow to
	since   int64 // Budget.passed when it started to wait
	verdict chan error
}

// NewBudget returns a Budget with a capacity in bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{capacity: max(bytes, 0), conns: make(map[uint64]*account), addrs: make(map[any]*account)}
}

// ReserveForNewcomers reserves an eighth of the capacity for claims that are taken
// whole and leave their address with at most a 64th of it. Call it before the
// first claim.
func (b *Budget) ReserveForNewcomers() *Budget {
	b.forNewcomers = true
	return b
}

// newcomerReserve is the number of bytes reserved for newcomers. Holds b.mu.
func (b *Budget) newcomerReserve() int64 {
	if b.forNewcomers {
		return b.capacity / 8
	}
	return 0
}

// newcomer reports whether growing c to its full size may use the bytes reserved
// for newcomers. Holds b.mu.
func (b *Budget) newcomer(c *Claim, to int64) bool {
	return b.forNewcomers && c.addr != nil && to >= c.total && c.addr.held-c.held+to <= b.capacity/64
}

// Acquire takes n bytes that count against no connection or address, and waits
// for them if necessary. It returns [ErrTooLarge] when n exceeds the capacity,
// also when the capacity shrinks below n during the wait, and the cause of ctx
// when that ends first. After an error nothing is held.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if n < 0 {
		panic("pipeline: negative acquire")
	}
	return (&Claim{b: b, total: n, tier: whole}).Grow(ctx, n)
}

// TryAcquire takes n bytes if they are available at once.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &Claim{b: b, total: n, tier: whole}
	if n < 0 || b.barred(c) || !b.fits(c, n) {
		return false
	}
	b.take(c, n)
	return true
}

// Release returns n bytes taken with Acquire. Releasing more than is held is a
// bug and panics.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 || n > b.inUse {
		panic(fmt.Sprintf("pipeline: released %d bytes of %d held", n, b.inUse))
	}
	b.inUse -= n
	b.grant()
}

// Resize sets the capacity. Shrinking it below the bytes in use revokes nothing,
// but nothing more is granted until enough has been released.
func (b *Budget) Resize(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.capacity = max(bytes, 0)
	b.grant()
}

// grow makes c hold to bytes in total, and waits for them if necessary.
func (b *Budget) grow(ctx context.Context, c *Claim, to int64) error {
	b.mu.Lock()
	if c.total > b.largest(c.tier) {
		defer b.mu.Unlock()
		return tooLarge(c.total, b.largest(c.tier))
	}
	if !b.barred(c) && b.fits(c, to) {
		b.take(c, to)
		if b.waiters.Len() > 0 {
			b.grant()
		}
		b.mu.Unlock()
		return nil
	}
	w := &waiter{c, to, b.passed, make(chan error, 1)} // buffered: the granter never waits
	e := b.waiters.PushBack(w)
	b.unlock()
	b.mu.Unlock()
	select {
	case err := <-w.verdict:
		return err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case err := <-w.verdict: // granted at the same moment: return it
		if err == nil {
			b.drop(c, c.before)
		}
	default:
		b.waiters.Remove(e)
	}
	b.grant() // this waiter may have been blocking others
	return context.Cause(ctx)
}

// grant wakes the waiters that can proceed. Granting one may unblock an earlier
// one: with less left to need, a completion order may exist again. Holds b.mu.
func (b *Budget) grant() {
	for b.grantSome() {
	}
	b.unlock()
}

// grantSome scans the waiters once and reports whether any proceeded. Holds b.mu.
func (b *Budget) grantSome() (some bool) {
	var next *list.Element
	for e := b.waiters.Front(); e != nil; e = next {
		next = e.Next()
		w := e.Value.(*waiter)
		switch {
		case w.c.total > b.largest(w.c.tier):
			w.verdict <- tooLarge(w.c.total, b.largest(w.c.tier))
		case b.fits(w.c, w.to) && !b.barredBefore(w.c, e):
			b.take(w.c, w.to)
			w.verdict <- nil
			some = true
		default:
			continue
		}
		b.waiters.Remove(e)
	}
	return some
}

// unlock lets one claim proceed when every claim that holds bytes is waiting. A
// completion order is checked before each grant, but Correct and Resize can make
// it impossible. The claim that needs least proceeds, whatever its ceiling. Holds
// b.mu.
func (b *Budget) unlock() {
	var least *list.Element
	waiting := 0
	for e := b.waiters.Front(); e != nil; e = e.Next() {
		w := e.Value.(*waiter)
		if w.c.held == 0 {
			continue
		}
		waiting++
		if least == nil || w.c.total-w.c.held < least.Value.(*waiter).need() {
			least = e
		}
	}
	if least == nil || waiting < b.holders || b.inUse > b.claimed {
		return
	}
	w := b.waiters.Remove(least).(*waiter)
	b.take(w.c, w.to)
	w.verdict <- nil
}

// need is the number of bytes the claim still needs.
func (w *waiter) need() int64 { return w.c.total - w.c.held }

// barred reports whether c may not start because a waiter has been passed too
// often.
func (b *Budget) barred(c *Claim) bool { return b.barredBefore(c, nil) }

// barredBefore is barred, but considers only waiters ahead of e, or all if e is
// nil. Claims that have started are never barred, nor are small claims and
// newcomers.
func (b *Budget) barredBefore(c *Claim, before *list.Element) bool {
	if c.held > 0 || c.tier == small || b.newcomer(c, c.total) {
		return false
	}
	for e := b.waiters.Front(); e != nil && e != before; e = e.Next() {
		w := e.Value.(*waiter)
		if b.passed-w.since < passes*b.capacity {
			return false // nor have the waiters behind it
		}
		if w.c.tier <= c.tier || w.to-w.c.held <= b.ceiling(beyond)-b.beyond {
			return true // it waits for bytes that c would take, not only for those beyond a share
		}
	}
	return false
}

// passes is how many times the capacity may be granted past a waiter.
const passes = 4

// fits reports whether c may hold to bytes now. Holds b.mu.
func (b *Budget) fits(c *Claim, to int64) bool {
	if c.tier == small {
		return b.smallFits(c) // small claims do not grow
	}
	free := b.ceiling(c.tier) - b.inUse - (to - c.held)
	if free < 0 && b.newcomer(c, to) {
		return b.inUse+to-c.held <= b.capacity-b.capacity/16
	}
	if free < 0 || c.tier == whole || to >= c.total {
		return free >= 0 // a complete claim waits for nothing
	}
	return b.growing[c.tier].completes(free, c, to)
}

// take grants c its bytes. Holds b.mu.
func (b *Budget) take(c *Claim, to int64) {
	n := to - c.held
	c.before = c.held
	if c.tier == small && c.held == 0 {
		c.reserved = !b.smallFitsBelow(c)
	}
	b.inUse += n
	b.passed += n
	b.move(c, to)
}

// drop takes bytes back from c. Holds b.mu.
func (b *Budget) drop(c *Claim, to int64) {
	b.inUse -= c.held - to
	b.move(c, to)
}

// move records what c holds now. Holds b.mu.
func (b *Budget) move(c *Claim, to int64) {
	n := to - c.held
	if c.tier == within || c.tier == beyond {
		b.growing[c.tier].remove(c)
		defer b.growing[c.tier].add(c)
	}
	if c.tier == beyond {
		b.beyond += n
	}
	if c.reserved {
		b.reserved += n
	}
	if c.conn != nil {
		c.conn.held += n
		c.addr.held += n
	}
	if c.tier != whole {
		b.claimed += n
		switch {
		case c.held == 0 && to > 0:
			b.holders++
		case c.held > 0 && to == 0:
			b.holders--
		}
	}
	c.held = to
}

func tooLarge(n, capacity int64) error {
	return fmt.Errorf("%w: %d bytes requested, at most %d can be granted", ErrTooLarge, n, capacity)
}

// InUse returns the number of bytes in use.
func (b *Budget) InUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inUse
}

// Capacity returns the capacity in bytes.
func (b *Budget) Capacity() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.capacity
}

// Waiters returns the number of waiting claims.
func (b *Budget) Waiters() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiters.Len()
}
