package pipeline

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Budget bounds bytes. It is fair: requests are granted in the order they came,
// so a large one is not starved by small ones that would fit before it.
// All methods may be called concurrently.
type Budget struct {
	mu       sync.Mutex
	capacity int64
	inUse    int64
	waiters  list.List // of *claim
}

// claim is one blocked Acquire. Granted or refused under Budget.mu, then told.
type claim struct {
	n       int64
	verdict chan error // buffered: the granter never waits
}

// NewBudget returns a Budget of the given bytes.
func NewBudget(bytes int64) *Budget { return &Budget{capacity: max(bytes, 0)} }

// Acquire takes n bytes, waiting for its turn. It returns [ErrTooLarge] when n
// exceeds the capacity, also if that shrinks below n during the wait, and the
// cause of ctx when that ends first. After an error nothing is held.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	switch {
	case n < 0:
		b.mu.Unlock()
		panic("pipeline: negative acquire")
	case n > b.capacity:
		defer b.mu.Unlock()
		return tooLarge(n, b.capacity)
	case b.waiters.Len() == 0 && b.inUse+n <= b.capacity:
		b.inUse += n
		b.mu.Unlock()
		return nil
	}
	c := &claim{n, make(chan error, 1)}
	e := b.waiters.PushBack(c)
	b.mu.Unlock()
	select {
	case err := <-c.verdict:
		return err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case err := <-c.verdict: // granted at the same moment: give it back
		if err == nil {
			b.inUse -= n
		}
	default:
		b.waiters.Remove(e)
	}
	b.grant() // this one may have been what held up the others
	return context.Cause(ctx)
}

// TryAcquire takes n bytes if that needs no waiting and passes nobody.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 0 || b.waiters.Len() > 0 || b.inUse+n > b.capacity {
		return false
	}
	b.inUse += n
	return true
}

// Release gives n bytes back. Releasing more than is held is a bug and panics.
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

// grant tells waiters, in order, until one has to wait on. Holds b.mu.
func (b *Budget) grant() {
	for e := b.waiters.Front(); e != nil; e = b.waiters.Front() {
		c := e.Value.(*claim)
		switch {
		case c.n > b.capacity:
			c.verdict <- tooLarge(c.n, b.capacity)
		case b.inUse+c.n <= b.capacity:
			b.inUse += c.n
			c.verdict <- nil
		default:
			return
		}
		b.waiters.Remove(e)
	}
}

func tooLarge(n, capacity int64) error {
	return fmt.Errorf("%w: %d bytes asked, capacity %d", ErrTooLarge, n, capacity)
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

// Waiters returns how many Acquire calls wait.
func (b *Budget) Waiters() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiters.Len()
}
