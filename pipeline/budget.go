package pipeline

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Budget bounds bytes, and shares them out so that nobody stops anybody.
//
//   - A claim grows as its bytes come ([Claim]), so what it says costs nothing.
//   - A claim that waits does not hold up those that fit; but once four times the
//     capacity has passed it, no new claim of its kind begins before it goes on.
//   - A sixteenth is a reserve for claims of at most [SmallClaim] bytes, of which a
//     connection and an address get a part each.
//   - A connection that claims more than an eighth of the capacity, or an address
//     that claims more than a quarter, leaves a further quarter to the others.
//   - With [Budget.KeepForStrangers] an eighth is kept for addresses that hold nearly
//     nothing, so that those who give back late never hold up those who come.
//   - A claim begins or grows only if all that have begun can still be completed one
//     after another, so that they never wait for each other.
//
// The order of completion is found by sizes rounded up (growing.go), which costs
// the same however many there are. All methods may be called concurrently.
type Budget struct {
	mu       sync.Mutex
	capacity int64
	inUse    int64
	beyond   int64     // of inUse, what claims beyond their share hold
	reserved int64     // of inUse, what small claims hold of the reserve
	passed   int64     // bytes ever granted
	holders  int       // claims that hold bytes, but for those of the whole
	claimed  int64     // bytes that they hold
	keeps    bool      // an eighth for strangers
	waiters  list.List // of *waiter, in the order in which they came
	growing  [2]growing
	conns    map[uint64]*account
	addrs    map[any]*account
}

// waiter is one blocked Grow. Granted or refused under Budget.mu, then told.
type waiter struct {
	c       *Claim
	to      int64 // what the claim wants to hold
	since   int64 // Budget.passed when it began to wait
	verdict chan error
}

// NewBudget returns a Budget of the given bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{capacity: max(bytes, 0), conns: make(map[uint64]*account), addrs: make(map[any]*account)}
}

// KeepForStrangers keeps an eighth of the capacity for claims that begin whole and after
// which their address holds a 64th at most. Call it before there is any claim.
func (b *Budget) KeepForStrangers() *Budget {
	b.keeps = true
	return b
}

// kept is what is kept for strangers. Holds b.mu.
func (b *Budget) kept() int64 {
	if b.keeps {
		return b.capacity / 8
	}
	return 0
}

// stranger says whether c, whole, is one of those for whom some is kept. Holds b.mu.
func (b *Budget) stranger(c *Claim, to int64) bool {
	return b.keeps && c.addr != nil && to >= c.total && c.addr.held-c.held+to <= b.capacity/64
}

// Acquire takes n bytes of the whole capacity on nobody's account, waiting for its
// turn. It returns [ErrTooLarge] when n exceeds the capacity, also if that shrinks
// below n during the wait, and the cause of ctx when that ends first. After an
// error nothing is held.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if n < 0 {
		panic("pipeline: negative acquire")
	}
	return (&Claim{b: b, total: n, tier: whole}).Grow(ctx, n)
}

// TryAcquire takes n bytes if that needs no waiting.
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

// Release gives n bytes of Acquire back. Releasing more than is held is a bug and
// panics.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 || n > b.inUse {
		panic(fmt.Sprintf("pipeline: released %d bytes of %d held", n, b.inUse))
	}
	b.inUse -= n
	b.grant()
}

// Resize sets the capacity. Shrinking below what is in use takes nothing back:
// nobody is admitted until enough is released.
func (b *Budget) Resize(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.capacity = max(bytes, 0)
	b.grant()
}

// grow has c hold so many bytes in all, waiting for them.
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
	case err := <-w.verdict: // granted at the same moment: give it back
		if err == nil {
			b.drop(c, c.before)
		}
	default:
		b.waiters.Remove(e)
	}
	b.grant() // this one may have been what held up the others
	return context.Cause(ctx)
}

// grant tells waiters that can go on now. What one takes may be what lets another go on
// that came before it: with less that it still needs there may be an order again. Holds
// b.mu.
func (b *Budget) grant() {
	for b.grantSome() {
	}
	b.unlock()
}

// grantSome goes through the waiters once, and reports whether any went on. Holds b.mu.
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

// unlock lets one go on where all that hold bytes wait. Orders of completion are looked
// for before each grant, but Correct and Resize can leave none. It is the one that needs
// least, whatever its ceiling. Holds b.mu.
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

// need is what the claim still needs.
func (w *waiter) need() int64 { return w.c.total - w.c.held }

// barred says that c may not begin since one that waits has been passed too often.
func (b *Budget) barred(c *Claim) bool { return b.barredBefore(c, nil) }

// barredBefore is barred by those that wait before e, or by any. Claims that have
// begun are never barred, nor are small ones and strangers.
func (b *Budget) barredBefore(c *Claim, before *list.Element) bool {
	if c.held > 0 || c.tier == small || b.stranger(c, c.total) {
		return false
	}
	for e := b.waiters.Front(); e != nil && e != before; e = e.Next() {
		w := e.Value.(*waiter)
		if b.passed-w.since < passes*b.capacity {
			return false // nor have those behind it been passed so often
		}
		if w.c.tier <= c.tier || w.to-w.c.held <= b.ceiling(beyond)-b.beyond {
			return true // it waits for the likes of c, not for those beyond their share alone
		}
	}
	return false
}

// passes is how often the capacity may pass one that waits.
const passes = 4

// fits says whether c may hold so many bytes now. Holds b.mu.
func (b *Budget) fits(c *Claim, to int64) bool {
	if c.tier == small {
		return b.smallFits(c) // they do not grow
	}
	room := b.ceiling(c.tier) - b.inUse - (to - c.held)
	if room < 0 && b.stranger(c, to) {
		return b.inUse+to-c.held <= b.capacity-b.capacity/16
	}
	if room < 0 || c.tier == whole || to >= c.total {
		return room >= 0 // one that is complete needs nobody
	}
	return b.growing[c.tier].completes(room, c, to)
}

// take gives bytes to c. Holds b.mu.
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

// move notes what c holds now. Holds b.mu.
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
	return fmt.Errorf("%w: %d bytes asked, %d are there for one", ErrTooLarge, n, capacity)
}

// InUse returns the bytes held now.
func (b *Budget) InUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inUse
}

// Capacity returns the bytes there are.
func (b *Budget) Capacity() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.capacity
}

// Waiters returns how many claims wait.
func (b *Budget) Waiters() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiters.Len()
}
