package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// busy has so many connections of an address work for so long at a time, each again as
// soon as it is done, until ctx ends.
func busy(t *testing.T, ctx context.Context, p *Places, addr byte, conns int, work time.Duration) {
	for i := range conns {
		go func() {
			for ctx.Err() == nil {
				pl, err := p.Enter(ctx, who(uint64(addr)<<32+uint64(i), addr))
				if err != nil {
					return
				}
				time.Sleep(work)
				pl.Leave()
			}
		}()
	}
}

// longest returns how long a place is waited for at most, in so many turns that are
// 20 ms apart.
func longest(t *testing.T, p *Places, h Holder, turns int, work time.Duration) (most time.Duration) {
	t.Helper()
	for range turns {
		began := time.Now()
		pl, err := p.Enter(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, time.Since(began))
		time.Sleep(work)
		pl.Leave()
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
		"another address": {2000, who(1, 1), time.Millisecond},
		"a connection of the same that needs its part": {100, who(1, 9), 100 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewPlaces(2, 10*time.Millisecond)
				ctx, stop := context.WithCancel(t.Context())
				busy(t, ctx, p, 9, c.conns, 5*time.Millisecond)
				time.Sleep(6 * time.Second) // each has had its turn
				if got := longest(t, p, c.other, 100, c.work); got > 5*time.Millisecond {
					t.Errorf("it waited %v, the work of one takes 5ms", got)
				}
				stop()
				time.Sleep(time.Second)
				synctest.Wait()
				if p.Waiting() != 0 || !p.Idle() || p.free != 2 {
					t.Errorf("%d wait, %d of 2 places are free", p.Waiting(), p.free)
				}
			})
		})
	}
}

// Addresses that always want more get as much time each, whatever they ask at a time
// and from however many connections.
func TestPlacesAreSharedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(1, 10*time.Millisecond)
		ctx, stop := context.WithCancel(t.Context())
		busy(t, ctx, p, 1, 1000, 8*time.Millisecond)
		busy(t, ctx, p, 2, 3, time.Millisecond)
		busy(t, ctx, p, 3, 5, 3*time.Millisecond)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		p.mu.Lock()
		var least, most int64 = 1 << 62, 0
		for _, a := range p.addrs.parties {
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

func TestAPauseIsNoCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(1, 10*time.Millisecond)
		pl, _ := p.Enter(t.Context(), who(2, 2))
		pl.Leave()
		ctx, stop := context.WithCancel(t.Context())
		busy(t, ctx, p, 1, 10, time.Millisecond)
		time.Sleep(10 * time.Second)
		busy(t, ctx, p, 2, 100, 5*time.Millisecond)
		time.Sleep(time.Millisecond)
		if got := longest(t, p, who(99, 1), 10, time.Millisecond); got > 100*time.Millisecond {
			t.Errorf("another waited %v for one that was away", got)
		}
		stop()
		time.Sleep(time.Second)
		synctest.Wait()
	})
}

func TestWaitingForAPlaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(1, time.Second)
		first, _ := p.Enter(t.Context(), who(1, 1))
		why := errors.New("the client has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		over := make(chan error, 1)
		go func() { _, err := p.Enter(ctx, who(2, 2)); over <- err }()
		synctest.Wait()
		if p.Waiting() != 1 {
			t.Errorf("%d wait", p.Waiting())
		}
		cancel(why)
		if err := <-over; !errors.Is(err, why) {
			t.Error(err)
		}
		first.Leave()
		first.Leave() // does nothing
		second, err := p.Enter(t.Context(), who(2, 2))
		if err != nil || p.free != 0 {
			t.Errorf("%v, %d places are free", err, p.free)
		}
		second.Leave()
	})
}

func TestPlacesForgetWhoIsIdle(t *testing.T) {
	p := NewPlaces(1, time.Millisecond)
	for i := range 3 * idleParties {
		pl, err := p.Enter(t.Context(), who(uint64(i), byte(i%100)))
		if err != nil {
			t.Fatal(err)
		}
		pl.Leave()
	}
	n := 0
	for _, a := range p.addrs.parties {
		n += len(a.parties)
	}
	if n != idleParties || p.idle.Len() != n || len(p.addrs.parties) > 100 {
		t.Errorf("%d connections of %d addresses are remembered, %d as idle", n, len(p.addrs.parties), p.idle.Len())
	}
}

func BenchmarkPlaces(b *testing.B) {
	p := NewPlaces(2, time.Millisecond)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			pl, _ := p.Enter(context.Background(), who(1, 1))
			pl.Leave()
		}
	})
}
