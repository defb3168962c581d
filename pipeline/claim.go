package pipeline

import (
	"context"
	"net/netip"
)

// SmallClaim is the largest claim that may use the reserve.
const SmallClaim = 64 << 10

// Holder identifies who holds bytes: a connection and its client address.
type Holder struct {
	Conn uint64
	Addr netip.Addr
}

// account tracks what a connection or an address holds of a budget.
type account struct {
	held     int64
	promised int64 // total size of its claims
	claims   int
}

// tier decides how many bytes may be in use for a claim to be granted.
type tier int

// within and beyond index Budget.growing.
const (
	within tier = iota // within the share of its connection and address
	beyond             // beyond that share
	small              // small enough for the reserve
	whole              // charged to no connection or address
)

// ceiling is the number of bytes that may be in use after a grant in a tier.
// Small claims may go higher, see smallFits.
func (b *Budget) ceiling(t tier) int64 {
	reserve := b.capacity / 16
	switch t {
	case within:
		return b.capacity - reserve - b.newcomerReserve()
	case beyond:
		return b.capacity - reserve - b.newcomerReserve() - b.capacity/4
	}
	return b.capacity
}

// smallFits reports whether a small claim fits, either next to the larger ones or
// in the reserve. Newcomers may use all of the reserve, holders of a few bytes
// part of it, and heavy holders none. Holds b.mu.
func (b *Budget) smallFits(c *Claim) bool {
	if b.smallFitsBelow(c) {
		return true
	}
	part := b.capacity / 16
	switch {
	case c.conn.held > 0 && c.conn.held+c.total > part/8:
		return false
	case c.over:
		part /= 2
	case c.addr.held > 0 && c.addr.held+c.total > part/4:
		part -= part / 4
	}
	return b.reserved+c.total <= part && b.inUse+c.total <= b.capacity
}

// smallFitsBelow reports whether a small claim fits without the reserve. Holds
// b.mu.
func (b *Budget) smallFitsBelow(c *Claim) bool {
	ceiling := b.ceiling(within)
	if c.over {
		ceiling = b.ceiling(beyond)
	}
	return b.inUse+c.total <= ceiling
}

// Largest returns the size of the largest possible claim.
func (b *Budget) Largest() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.largest(beyond)
}

// largest is the size of the largest possible claim of a tier: what an otherwise
// idle budget would grant.
func (b *Budget) largest(t tier) int64 {
	if t == whole {
		return b.capacity
	}
	return b.ceiling(beyond)
}

// LargestOf returns [Budget.Largest] for a budget of the given capacity.
func LargestOf(bytes int64) int64 { return NewBudget(bytes).Largest() }

// Claim is the memory charged for one frame: up to total bytes, in steps. Its
// methods must not be called concurrently.
type Claim struct {
	b           *Budget
	tier        tier
	over        bool // its connection or address claims more than its share
	reserved    bool // its bytes come from the reserve
	who         Holder
	conn, addr  *account // nil when charged to no account
	total, held int64
	before      int64 // held before the last grant
}

// Claim opens a claim on behalf of who for at most total bytes. It holds nothing
// until it grows. It must always be released.
func (b *Budget) Claim(who Holder, total int64) *Claim {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open(who, total)
}

// ClaimUpTo claims at least least bytes, waiting for them, and up to most if
// plenty are free: it takes at most half of what is free, so that the next caller
// finds as much as this one took. Size returns what was granted.
func (b *Budget) ClaimUpTo(ctx context.Context, who Holder, least, most int64) (*Claim, error) {
	b.mu.Lock()
	largest := b.largest(beyond)
	n := min(max(least, (largest-b.inUse)/2), most, largest)
	c := b.open(who, n)
	b.mu.Unlock()
	if err := c.Grow(ctx, n); err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

// open creates a claim. Holds b.mu.
func (b *Budget) open(who Holder, total int64) *Claim {
	c := &Claim{b: b, who: who, total: total, conn: enter(b.conns, who.Conn, total), addr: enter(b.addrs, any(who.Addr), total)}
	c.over = c.conn.promised > b.capacity/8 || c.addr.promised > b.capacity/4
	switch {
	case total <= SmallClaim:
		c.tier = small
	case c.over:
		c.tier = beyond
	}
	return c
}

// Size returns the number of bytes held.
func (c *Claim) Size() int64 { return c.held }

// Grow makes the claim hold to bytes in total, capped at its declared total, and
// waits for the missing ones. It returns [ErrTooLarge] when the total can never
// be granted, and the cause of ctx when that ends first; then nothing has
// changed.
func (c *Claim) Grow(ctx context.Context, to int64) error {
	if to = min(to, c.total); to <= c.held {
		return nil
	}
	if c.tier == small {
		to = c.total
	}
	return c.b.grow(ctx, c, to)
}

// GrowAhead grows the claim to its total before the bytes have arrived, if plenty are
// free: at most an eighth of the capacity is in use afterwards, and its
// connection and address are within their shares. It reports whether it did; if
// not, nothing has changed.
func (c *Claim) GrowAhead() bool {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.over || c.b.inUse+c.total-c.held > c.b.capacity/8 || c.b.barred(c) || !c.b.fits(c, c.total) {
		return false
	}
	c.b.take(c, c.total)
	return true
}

// Correct sets what the claim holds to the actual size, even beyond the capacity.
// After Release it does nothing.
func (c *Claim) Correct(to int64) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.conn == nil {
		return
	}
	c.b.inUse += to - c.held
	c.b.move(c, to)
	c.b.grant()
}

// Release returns all bytes held. Further calls do nothing.
func (c *Claim) Release() {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.conn == nil {
		return
	}
	c.b.drop(c, 0)
	leave(c.b.conns, c.who.Conn, c.conn, c.total)
	leave(c.b.addrs, any(c.who.Addr), c.addr, c.total)
	c.conn, c.addr = nil, nil
	c.b.grant()
}

func enter[K comparable](m map[K]*account, k K, total int64) *account {
	a := m[k]
	if a == nil {
		a = &account{}
		m[k] = a
	}
	a.claims++
	a.promised += total
	return a
}

func leave[K comparable](m map[K]*account, k K, a *account, total int64) {
	a.promised -= total
	if a.claims--; a.claims == 0 {
		delete(m, k)
	}
}
