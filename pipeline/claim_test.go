package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

// who returns a connection of an address, by number.
func who(conn uint64, addr byte) Holder {
	return Holder{conn, netip.AddrFrom4([4]byte{192, 0, 2, addr})}
}

// now grows a claim, and reports false if it would have to wait.
func now(c *Claim, to int64) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return c.Grow(ctx, to) == nil
}

func TestDeclaredBytesCostNothingUntilTheyArrive(t *testing.T) {
	b := NewBudget(96 * mib)
	for i := range uint64(8) {
		stalled := b.Claim(who(i, 1), 60*mib)
		defer stalled.Release()
		if !now(stalled, 16<<10) {
			t.Fatalf("claim %d could not start", i)
		}
	}
	for size := int64(1); size <= 20*mib; size *= 4 {
		c := b.Claim(who(100, 1), size)
		if !now(c, size) {
			t.Errorf("%d bytes had to wait for stalled claims", size)
		}
		c.Release()
	}
}

func TestGrowAheadLeavesPlenty(t *testing.T) {
	b := NewBudget(96 * mib)
	var held int64
	for conn := uint64(1); ; conn++ {
		c := b.Claim(who(conn, byte(conn)), mib)
		t.Cleanup(c.Release)
		if !c.GrowAhead() {
			if c.Size() != 0 || b.InUse() != held {
				t.Errorf("refused, but it holds %d bytes and all hold %d, want %d", c.Size(), b.InUse(), held)
			}
			break
		}
		held += mib
		if c.Size() != mib || b.InUse() != held {
			t.Fatalf("the claim holds %d bytes, all hold %d", c.Size(), b.InUse())
		}
	}
	if held != 12*mib {
		t.Errorf("%d bytes of 96 MiB were granted ahead, want an eighth", held)
	}
	if c := b.Claim(who(100, 100), mib); !now(c, 16<<10) {
		t.Error("nothing is left for claims that grow gradually")
	}
}

func TestGrowAheadIsRefusedBeyondTheShare(t *testing.T) {
	b := NewBudget(96 * mib)
	first := b.Claim(who(1, 1), 60*mib)
	defer first.Release()
	second := b.Claim(who(1, 1), mib)
	defer second.Release()
	if second.GrowAhead() {
		t.Error("a connection that claims more than its share was granted bytes ahead")
	}
}

func TestNobodyCanTakeTheShareOfOthers(t *testing.T) {
	b := NewBudget(96 * mib)
	conns := uint64(0)
	fill := func(addr byte, size int64) {
		for {
			conns++
			c := b.Claim(who(conns, addr), size)
			if !now(c, size) {
				c.Release()
				return
			}
			t.Cleanup(c.Release)
		}
	}
	fill(1, 10*mib)
	fill(1, mib)
	fill(1, SmallClaim)
	larger := b.Claim(who(1<<40, 2), 10*mib)
	if !now(larger, 10*mib) {
		t.Errorf("another address cannot claim 10 MiB; %d of %d bytes are in use", b.InUse(), b.Capacity())
	}
	larger.Release()
	for addr := byte(2); addr < 6; addr++ {
		fill(addr, 10*mib)
		fill(addr, mib)
	}
	fill(1, SmallClaim)
	newcomer := b.Claim(who(1<<41, 200), SmallClaim)
	defer newcomer.Release()
	if !now(newcomer, SmallClaim) {
		t.Errorf("a newcomer cannot claim a small frame; %d of %d bytes are in use", b.InUse(), b.Capacity())
	}
}

// Small claims made while there was plenty of space leave the reserve to others,
// however many connections and addresses they come from.
func TestSmallClaimsLeaveTheReserveToOthers(t *testing.T) {
	b := NewBudget(16 * mib)
	conns := uint64(0)
	for full := 0; full < 8; {
		full = 0
		for addr := byte(1); addr <= 8; addr++ {
			conns++
			c := b.Claim(who(conns, addr), 4<<10)
			if !now(c, 4<<10) {
				c.Release()
				full++
				continue
			}
			t.Cleanup(c.Release)
		}
	}
	for addr := byte(100); addr < 110; addr++ {
		newcomer := b.Claim(who(1<<40+uint64(addr), addr), 4<<10)
		t.Cleanup(newcomer.Release)
		if !now(newcomer, 4<<10) {
			t.Fatalf("a newcomer is refused; %d of %d bytes are in use", b.InUse(), b.Capacity())
		}
	}
	if b.InUse() > b.Capacity() {
		t.Errorf("%d bytes of %d are in use", b.InUse(), b.Capacity())
	}
}

func TestReleasedClaimHoldsNothing(t *testing.T) {
	b := NewBudget(16 * mib)
	c := b.Claim(who(1, 1), mib)
	if !now(c, mib) {
		t.Fatal("no room")
	}
	c.Release()
	c.Correct(mib)
	c.Release()
	if n := b.InUse(); n != 0 {
		t.Errorf("%d bytes are in use", n)
	}
}

// Every claim that has started completes: claims never wait for each other. A
// deadlock ends the bubble with a panic.
func TestClaimsNeverWaitForEachOther(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			b := NewBudget(8 * mib)
			var all sync.WaitGroup
			for i := range uint64(200) {
				size := int64(1) << (10 + rng.IntN(13))
				size = min(size+rng.Int64N(size), b.Largest())
				holder, pause, giveUp := who(i%50, byte(rng.IntN(3))), time.Duration(rng.IntN(50))*time.Millisecond, rng.IntN(10) == 0
				all.Go(func() {
					c := b.Claim(holder, size)
					defer c.Release()
					ctx := t.Context()
					if giveUp {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, 3*pause)
						defer cancel()
					}
					for to := int64(16 << 10); ; to *= 4 {
						if err := c.Grow(ctx, to); err != nil {
							if !giveUp {
								t.Errorf("%d bytes: %v", size, err)
							}
							return
						}
						time.Sleep(pause)
						if n := forgotten(b); n > 0 {
							t.Errorf("seed %d: %d waiters could proceed", seed, n)
						}
						if to >= size {
							return
						}
					}
				})
			}
			all.Wait()
			if b.InUse() != 0 || b.beyond != 0 || len(b.conns) != 0 || len(b.addrs) != 0 || b.growing != [2]growing{} {
				t.Errorf("seed %d: %d bytes in use at the end, %d beyond, accounts of %d and %d, %v", seed, b.InUse(), b.beyond, len(b.conns), len(b.addrs), b.growing)
			}
		})
	}
}

// forgotten returns the number of waiters that fit.
func forgotten(b *Budget) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for e := b.waiters.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); b.fits(w.c, w.to) && !b.barredBefore(w.c, e) {
			n++
		}
	}
	return n
}

func TestLargestClaimCompletesBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(16 * mib)
		stop := make(chan struct{})
		var others sync.WaitGroup
		for i := range uint64(12) {
			others.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c := b.Claim(who(i, byte(i)), mib)
					if err := c.Grow(t.Context(), mib); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(i+1) * time.Millisecond)
					c.Release()
				}
			})
		}
		large := b.Claim(who(99, 99), b.Largest())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for to := int64(64 << 10); ; to *= 4 {
			if err := large.Grow(ctx, to); err != nil {
				t.Errorf("the largest claim starves at %d of %d bytes: %v", large.Size(), b.Largest(), err)
				break
			}
			if to >= b.Largest() {
				break
			}
		}
		large.Release()
		close(stop)
		others.Wait()
	})
}

func TestClaimLargerThanAnyIsAnError(t *testing.T) {
	b := NewBudget(16 * mib)
	c := b.Claim(who(1, 1), b.Largest()+1)
	defer c.Release()
	if err := c.Grow(t.Context(), 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestClaimUpToLeavesAsMuchAsItTakes(t *testing.T) {
	b := NewBudget(96 * mib)
	last := b.Largest()
	for i := range uint64(6) {
		c, err := b.ClaimUpTo(t.Context(), who(i, 1), 64<<10, 50*mib)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		if got := c.Size(); got > last/2+1 || got < 64<<10 {
			t.Errorf("claim %d got %d bytes, the one before %d", i, got, last)
		}
		last = b.Largest() - b.InUse()
	}
	if c, err := b.ClaimUpTo(t.Context(), who(50, 2), 1<<10, 1<<10); err != nil || c.Size() != 1<<10 {
		t.Errorf("%v", err)
	}
}

func TestCorrectCountsWhatThereIs(t *testing.T) {
	b := NewBudget(mib)
	c := b.Claim(who(1, 1), 100)
	if !now(c, 100) {
		t.Fatal("no room")
	}
	c.Correct(900 << 10)
	if b.InUse() != 900<<10 {
		t.Errorf("%d in use", b.InUse())
	}
	c.Release()
	c.Release()
	if b.InUse() != 0 {
		t.Errorf("%d in use after the release", b.InUse())
	}
}

// Many addresses that release nothing never block a newcomer, however many of
// their claims wait ahead of it.
func TestNewcomersPassThoseWhoReleaseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(64 * mib).ReserveForNewcomers()
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		var mu sync.Mutex
		var all []*Claim
		for conn := range uint64(64) {
			for range 4 {
				waiting.Go(func() {
					c, err := b.ClaimUpTo(ctx, who(conn, byte(conn%8)), mib, 50*mib)
					if err == nil {
						mu.Lock()
						all = append(all, c)
						mu.Unlock()
					}
				})
				synctest.Wait()
			}
		}
		if b.Waiters() < 100 {
			t.Fatalf("%d waiters: the budget is not exhausted", b.Waiters())
		}
		for range 1000 {
			c, err := b.ClaimUpTo(ctx, who(1000, 100), mib, 50*mib)
			if err != nil || c.Size() < mib {
				t.Fatal(err)
			}
			c.Release()
		}
		// Not more than its share: a second claim waits like everybody else.
		c, err := b.ClaimUpTo(ctx, who(1000, 100), mib, mib)
		if err != nil {
			t.Fatal(err)
		}
		if second := b.Claim(who(1001, 100), mib); now(second, mib) {
			t.Error("an address used the newcomers' reserve twice")
			second.Release()
		} else {
			second.Release()
		}
		c.Release()
		if n := b.InUse(); n > 60*mib {
			t.Errorf("%d MiB are in use", n/mib)
		}
		cancel()
		waiting.Wait()
		for _, c := range all {
			c.Release()
		}
		if n := b.InUse(); n != 0 {
			t.Errorf("%d bytes were not released", n)
		}
	})
}
