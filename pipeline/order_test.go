package pipeline

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// collector is a sink that keeps what it acknowledges; safe for many workers.
type collector struct {
	mu   sync.Mutex
	seen []int
}

func (c *collector) Run(ctx context.Context, in *In[int]) error {
	for p := range in.All(ctx) {
		c.mu.Lock()
		c.seen = append(c.seen, p.Body)
		c.mu.Unlock()
		p.Settle(nil)
	}
	return nil
}

func TestLanesKeepTheOrderOfEachKey(t *testing.T) {
	const keys, total = 37, 20000
	key := func(v int) uint64 { return uint64(v % keys * 12) } // a stride that matches the number of lanes
	var l receipts
	var c collector
	used := make([]int, 4) // by lane; each lane writes its own
	count := StageFunc[int, int](func(ctx context.Context, in *In[int], out Emit[int]) error {
		for p := range in.All(ctx) {
			used[in.Lane()]++
			if err := out(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	g := New("g")
	p := Via(From(g, "src", l.first(total)), "count", count, Lanes(4, key))
	Into(Via(p, "again", pass(), Lanes(3, key)), "collect", &c)
	if err := g.Run(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if acked, _ := l.check(t); acked != total {
		t.Errorf("acked %d", acked)
	}
	last := map[int]int{}
	for _, v := range c.seen {
		if before, ok := last[v%keys]; ok && before > v {
			t.Fatalf("%d came after %d with the same key", v, before)
		}
		last[v%keys] = v
	}
	if slices.Contains(used, 0) {
		t.Errorf("parcels by lane: %v, want all used", used)
	}
}

func TestSlowLaneDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		var done [2]atomic.Int64
		g := New("g")
		Into(From(g, "src", l.first(8)), "sink", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			for p := range in.All(ctx) {
				if p.Body == 0 {
					time.Sleep(time.Hour)
				}
				done[in.Lane()].Add(1)
				p.Settle(nil)
			}
			return nil
		}), Lanes(2, func(v int) uint64 { return uint64(v % 2) }), Depth(8))
		r := run(t, g, 2*time.Hour)
		if a, b := done[0].Load(), done[1].Load(); max(a, b) != 4 || min(a, b) != 0 {
			t.Errorf("lanes finished %d and %d, want one done and one waiting", a, b)
		}
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		l.check(t)
	})
}

func TestRouteAndMerge(t *testing.T) {
	var l receipts
	var small, all collector
	g := New("g")
	size := Route(From(g, "src", l.first(1000)), "size", 3, func(v int) int {
		switch {
		case v < 10:
			return 0
		case v%2 == 0:
			return 1
		default:
			return 2
		}
	})
	Into(size[0], "small", &small)
	even := Via(size[1], "even", pass())
	Into(Merge("both", even, size[2]), "rest", &all)
	if err := g.Run(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if acked, _ := l.check(t); acked != 1000 {
		t.Errorf("acked %d", acked)
	}
	if len(small.seen) != 10 || len(all.seen) != 990 || !slices.IsSorted(small.seen) {
		t.Errorf("%d small, %d others", len(small.seen), len(all.seen))
	}
	var byPort [2][]int
	for _, v := range all.seen {
		byPort[v%2] = append(byPort[v%2], v)
	}
	if !slices.IsSorted(byPort[0]) || !slices.IsSorted(byPort[1]) {
		t.Error("merge reordered the parcels of one port")
	}
}

func TestRouteOutOfRangeFailsTheEmitter(t *testing.T) {
	boom := errors.New("boom")
	for name, pick := range map[string]func(int) int{
		"range": func(v int) int { return v },
		"panic": func(int) int { panic(boom) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l receipts
				g := New("g")
				p := Via(From(g, "src", l.first(5)), "emits", pass())
				for i, b := range Route(p, "by", 2, pick) {
					Into(b, []string{"x", "y"}[i], ack(0))
				}
				var at *StageError
				err := g.Run(t.Context(), time.Minute)
				if !errors.As(err, &at) || at.Stage != "emits" {
					t.Errorf("got %v", err)
				}
				if name == "panic" && !errors.Is(err, boom) {
					t.Errorf("%v does not wrap the cause", err)
				}
				l.check(t)
			})
		})
	}
}

func TestTeeSettlesAfterTheSlowestAndNacksForAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		ports := Tee(From(g, "src", l.first(4)), "tee", 3)
		Into(ports[0], "fast", ack(0))
		Into(ports[1], "slow", ack(time.Second))
		Into(Via(ports[2], "refuse", refuse(0, 2)), "rest", ack(0))
		r := run(t, g, time.Minute)
		if l.acked.Load()+l.nacked.Load() != 0 {
			t.Error("settled before the slowest branch")
		}
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		if acked, nacked := l.check(t); acked != 3 || nacked != 1 {
			t.Errorf("acked %d, nacked %d", acked, nacked)
		}
	})
}

func TestWorkersShareAnEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		Into(From(g, "src", l.first(40)), "sink", ack(time.Second), Workers(8), Depth(64))
		begin := time.Now()
		if err := g.Run(t.Context(), time.Minute); err != nil {
			t.Error(err)
		}
		if acked, _ := l.check(t); acked != 40 || time.Since(begin) != 5*time.Second {
			t.Errorf("acked %d in %v, want 40 in 5s", acked, time.Since(begin))
		}
	})
}
