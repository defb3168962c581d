package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errRefused = errors.New("refused")

// refuse is a stage that waits and nacks the given parcels.
func refuse(after time.Duration, which ...int) Stage[int, int] {
	return Each(func(_ context.Context, v int) (int, error) {
		time.Sleep(after)
		if slices.Contains(which, v) {
			return 0, errRefused
		}
		return v, nil
	})
}

func number(v int) uint64 { return uint64(v) }

// zipped wires src through two branches and a zip, and collects the output.
func zipped(g *Graph, src Source[int], a, b Stage[int, int], seen *[]string) {
	ports := Tee(From(g, "src", src), "tee", 2)
	z := Zip(Via(ports[0], "a", a), Via(ports[1], "b", b), "zip", number, number,
		func(x, y int) string { return fmt.Sprint(x, y) })
	Into(z, "sink", SinkFunc[string](func(ctx context.Context, in *In[string]) error {
		for p := range in.All(ctx) {
			*seen = append(*seen, p.Body)
			p.Settle(nil)
		}
		return nil
	}))
}

func TestZipPairsBySequence(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []int // nacked on the branch
		want []string
	}{
		"all":          {nil, nil, []string{"0 0", "1 1", "2 2", "3 3"}},
		"one on a":     {[]int{1}, nil, []string{"0 0", "2 2", "3 3"}},
		"one on b":     {nil, []int{1}, []string{"0 0", "2 2", "3 3"}},
		"first":        {[]int{0}, nil, []string{"1 1", "2 2", "3 3"}},
		"last on a":    {[]int{3}, nil, []string{"0 0", "1 1", "2 2"}},
		"last on b":    {nil, []int{3}, []string{"0 0", "1 1", "2 2"}},
		"same on both": {[]int{2}, []int{2}, []string{"0 0", "1 1", "3 3"}},
		"alternating":  {[]int{0, 2}, []int{1, 3}, nil},
		"all on one":   {[]int{0, 1, 2, 3}, nil, nil},
	} {
		for _, slow := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprint(name, slow), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var l receipts
					var seen []string
					g := New("g")
					zipped(g, l.first(4), refuse(slow, c.a...), refuse(time.Second-slow, c.b...), &seen)
					if err := g.Run(t.Context(), time.Minute); err != nil {
						t.Error(err)
					}
					if !slices.Equal(seen, c.want) {
						t.Errorf("got %q, want %q", seen, c.want)
					}
					if acked, nacked := l.check(t); int(acked) != len(c.want) || int(nacked) != 4-len(c.want) {
						t.Errorf("acked %d, nacked %d", acked, nacked)
					}
				})
			})
		}
	}
}

// Even with no more traffic to reveal the gap, the partner of a nacked parcel
// must be settled: a client waits for it.
func TestZipSettlesALonePartnerWithoutMoreTraffic(t *testing.T) {
	for _, first := range []string{"nack first", "partner first"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a, b time.Duration
				if a = time.Second; first == "partner first" {
					a, b = 0, time.Second
				}
				var seen []string
				var verdict error
				e := NewInlet[int]()
				g := New("g")
				zipped(g, e, refuse(a), refuse(b, 7), &seen)
				r := run(t, g, time.Minute)
				_ = e.Submit(t.Context(), Parcel[int]{7, 1, NewReceipt(func(err error) { verdict = err })})
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if !errors.Is(verdict, errRefused) || !errors.Is(verdict, ErrPartnerFailed) {
					t.Errorf("got %v", verdict)
				}
				if err := r.drain(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestZipIsNotBlamedForAStuckBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		var seen []string
		stuck := StageFunc[int, int](func(ctx context.Context, in *In[int], out Emit[int]) error {
			_, _ = in.Recv(ctx)
			<-ctx.Done()
			return context.Cause(ctx)
		})
		g := New("g")
		zipped(g, l.endless(), refuse(0), stuck, &seen)
		var timeout *DrainTimeoutError
		if err := run(t, g, time.Second).drain(); !errors.As(err, &timeout) || !slices.Equal(timeout.Stages, []string{"b"}) {
			t.Errorf("got %v", err)
		}
		l.check(t)
	})
}

func TestZipUnderLoad(t *testing.T) {
	var l receipts
	g := New("g")
	var mu sync.Mutex
	next := 0
	ports := Tee(From(g, "src", l.first(20000)), "tee", 2)
	drop := func(k int) Stage[int, int] {
		return Each(func(_ context.Context, v int) (int, error) {
			if v%k == 0 {
				return 0, errRefused
			}
			return v, nil
		})
	}
	z := Zip(Via(ports[0], "a", drop(7)), Via(ports[1], "b", drop(11)), "zip", number, number,
		func(x, y int) [2]int { return [2]int{x, y} })
	want := int64(0)
	for v := range 20000 {
		if v%7 != 0 && v%11 != 0 {
			want++
		}
	}
	Into(z, "sink", SinkFunc[[2]int](func(ctx context.Context, in *In[[2]int]) error {
		for p := range in.All(ctx) {
			mu.Lock()
			if p.Body[0] != p.Body[1] || p.Body[0] < next {
				t.Errorf("pair %v after %d", p.Body, next)
			}
			next = p.Body[0]
			mu.Unlock()
			p.Settle(nil)
		}
		return nil
	}))
	if err := g.Run(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
	if acked, _ := l.check(t); acked != want {
		t.Errorf("acked %d, want %d", acked, want)
	}
}
