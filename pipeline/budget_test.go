package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// claimants acquire in the background and record the order of grants.
type claimants struct {
	b     *Budget
	mu    sync.Mutex
	order []int64
	errs  chan error
}

func (c *claimants) acquire(ctx context.Context, n int64) {
	go func() {
		err := c.b.Acquire(ctx, n)
		if err == nil {
			c.mu.Lock()
			c.order = append(c.order, n)
			c.mu.Unlock()
		}
		c.errs <- err
	}()
	synctest.Wait()
}

func (c *claimants) granted() []int64 {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.order)
}

func TestBudgetLetsSmallerClaimsPassWithoutStarvation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &claimants{b: NewBudget(10), errs: make(chan error, 64)}
		c.acquire(t.Context(), 6)
		c.acquire(t.Context(), 8) // must wait
		n := 0
		for ; n < 100 && c.b.TryAcquire(4); n++ {
			c.b.Release(4)
		}
		if n != passes*10/4 {
			t.Errorf("a waiter was passed %d times", n)
		}
		c.acquire(t.Context(), 2) // may no longer pass
		if got := c.granted(); !slices.Equal(got, []int64{6}) || c.b.Waiters() != 2 {
			t.Fatalf("granted %v with %d waiters", got, c.b.Waiters())
		}
		c.b.Release(6)
		if got := c.granted(); !slices.Equal(got, []int64{6, 8, 2}) && !slices.Equal(got, []int64{6, 2, 8}) {
			t.Fatalf("granted %v", got) // both fit at once; only their recording races
		}
		if c.b.InUse() != 10 || c.b.Waiters() != 0 {
			t.Errorf("%d in use, %d waiters", c.b.InUse(), c.b.Waiters())
		}
	})
}

func TestBudgetCancelledWaiterUnblocksTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &claimants{b: NewBudget(10), errs: make(chan error, 8)}
		c.acquire(t.Context(), 6)
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		c.acquire(ctx, 8)
		c.acquire(t.Context(), 2)
		cancel(gone)
		if got := c.granted(); !slices.Equal(got, []int64{6, 2}) {
			t.Errorf("granted %v", got)
		}
		if errs := []error{<-c.errs, <-c.errs, <-c.errs}; !slices.Contains(errs, gone) {
			t.Errorf("got %v, want the cause of the context among them", errs)
		}
	})
}

func TestBudgetTooLargeIsAnErrorNotAHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &claimants{b: NewBudget(10), errs: make(chan error, 8)}
		if err := c.b.Acquire(t.Context(), 11); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		c.acquire(t.Context(), 9)
		<-c.errs
		c.acquire(t.Context(), 8)
		c.acquire(t.Context(), 3)
		c.b.Resize(5) // 8 can never be granted now
		if err := <-c.errs; !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		if c.b.Waiters() != 1 || c.b.InUse() != 9 || c.b.Capacity() != 5 {
			t.Errorf("%d waiters, %d of %d in use", c.b.Waiters(), c.b.InUse(), c.b.Capacity())
		}
		c.b.Resize(12)
		if err := <-c.errs; err != nil || c.b.InUse() != 12 {
			t.Errorf("got %v, %d in use", err, c.b.InUse())
		}
	})
}

func TestBudgetReleasePanicsOnMoreThanHeld(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("released what was never acquired")
		}
	}()
	NewBudget(10).Release(1)
}

func TestBudgetNeverExceedsItsCapacity(t *testing.T) {
	b := NewBudget(100)
	var held, most atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			for range 500 {
				n := rng.Int64N(60)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(time.Millisecond))))
				if b.Acquire(ctx, n) == nil {
					h := held.Add(n)
					for m := most.Load(); h > m && !most.CompareAndSwap(m, h); m = most.Load() {
					}
					held.Add(-n)
					b.Release(n)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if most.Load() > 100 || b.InUse() != 0 || b.Waiters() != 0 {
		t.Errorf("at most %d held, %d and %d waiters left", most.Load(), b.InUse(), b.Waiters())
	}
}
