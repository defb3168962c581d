package retain_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/retain"
)

// cluster is in-memory metadata. Topic "t" keeps records for ten seconds, "k" forever.
// Each has three partitions, of which broker 1 leads the first two.
type cluster struct {
	mu     sync.Mutex
	topics []*meta.Topic
	table  partition.Table
	fails  int
	calls  []int64
}

func newCluster(born int64) *cluster {
	c := &cluster{}
	for _, configs := range []map[string]string{{"retention.ms": "10000"}, {"cleanup.policy": "compact", "retention.ms": "1"}} {
		t := &meta.Topic{Name: configs["retention.ms"], ID: topic.NewID(), Configs: configs}
		for i := range int32(3) {
			t.Partitions = append(t.Partitions, &meta.Partition{Leader: 1 + i/2, Epoch: 3, TierEnd: 20,
				Objects: []meta.ObjectRef{ref(0, 10, 5, born), ref(10, 20, 5, born+5000)}})
		}
		c.topics = append(c.topics, t)
	}
	return c
}

func (c *cluster) view() *meta.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return meta.NewView(1, "c", 1, nil, c.topics)
}

func (c *cluster) TrimLog(_ context.Context, p topic.Partition, epoch int32, offset int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls = append(c.calls, offset); len(c.calls) <= c.fails {
		return errors.New("away")
	}
	for i, t := range c.topics {
		if t.ID == p.Topic {
			next := *t
			next.Partitions = append([]*meta.Partition(nil), t.Partitions...)
			m := *t.Partitions[p.Index]
			if epoch != m.Epoch {
				return meta.ErrConflict
			}
			m.LogStart = offset
			for len(m.Objects) > 0 && m.Objects[0].End <= offset {
				m.Objects = m.Objects[1:]
			}
			next.Partitions[p.Index] = &m
			c.topics[i] = &next
		}
	}
	return nil
}

func (c *cluster) starts() (out [6]int64) {
	for i, t := range c.view().Topics() {
		for j, m := range t.Partitions {
			out[3*i+j] = m.LogStart
		}
	}
	return out
}

// run runs the pipeline in a bubble, where time is virtual.
func run(t *testing.T, fails int, body func(c *cluster, g *pipeline.Graph)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(time.Now().UnixMilli())
		c.fails = fails
		cfg := retain.DefaultConfig()
		cfg.Interval = time.Second
		g := pipeline.New("retain")
		from := pipeline.From(g, "plan", retain.NewPlanner(cfg, retain.Deps{Broker: 1, View: c.view, State: c.table.Get, Clock: clock.System{}}))
		pipeline.Into(from, "trim", retain.NewTrimmer(cfg, c, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), pipeline.Depth(1))
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- g.Run(ctx, time.Second) }()
		body(c, g)
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

func TestPlans(t *testing.T) {
	run(t, 0, func(c *cluster, _ *pipeline.Graph) {
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := c.starts(); got != [6]int64{} {
			t.Errorf("too early: %v", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := c.starts(); got != [6]int64{3: 10, 4: 10} && got != [6]int64{0: 10, 1: 10} {
			t.Errorf("after the first object's time: %v", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := c.starts(); got != [6]int64{0: 20, 1: 20} && got != [6]int64{3: 20, 4: 20} {
			t.Errorf("after the second object's time: %v", got)
		}
		if len(c.calls) != 4 {
			t.Errorf("%d changes: %v", len(c.calls), c.calls)
		}
	})
}

func TestPlansForTheTail(t *testing.T) {
	run(t, 0, func(c *cluster, _ *pipeline.Graph) {
		var id topic.Partition
		for _, x := range c.view().Topics() {
			if x.Configs["retention.ms"] == "10000" {
				id = topic.Partition{Topic: x.ID}
			}
		}
		s := c.table.Put(partition.NewState(id, 3, 0, 20))
		s.Tail.Append(partition.Entry{Base: 20, Count: 5, Size: 9, MaxTimestamp: time.Now().UnixMilli() + 7000})
		s.Tail.Append(partition.Entry{Base: 25, Count: 5, Size: 9, MaxTimestamp: time.Now().UnixMilli() + 1<<40})
		s.Publish(25) // the second is not committed
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if m, _ := c.view().Partition(id); m.LogStart != 20 {
			t.Errorf("the log starts at %d while its tail is young", m.LogStart)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if m, _ := c.view().Partition(id); m.LogStart != 25 {
			t.Errorf("the log starts at %d", m.LogStart)
		}
	})
}

func TestAChangeThatFailedIsDecidedAnew(t *testing.T) {
	run(t, 3, func(c *cluster, _ *pipeline.Graph) {
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := c.starts(); got != [6]int64{3: 10, 4: 10} && got != [6]int64{0: 10, 1: 10} {
			t.Errorf("log starts %v", got)
		}
		if len(c.calls) != 5 {
			t.Errorf("%d changes: %v", len(c.calls), c.calls)
		}
	})
}

func TestPausesBetweenFailuresGrow(t *testing.T) {
	run(t, math.MaxInt, func(c *cluster, _ *pipeline.Graph) {
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := len(c.calls); n < 2*12 || n > 2*20 { // of two partitions
			t.Errorf("%d attempts in two hours", n)
		}
	})
}

func TestTune(t *testing.T) {
	run(t, 0, func(c *cluster, g *pipeline.Graph) {
		if err := g.Tune("plan", map[string]int64{"check_interval_ms": 3_600_000}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := c.starts(); got != [6]int64{} {
			t.Errorf("it looked: %v", got)
		}
		if err := g.Tune("plan", map[string]int64{"check_interval_ms": 100}); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := c.starts(); got != [6]int64{3: 20, 4: 20} && got != [6]int64{0: 20, 1: 20} {
			t.Errorf("it did not look: %v", got)
		}
		if g.Tune("plan", map[string]int64{"check_interval_ms": 99}) == nil || g.Tune("plan", map[string]int64{"nothing": 1000}) == nil {
			t.Error("a wrong limit was taken")
		}
	})
}

func TestValidate(t *testing.T) {
	if err := retain.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if (retain.Config{Interval: time.Millisecond, ChangesPerSecond: 1}).Validate() == nil || (retain.Config{Interval: time.Hour}).Validate() == nil {
		t.Error("a wrong setting was taken")
	}
}
