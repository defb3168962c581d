package feed_test

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/feed"
	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// join returns the Cluster of a broker that has no controller in its process.
func join(t *testing.T, c *client) *consensus.Cluster {
	t.Helper()
	return joinAt(t, c, clock.System{})
}

// joinAt is join with a clock.
func joinAt(t *testing.T, c *client, now clock.Clock) *consensus.Cluster {
	t.Helper()
	_, shards, err := c.Cluster(t.Context())
	must(t, err)
	cfg := consensus.DefaultConfig("unused")
	cfg.Shards, cfg.Timeout, cfg.Clock = shards, time.Second, now
	b, err := consensus.Join(t.Context(), cfg, c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

// Two brokers without controllers have the same metadata, and what one of them changes is there when
// the call returns, and soon for the other. A controller that is killed and started again between
// the changes costs nothing but time.
func TestBrokersWithoutControllers(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	one := join(t, connect(t, nil, p))
	two := join(t, connect(t, func(o *feed.ClientOptions) { o.Broker = 8 }, p))
	ctx := t.Context()
	for i, b := range []*consensus.Cluster{one, two} {
		if _, err := b.RegisterBroker(ctx, meta.Broker{ID: int32(7 + i), Host: "b", Port: 9092}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		name := fmt.Sprintf("t%d", i)
		made, err := one.CreateTopic(ctx, meta.TopicSpec{Name: name, Partitions: 4, Replication: 2})
		must(t, err)
		if now, ok := one.View().TopicByName(name); !ok || len(now.Partitions) != 4 {
			t.Fatal("a topic is not there when its creation has returned")
		}
		eventually(t, "the topic at the other broker", func() bool { _, ok := two.View().TopicByName(name); return ok })
		id := meta.NewObjectID()
		at := topic.Partition{Topic: made.ID, Index: 1}
		must(t, two.PrepareObject(ctx, id, []topic.Partition{at}, time.Hour))
		eventually(t, "an upload that is committed", func() bool { // its epoch may be on the way
			now, _ := two.View().TopicByName(name)
			part := meta.CommitPart{Partition: at, Epoch: now.Partitions[1].Epoch, Ref: meta.ObjectRef{ID: id, End: 10, Bytes: 100}, Epochs: []meta.EpochStart{{Epoch: now.Partitions[1].Epoch}}}
			results, err := two.CommitObject(ctx, id, []meta.CommitPart{part})
			return err == nil && results[0].Err == nil
		})
		must(t, one.ChangeGroup(ctx, "g", meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{at: {Offset: int64(i)}}}))
		eventually(t, "the offset at the other broker", func() bool {
			g, ok := two.Group("g")
			return ok && g.Offsets[at].Offset == int64(i)
		})
		p.kill()
		p.start()
		for _, b := range []*consensus.Cluster{one, two} {
			eventually(t, "a change over a new connection", func() bool { _, err := b.AllocateProducerIDs(ctx, 1); return err == nil })
		}
	}
	for _, name := range []string{"t0", "t1", "t2"} {
		a, _ := one.View().TopicByName(name)
		eventually(t, "the same record of a topic at both brokers", func() bool {
			b, _ := two.View().TopicByName(name)
			return reflect.DeepEqual(a, b)
		})
	}
}

// A shard that no controller has takes down its partitions and nothing else, and becomes ready by
// itself when one has it.
func TestAShardThatComesLater(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	first := join(t, connect(t, nil, p))
	ctx := t.Context()
	if _, err := first.RegisterBroker(ctx, meta.Broker{ID: 7, Host: "b", Port: 9092}); err != nil {
		t.Fatal(err)
	}
	made, err := first.CreateTopic(ctx, meta.TopicSpec{Name: "t", Partitions: 4, Replication: 1})
	must(t, err)
	lost := serve(t, partial{q, 1}, func(o *feed.ServerOptions) { o.ID = 2 })
	c := connect(t, func(o *feed.ClientOptions) { o.Config.Timeout = 300 * time.Millisecond }, lost)
	b := join(t, c)
	offline := func() (n int) {
		now, ok := b.View().TopicByName("t")
		if !ok {
			t.Fatal("the topic is not there")
		}
		for i, part := range now.Partitions {
			at := topic.Partition{Topic: made.ID, Index: int32(i)}
			if part.Offline != errors.Is(b.PartitionOffline(at), consensus.ErrOffline) {
				t.Errorf("partition %d: offline %v, and PartitionOffline says %v", i, part.Offline, b.PartitionOffline(at))
			}
			if part.Offline {
				n++
			}
		}
		return n
	}
	if n := offline(); n == 0 || n == 4 || len(b.Offline()) != 1 {
		t.Fatalf("%d of 4 partitions are offline, and the shards %v; want some, and shard 1", n, b.Offline())
	}
	insist(t, func() error { _, err := b.AllocateProducerIDs(ctx, 1); return err }) // shard 0 is to be used
	lost.kill()
	lost.options.Controller = q
	lost.start()
	eventually(t, "all shards", func() bool { return len(b.Offline()) == 0 })
	eventually(t, "all partitions", func() bool { return offline() == 0 })
}

// A broker that is started while a shard cannot be reached is fenced there before it takes part: its
// process before that may have led in the epoch that the shard still has, with records that are lost.
func TestAShardThatComesLaterKnowsTheProcess(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	first := join(t, connect(t, nil, p))
	ctx := t.Context()
	if _, err := first.RegisterBroker(ctx, meta.Broker{ID: 7, Host: "b", Port: 9092}); err != nil {
		t.Fatal(err)
	}
	made, err := first.CreateTopic(ctx, meta.TopicSpec{Name: "t", Partitions: 4, Replication: 1})
	must(t, err)
	lost := serve(t, partial{q, 1}, func(o *feed.ServerOptions) { o.ID = 2 })
	b := join(t, connect(t, func(o *feed.ClientOptions) { o.Config.Timeout = 300 * time.Millisecond }, lost))
	var inc uint64
	insist(t, func() (err error) {
		inc, err = b.RegisterBroker(ctx, meta.Broker{ID: 7, Host: "b", Port: 9092})
		return err
	})
	lost.kill()
	lost.options.Controller = q
	lost.start()
	eventually(t, "all shards", func() bool { return len(b.Offline()) == 0 })
	for i, before := range made.Partitions {
		eventually(t, fmt.Sprintf("a new epoch of partition %d, and the process in its shard", i), func() bool {
			now, _ := b.View().TopicByName("t")
			session := b.View().Sessions[b.ShardOf(topic.Partition{Topic: made.ID, Index: int32(i)})-1][7]
			return now.Partitions[i].Epoch > before.Epoch && session.Incarnation == inc
		})
	}
}

// Partitions of a topic that shard 0 does not know are dropped by brokers without a controller, too,
// unless shard 0 has lost changes: then it may have lost the topic.
func TestOrphansAreDropped(t *testing.T) {
	for name, lossy := range map[string]bool{"forgotten": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			q := hosted(t)
			registered(t, q)
			if lossy {
				propose(t, q, 0, machine.Encode(&machine.RecordLoss{}))
			}
			for range 2 {
				orphan := topic.Partition{Topic: topic.NewID()}
				propose(t, q, machine.ShardOf(orphan, 2)+1, machine.Encode(&machine.EnsurePartitions{Topic: orphan.Topic, Parts: []machine.NewPartition{{Replicas: []int32{7}}}}))
			}
			c := connect(t, nil, serve(t, q, nil))
			copies := []*replica{follow(t, source{q}, 1), follow(t, source{q}, 2)}
			partitions := func() (n int) {
				for _, r := range copies {
					r.mu.Lock()
					n += len(r.parts.All().Partitions)
					r.mu.Unlock()
				}
				return n
			}
			eventually(t, "the orphans", func() bool { return partitions() == 2 })
			b := join(t, c)
			if !lossy {
				eventually(t, "the orphans are dropped", func() bool { return partitions() == 0 })
				return
			}
			for _, name := range []string{"a", "b"} { // with the second one it has looked at the orphans
				begun := topic.NewID()
				propose(t, q, 0, machine.Encode(&machine.BeginTopic{Spec: meta.TopicSpec{Name: name, ID: begun, Partitions: 1, Replication: 1}}))
				eventually(t, "a topic is completed", func() bool { _, ok := b.View().TopicByID(begun); return ok })
			}
			if n := partitions(); n != 4 {
				t.Errorf("%d partitions, want two orphans and two of topics", n)
			}
		})
	}
}

// An object is kept for readers for the grace period by the clock of the broker that deletes it, even if
// that is ahead of, or behind, the one by which it died.
func TestTheGraceOfObjectsIsByOneClock(t *testing.T) {
	q := hosted(t)
	p := serve(t, q, nil)
	ctx, start := t.Context(), time.UnixMilli(1_700_000_000_000)
	clocks := []*clock.Manual{clock.NewManual(start), clock.NewManual(start.Add(time.Hour)), clock.NewManual(start.Add(-time.Hour))}
	var brokers []*consensus.Cluster
	for _, now := range clocks {
		brokers = append(brokers, joinAt(t, connect(t, nil, p), now))
	}
	_, err := brokers[0].RegisterBroker(ctx, meta.Broker{ID: 7, Host: "b", Port: 9092})
	must(t, err)
	made, err := brokers[0].CreateTopic(ctx, meta.TopicSpec{Name: "t", Partitions: 1, Replication: 1})
	must(t, err)
	id, at := meta.NewObjectID(), topic.Partition{Topic: made.ID}
	must(t, brokers[0].PrepareObject(ctx, id, []topic.Partition{at}, 24*time.Hour))
	results, err := brokers[0].CommitObject(ctx, id, []meta.CommitPart{{Partition: at, Ref: meta.ObjectRef{ID: id, End: 10, Bytes: 1}}})
	must(t, errors.Join(err, results[0].Err))
	must(t, brokers[0].DeleteTopic(ctx, made.ID))
	for i, b := range brokers {
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 0}, {59 * time.Second, 0}, {time.Second, 1}} {
			clocks[i].Advance(step.after)
			found, err := b.Garbage(ctx, 10)
			if err != nil || len(found) != step.want {
				t.Errorf("broker with clock %d, %v later: %v, %v; want %d", i, step.after, found, err, step.want)
			}
		}
	}
}
