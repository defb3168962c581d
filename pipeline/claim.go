package pipeline

import (
	"context"
	"net/netip"
)

// SmallClaim is how large a claim may be to have a part in the reserve.
const SmallClaim = 64 << 10

// Holder says who holds bytes: a connection, at an address.
type Holder struct {
	Conn uint64
	Addr netip.Addr
}

// account is what a connection or an address holds of a budget.
type account struct {
	held     int64
	promised int64 // totals of its claims
	claims   int
}

// tier is how far a claim may go; each has a ceiling on what is in use with it.
type tier int

// within and beyond index Budget.growing.
const (
	within tier = iota // of the share of its connection and address
	beyond             // that share
	small              // enough for the reserve
	whole              // on nobody's account
)

// ceiling is what may be in use after a grant in a tier. Small claims have more,
// see smallFits.
func (b *Budget) ceiling(t tier) int64 {
	reserve := b.capacity / 16
	switch t {
	case within:
		return b.capacity - reserve - b.kept()
	case beyond:
		return b.capacity - reserve - b.kept() - b.capacity/4
	}
	return b.capacity
}

// smallFits says whether a small claim finds room: with the larger ones, or in the
// reserve, of which strangers may have the last, those who hold some bytes some,
// and who holds much nothing. Holds b.mu.
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

// smallFitsBelow says whether a small claim finds room without the reserve. Holds b.mu.
func (b *Budget) smallFitsBelow(c *Claim) bool {
	ceiling := b.ceiling(within)
	if c.over {
		ceiling = b.ceiling(beyond)
	}
	return b.inUse+c.total <= ceiling
}

// Largest returns how large a claim can be.
func (b *Budget) Largest() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.largest(beyond)
}

// largest is how large a claim of a tier can be: what anybody finds if there is
// nobody else.
func (b *Budget) largest(t tier) int64 {
	if t == whole {
		return b.capacity
	}
	return b.ceiling(beyond)
}

// LargestOf is Largest of a budget of so many bytes.
func LargestOf(bytes int64) int64 { return NewBudget(bytes).Largest() }

// Claim is what one frame takes of a budget: up to total bytes, a step at a time.
// Its methods must not be called concurrently.
type Claim struct {
	b           *Budget
	tier        tier
	over        bool // its connection or address claims more than its share
	reserved    bool // what it holds is of the reserve
	who         Holder
	conn, addr  *account // nil when on nobody's account
	total, held int64
	before      int64 // held before the last grant
}

// Claim begins a claim of who to at most total bytes. It holds nothing before it
// grows. Release it in any case.
func (b *Budget) Claim(who Holder, total int64) *Claim {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open(who, total)
}

// ClaimUpTo claims at least least bytes, waiting for them, and more, at most most,
// if there is plenty: half of what is free, so that one always leaves as much to
// the next as it takes. Size says how much it got.
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

// open makes a claim. Holds b.mu.
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

// Size returns the bytes held.
func (c *Claim) Size() int64 { return c.held }

// Grow has the claim hold so many bytes in all, at most its total, and waits for
// those that it has not yet. It returns [ErrTooLarge] when the total can never be
// had, and the cause of ctx when that ends first; then nothing has changed.
func (c *Claim) Grow(ctx context.Context, to int64) error {
	if to = min(to, c.total); to <= c.held {
		return nil
	}
	if c.tier == small {
		to = c.total
	}
	return c.b.grow(ctx, c, to)
}

// Ahead has the claim hold its total before its bytes have come, if there is plenty:
// if all that is in use after is an eighth of the capacity at most, and its connection
// and address are within their shares. It reports whether that is so; if not, nothing
// has changed.
func (c *Claim) Ahead() bool {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.over || c.b.inUse+c.total-c.held > c.b.capacity/8 || c.b.barred(c) || !c.b.fits(c, c.total) {
		return false
	}
	c.b.take(c, c.total)
	return true
}

// Correct has the claim hold what there really is, however much is in use. After Release
// it does nothing.
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

// Release gives everything back. Further calls do nothing.
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
