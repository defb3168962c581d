package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// busy runs conns connections of an address that each hold a permit for work at a
// time and ask again at once, until ctx ends.
func busy(t *testing.T, ctx context.Context, p *FairLimiter, addr byte, conns int, work time.Duration) {
	for i := range conns {
		go func() {
			for ctx.Err() == nil {
				pl, err := p.Acquire(ctx, who(uint64(addr)<<32+uint64(i), addr))
				if err != nil {
					return
				}
				time.Sleep(work)
				pl.Release()
			}
		}()
	}
}

// longest returns the longest wait for a permit, over that many turns 20 ms apart.
func longest(t *testing.T, p *FairLimiter, h Holder, turns int, work time.Duration) (most time.Duration) {
	t.Helper()
	for range turns {
		began := time.Now()
		pl, err := p.Acquire(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, time.Since(began))
		time.Sleep(work)
		pl.Release()
		time.Sleep(20 * time.Millisecond)
	}
	return most
}

func TestManyConnectionsOfAnAddressDoNotDelayOthers(t *testing.T) {
	for name, c := range map[string]struct {
		conns int
		other Holder
		work  time.Duration
	}{
		"another address":                    {2000, who(1, 1), time.Millisecond},
		"another connection of that address": {100, who(1, 9), 100 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewFairLimiter(2, 10*time.Millisecond)
				ctx, stop := context.WithCancel(t.Context())
				busy(t, ctx, p, 9, c.conns, 5*time.Millisecond)
				time.Sleep(6 * time.Second) // each has had a turn
				if got := longest(t, p, c.other, 100, c.work); got > 5*time.Millisecond {
					t.Errorf("waited %v, one turn takes 5ms", got)
				}
				stop()
				time.Sleep(time.Second)
				synctest.Wait()
				if p.Waiting() != 0 || !p.Idle() || p.free != 2 {
					t.Errorf("%d waiting, %d of 2 permits are free", p.Waiting(), p.free)
				}
			})
		})
	}
}

// Addresses with constant demand get equal time, however long each of their turns
// is and however many connections they use.
func TestPermitsAreSharedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewFairLimiter(1, 10*time.Millisecond)
		ctx, stop := context.WithCancel(t.Context())
		busy(t, ctx, p, 1, 1000, 8*time.Millisecond)
		busy(t, ctx, p, 2, 3, time.Millisecond)
		busy(t, ctx, p, 3, 5, 3*time.Millisecond)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		p.mu.Lock()
		var least, most int64 = 1 << 62, 0
		for _, a := range p.addrs.children {
			least, most = min(least, a.used), max(most, a.used)
		}
		p.mu.Unlock()
		if time.Duration(most-least) > 20*time.Millisecond || time.Duration(least) < 3*time.Second {
			t.Errorf("from %v to %v of 10s", time.Duration(least), time.Duration(most))
		}
		stop()
		time.Sleep(time.Second)
		synctest.Wait()
	})
}

func TestPausingEarnsNoCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewFairLimiter(1, 10*time.Millisecond)
		pl, _ := p.Acquire(t.Context(), who(2, 2))
		pl.Release()
		ctx, stop := context.WithCancel(t.Context())
		busy(t, ctx, p, 1, 10, time.Millisecond)
		time.Sleep(10 * time.Second)
		busy(t, ctx, p, 2, 100, 5*time.Millisecond)
		time.Sleep(time.Millisecond)
		if got := longest(t, p, who(99, 1), 10, time.Millisecond); got > 100*time.Millisecond {
			t.Errorf("another address waited %v for one that had paused", got)
		}
		stop()
		time.Sleep(time.Second)
		synctest.Wait()
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewFairLimiter(1, time.Second)
		first, _ := p.Acquire(t.Context(), who(1, 1))
		why := errors.New("the client has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		over := make(chan error, 1)
		go func() { _, err := p.Acquire(ctx, who(2, 2)); over <- err }()
		synctest.Wait()
		if p.Waiting() != 1 {
			t.Errorf("%d wait", p.Waiting())
		}
		cancel(why)
		if err := <-over; !errors.Is(err, why) {
			t.Error(err)
		}
		first.Release()
		first.Release() // no effect
		second, err := p.Acquire(t.Context(), who(2, 2))
		if err != nil || p.free != 0 {
			t.Errorf("%v, %d permits are free", err, p.free)
		}
		second.Release()
	})
}

func TestFairLimiterForgetsIdleConnections(t *testing.T) {
	p := NewFairLimiter(1, time.Millisecond)
	for i := range 3 * maxIdle {
		pl, err := p.Acquire(t.Context(), who(uint64(i), byte(i%100)))
		if err != nil {
			t.Fatal(err)
		}
		pl.Release()
	}
	n := 0
	for _, a := range p.addrs.children {
		n += len(a.children)
	}
	if n != maxIdle || p.idle.Len() != n || len(p.addrs.children) > 100 {
		t.Errorf("%d connections of %d addresses are remembered, %d as idle", n, len(p.addrs.children), p.idle.Len())
	}
}

func BenchmarkFairLimiter(b *testing.B) {
	p := NewFairLimiter(2, time.Millisecond)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			pl, _ := p.Acquire(context.Background(), who(1, 1))
			pl.Release()
		}
	})
}
