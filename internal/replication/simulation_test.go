package replication

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seeds = flag.Uint64("seeds", 200, "number of simulations; `make proofs` and `make simulate` run more")
	seed  = flag.Uint64("seed", 0, "run only this simulation, and print what happens in it")
)

const (
	steps   = 1500   // steps with faults
	resting = 60_000 // maximum of further steps without
)

// simulate runs one simulation and returns a violation as an error.
func simulate(seed uint64, off rules, tracing bool) (w *world, err error) {
	w = newWorld(seed, off)
	w.tracing = tracing
	w.versions[0].rec.Leader = 0
	defer func() {
		switch v := recover().(type) {
		case nil:
		case violation:
			err = v
		default:
			panic(v)
		}
	}()
	for range steps {
		w.step()
		w.check()
	}
	w.healed = true
	for _, l := range w.links {
		l.cut = false
	}
	for range resting {
		if w.rested() {
			return w, nil
		}
		w.step()
		w.check()
	}
	return w, violation{fmt.Errorf("26: the cluster does not come to rest: %+v", w.latest())}
}

func TestSimulation(t *testing.T) {
	if *seed != 0 {
		w, err := simulate(*seed, 0, true)
		t.Logf("%s\n%+v", strings.Join(w.trace, "\n"), w.seen)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var next atomic.Uint64
	var mu sync.Mutex
	var all coverage
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for n := next.Add(1); n <= *seeds && !t.Failed(); n = next.Add(1) {
				w, err := simulate(n, 0, false)
				if err != nil {
					again, _ := simulate(n, 0, true)
					t.Errorf("seed %d: %v\n%s", n, err, strings.Join(again.trace[max(0, len(again.trace)-60):], "\n"))
				}
				mu.Lock()
				all.add(w.seen)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds: %+v", *seeds, all)
	for what, n := range map[string]int{"commits": all.commits, "acks": all.acks, "elections": all.elections, "truncations": all.truncations,
		"restarts above the tier end": all.restarts, "lost log ends": all.lossy, "uploads": all.uploads, "shrinks": all.shrinks,
		"expansions": all.expands, "refused appends": all.refused, "reclaims": all.reclaimed} {
		if n == 0 && *seeds >= 100 {
			t.Errorf("no %s in any simulation", what)
		}
	}
}

// TestASeedReplays: the same seed yields the same steps.
func TestASeedReplays(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a, _ := simulate(seed, 0, true)
		b, _ := simulate(seed, 0, true)
		if !slices.Equal(a.trace, b.trace) {
			t.Errorf("seed %d took other steps the second time", seed)
		}
	}
}

func (c *coverage) add(o coverage) {
	c.commits += o.commits
	c.acks += o.acks
	c.elections += o.elections
	c.truncations += o.truncations
	c.restarts += o.restarts
	c.lossy += o.lossy
	c.uploads += o.uploads
	c.shrinks += o.shrinks
	c.expands += o.expands
	c.refused += o.refused
	c.reclaimed += o.reclaimed
}
