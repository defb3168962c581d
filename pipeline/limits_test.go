package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDepthChangesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		Into(From(g, "src", l.endless()), "sink", ack(time.Hour), Depth(2))
		r := run(t, g, 24*time.Hour)
		made := func(want int64, depth int) {
			t.Helper()
			synctest.Wait()
			if n := l.made.Load(); n != want { // 1 in the sink, 1 in the source
				t.Errorf("made %d at depth %d, want %d", n, depth, want)
			}
		}
		set := func(depth int) {
			t.Helper()
			if err := g.SetLimits("sink", Limits{Depth: depth}); err != nil {
				t.Error(err)
			}
		}
		made(4, 2)
		set(50)
		made(52, 50)
		set(48) // one in the sink, 49 queued
		time.Sleep(time.Hour)
		made(52, 48)
		time.Sleep(time.Hour) // 48 queued now, and the source blocks
		made(52, 48)
		time.Sleep(time.Hour)
		made(53, 48)
		if lim, err := g.Limits("sink"); err != nil || lim != (Limits{48, 1}) {
			t.Errorf("limits %+v, %v", lim, err)
		}
		r.cancel()
		<-r.done
		l.check(t)
	})
}

func TestWorkersChangeWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		var busy atomic.Int64
		g := New("g")
		Into(From(g, "src", l.endless()), "sink", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			for p := range in.All(ctx) {
				busy.Add(1)
				time.Sleep(time.Second)
				busy.Add(-1)
				p.Settle(nil)
			}
			return nil
		}), Workers(2))
		r := run(t, g, time.Minute)
		for _, n := range []int{2, 8, 1, 3, 3, 1, 5} {
			if err := g.SetLimits("sink", Limits{Workers: n}); err != nil {
				t.Error(err)
			}
			time.Sleep(1500 * time.Millisecond) // surplus workers finish their parcel
			synctest.Wait()
			if b := busy.Load(); b != int64(n) {
				t.Errorf("%d workers active, want %d", b, n)
			}
		}
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		if _, nacked := l.check(t); nacked != 0 {
			t.Errorf("nacked %d", nacked)
		}
	})
}

func TestIdleWorkersRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		var running atomic.Int64
		e := NewInlet[int]()
		g := New("g")
		Into(From(g, "src", e), "sink", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			running.Add(1)
			defer running.Add(-1)
			return ack(0).Run(ctx, in)
		}), Workers(6))
		r := run(t, g, time.Minute)
		_ = g.SetLimits("sink", Limits{Workers: 2})
		synctest.Wait()
		if n := running.Load(); n != 2 {
			t.Errorf("%d workers, want 2", n)
		}
		if err := e.Submit(t.Context(), Parcel[int]{1, 1, l.receipt()}); err != nil {
			t.Error(err)
		}
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		if acked, _ := l.check(t); acked != 1 {
			t.Errorf("acked %d", acked)
		}
	})
}

func TestUnsupportedLimitsAreRefused(t *testing.T) {
	var l receipts
	g := New("g")
	Into(Via(Via(From(g, "src", l.first(0)), "laned", pass(), Lanes(4, number)), "alone", pass()), "sink", ack(0), Workers(1))
	for _, c := range []struct {
		node string
		l    Limits
		want error
	}{
		{"nobody", Limits{Depth: 1}, ErrUnknownNode},
		{"src", Limits{Depth: 1}, ErrNotAdjustable},
		{"src", Limits{Workers: 2}, ErrNotAdjustable},
		{"laned", Limits{Workers: 2}, ErrNotAdjustable},
		{"laned", Limits{Workers: 4, Depth: 3}, nil},
		{"alone", Limits{Workers: 2}, ErrNotAdjustable},
		{"alone", Limits{Workers: 1, Depth: 3}, nil},
		{"sink", Limits{Workers: -1}, ErrNotAdjustable},
		{"sink", Limits{Workers: 2, Depth: 5}, nil},
		{"sink", Limits{}, nil},
	} {
		if err := g.SetLimits(c.node, c.l); !errors.Is(err, c.want) {
			t.Errorf("%s %+v: got %v, want %v", c.node, c.l, err, c.want)
		}
	}
	if got, _ := g.Limits("sink"); got != (Limits{5, 2}) {
		t.Errorf("got %+v", got)
	}
	if got, _ := g.Limits("laned"); got != (Limits{3, 4}) {
		t.Errorf("got %+v", got)
	}
}

// lingering is a stage with one tunable.
type lingering struct {
	Stage[int, int]
	ms atomic.Int64
}

func (s *lingering) Tunables() map[string]int64 { return map[string]int64{"linger_ms": s.ms.Load()} }

func (s *lingering) Tune(values map[string]int64) error {
	for key, v := range values {
		if key != "linger_ms" || v < 0 {
			return fmt.Errorf("no such setting: %s = %d", key, v)
		}
		s.ms.Store(v)
	}
	return nil
}

func TestTuneReachesTheStage(t *testing.T) {
	var l receipts
	g := New("g")
	s := &lingering{Stage: pass()}
	Into(Via(From(g, "src", l.first(0)), "batch", s), "sink", ack(0))
	if err := g.Tune("batch", map[string]int64{"linger_ms": 5}); err != nil || s.ms.Load() != 5 {
		t.Errorf("%v, %d", err, s.ms.Load())
	}
	if err := g.Tune("batch", map[string]int64{"linger_ms": -1}); err == nil {
		t.Error("the stage's refusal was lost")
	}
	if err := g.Tune("sink", map[string]int64{"linger_ms": 1}); !errors.Is(err, ErrNotAdjustable) {
		t.Errorf("got %v", err)
	}
	if n := g.Topology().Nodes[1]; n.Tunables["linger_ms"] != 5 {
		t.Errorf("topology shows %v", n.Tunables)
	}
}

func TestTopologyShowsBlockingAndWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		ports := Route(From(g, "src", l.endless()), "by", 2, func(v int) int { return v % 2 })
		Into(Merge("merged", Via(ports[0], "even", refuse(0, 2), Lanes(2, number)), ports[1]), "sink", ack(time.Second), Depth(3))
		r := run(t, g, time.Hour)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		top := g.Topology()
		if top.State != "running" || len(top.Nodes) != 3 || len(top.Edges) != 3 {
			t.Fatalf("%+v", top)
		}
		even, sink, edge := top.Nodes[1], top.Nodes[2], top.Edges[2]
		if even.Lanes != 2 || even.Workers != 2 || even.Nacked != 1 || even.Forwarded == 0 || even.Service.Count != even.Forwarded+1 {
			t.Errorf("even: %+v", even)
		}
		if sink.InHand != 1 || sink.Acked != 10 || sink.Service.Sum != 10*time.Second || sink.Service.Count != 10 {
			t.Errorf("sink: %+v", sink)
		}
		want := []Upstream{{"src", []string{"by", "merged"}}, {"even", []string{"merged"}}}
		if edge.To != "sink" || edge.Queued != 3 || edge.Depth != 3 || edge.QueuedBytes != 3 || edge.Out != 11 ||
			edge.In != 14 || !reflect.DeepEqual(edge.From, want) {
			t.Errorf("edge: %+v", edge)
		}
		if edge.Blocked < 10*time.Second || edge.Idle != 0 { // counted while it lasts
			t.Errorf("blocked %v, idle %v", edge.Blocked, edge.Idle)
		}
		doc, err := json.Marshal(top)
		var back Topology
		if err != nil || json.Unmarshal(doc, &back) != nil || !reflect.DeepEqual(top, back) {
			t.Errorf("%v: %s", err, doc)
		}
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		if s := g.Topology(); s.State != "stopped" || s.Nodes[0].State != "returned" {
			t.Errorf("%+v", s)
		}
		l.check(t)
	})
}
