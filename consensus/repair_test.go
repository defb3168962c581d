package consensus

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

var quiet = slog.New(slog.DiscardHandler)

// said receives the first message logged at level info.
type said chan string

func (said) Enabled(_ context.Context, l slog.Level) bool { return l == slog.LevelInfo }
func (s said) WithAttrs([]slog.Attr) slog.Handler         { return s }
func (s said) WithGroup(string) slog.Handler              { return s }

func (s said) Handle(_ context.Context, r slog.Record) error {
	select {
	case s <- r.Message:
	default:
	}
	return nil
}

func openInternal(t *testing.T, dir string, log *slog.Logger) *Cluster {
	t.Helper()
	cfg := DefaultConfig(dir)
	cfg.Shards, cfg.Tick = 4, 5*time.Millisecond
	c, err := Open(t.Context(), cfg, log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func propose(t *testing.T, c *Cluster, shard int, cmd machine.Command) {
	t.Helper()
	if _, err := c.propose(t.Context(), shard, cmd); err != nil {
		t.Fatal(err)
	}
	c.publish()
}

// TestRepair interrupts creation, growth and deletion after each of their steps, as a crash
// would. Nothing of it is visible; after a restart it is completed.
func TestRepair(t *testing.T) {
	id := topic.NewID()
	begin := &machine.BeginTopic{Spec: meta.TopicSpec{Name: "orders", ID: id, Partitions: 6, Replication: 1}}
	first := topic.Partition{Topic: id}
	some := func(c *Cluster, p topic.Partition) (int, machine.Command) {
		return c.ShardOf(p), &machine.EnsurePartitions{Topic: id, Parts: []machine.NewPartition{{Index: p.Index, Replicas: []int32{1}}}}
	}
	for _, x := range []struct {
		name       string
		cut        func(*testing.T, *Cluster)
		seen, then int // partitions before and after the restart
	}{
		{"begun", func(t *testing.T, c *Cluster) { propose(t, c, 0, begin) }, 0, 6},
		{"partly created", func(t *testing.T, c *Cluster) {
			propose(t, c, 0, begin)
			shard, cmd := some(c, first)
			propose(t, c, shard, cmd)
		}, 0, 6},
		{"growing", func(t *testing.T, c *Cluster) {
			created(t, c, begin.Spec)
			propose(t, c, 0, &machine.GrowTopic{ID: id, Partitions: 9})
			shard, cmd := some(c, topic.Partition{Topic: id, Index: 7})
			propose(t, c, shard, cmd)
		}, 6, 9},
		{"deleted", func(t *testing.T, c *Cluster) {
			created(t, c, begin.Spec)
			propose(t, c, 0, &machine.DeleteTopic{ID: id})
		}, 0, 0},
		{"partly dropped", func(t *testing.T, c *Cluster) {
			created(t, c, begin.Spec)
			propose(t, c, 0, &machine.DeleteTopic{ID: id})
			propose(t, c, c.ShardOf(first), &machine.DropTopic{Topic: id, NowMs: 1})
		}, 0, 0},
		{"created after it was forgotten", func(t *testing.T, c *Cluster) {
			shard, cmd := some(c, first)
			propose(t, c, shard, cmd)
		}, 0, 0},
	} {
		t.Run(x.name, func(t *testing.T) { checkRepair(t, id, x.cut, x.seen, x.then) })
	}
}

// TestRepairOfMinISR interrupts a change of min.insync.replicas after each of its steps.
func TestRepairOfMinISR(t *testing.T) {
	id := topic.NewID()
	alter := &machine.AlterTopic{ID: id, Set: map[string]string{topic.MinInsyncReplicas: "2"}}
	set := &machine.SetMinISR{Topic: id, MinISR: machine.MinISR{N: 2, Revision: 1}}
	for name, cut := range map[string]func(*testing.T, *Cluster){
		"altered":    func(t *testing.T, c *Cluster) { propose(t, c, 0, alter) },
		"partly set": func(t *testing.T, c *Cluster) { propose(t, c, 0, alter); propose(t, c, 1, set) },
		"growing": func(t *testing.T, c *Cluster) {
			old, _ := c.out.topic(id)
			propose(t, c, 0, &machine.GrowTopic{ID: id, Partitions: 2})
			propose(t, c, 0, alter)
			for shard := 1; shard <= 4; shard++ {
				propose(t, c, shard, set)
			}
			propose(t, c, 0, &machine.SettleTopic{ID: id, Revision: 1})
			p := topic.Partition{Topic: id, Index: 1} // by somebody who has not seen the change
			propose(t, c, c.ShardOf(p), &machine.EnsurePartitions{Topic: id, MinISR: old.MinISR, Parts: []machine.NewPartition{{Index: 1, Replicas: []int32{1, 2}}}})
			propose(t, c, 0, &machine.FinishTopic{ID: id, Partitions: 2, Revision: old.MinISR.Revision})
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := 1
			if name == "growing" {
				n = 2
			}
			checkRepair(t, id, func(t *testing.T, c *Cluster) {
				if _, err := c.RegisterBroker(t.Context(), meta.Broker{ID: 2}); err != nil {
					t.Fatal(err)
				}
				created(t, c, meta.TopicSpec{Name: "orders", ID: id, Partitions: 1, Replication: 2})
				cut(t, c)
			}, n, n)
		})
	}
}

func created(t *testing.T, c *Cluster, s meta.TopicSpec) {
	t.Helper()
	if _, err := c.CreateTopic(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func checkRepair(t *testing.T, id topic.ID, cut func(*testing.T, *Cluster), seen, then int) {
	dir := t.TempDir()
	c := openInternal(t, dir, quiet)
	if _, err := c.RegisterBroker(t.Context(), meta.Broker{ID: 1}); err != nil {
		t.Fatal(err)
	}
	free := c.markBusy(id) // keep this process from repairing it
	cut(t, c)
	if n := partitions(c, id); n != seen {
		t.Errorf("%d partitions are visible, want %d", n, seen)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	free()
	said := make(said, 1)
	c = openInternal(t, dir, slog.New(said))
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	select {
	case text := <-said:
		if text != "completed a topic whose change was interrupted" {
			t.Error(text)
		}
	case <-time.After(time.Minute):
		t.Fatal("nothing was repaired")
	}
	if topics, orphans := c.out.unfinished(); len(topics) != 0 || len(orphans) != 0 {
		t.Errorf("still unfinished: %v, %v", topics, orphans)
	}
	if n := partitions(c, id); n != then {
		t.Errorf("%d partitions after the repair, want %d", n, then)
	}
	if x, ok := c.View().TopicByID(id); ok {
		record, _ := c.out.topic(id)
		for i, p := range x.Partitions {
			if want := min(int(record.MinISR.N), len(p.Replicas)); p.MinISR != want {
				t.Errorf("partition %d: min.insync.replicas %d after the repair, want %d", i, p.MinISR, want)
			}
		}
	}
	if _, there := c.out.topic(id); there != (then > 0) {
		t.Errorf("the record exists: %v", there)
	}
}

func partitions(c *Cluster, id topic.ID) int {
	t, ok := c.View().TopicByID(id)
	if !ok {
		return 0
	}
	return len(t.Partitions)
}

// A broker is not forgotten while a shard has a replica of it, whether or not its topic is visible.
func TestUnregisterAsksTheShards(t *testing.T) {
	c := openInternal(t, t.TempDir(), quiet)
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	for b := int32(1); b <= 2; b++ {
		if _, err := c.RegisterBroker(t.Context(), meta.Broker{ID: b}); err != nil {
			t.Fatal(err)
		}
	}
	id := topic.NewID()
	defer c.markBusy(id)()
	propose(t, c, 0, &machine.BeginTopic{Spec: meta.TopicSpec{Name: "t", ID: id, Partitions: 2, Replication: 1}})
	p := topic.Partition{Topic: id, Index: 1}
	propose(t, c, c.ShardOf(p), &machine.EnsurePartitions{Topic: id, Parts: []machine.NewPartition{{Index: 1, Replicas: []int32{2}}}})
	if err := c.FenceBroker(t.Context(), 2, 1); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.View().TopicByID(id); ok {
		t.Fatal("the topic is visible; the test shows nothing")
	}
	if err := c.UnregisterBroker(t.Context(), 2); !errors.Is(err, meta.ErrConflict) {
		t.Errorf("%v, want %v", err, meta.ErrConflict)
	}
	propose(t, c, c.ShardOf(p), &machine.DropTopic{Topic: id, NowMs: 1})
	if err := c.UnregisterBroker(t.Context(), 2); err != nil {
		t.Error(err)
	}
}
