package consensus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

var me = meta.Broker{ID: 1, Host: "localhost", Port: 9092}

// small returns a config with fast elections.
func small(dir string) consensus.Config {
	cfg := consensus.DefaultConfig(dir)
	cfg.Shards, cfg.Tick, cfg.SnapshotEntries = 4, 5*time.Millisecond, 64
	return cfg
}

func open(t *testing.T, cfg consensus.Config) *consensus.Cluster {
	t.Helper()
	c, err := consensus.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closed(t *testing.T, c *consensus.Cluster) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// node opens a cluster with one broker. It is closed when the test ends.
func node(t *testing.T) *consensus.Cluster {
	t.Helper()
	c := open(t, small(t.TempDir()))
	t.Cleanup(func() { closed(t, c) })
	register(t, c, 1)
	return c
}

func register(t *testing.T, c *consensus.Cluster, want uint64) {
	t.Helper()
	if got, err := c.RegisterBroker(t.Context(), me); err != nil || got != want {
		t.Fatalf("RegisterBroker: incarnation %d, %v; want %d", got, err, want)
	}
}

func create(t *testing.T, c *consensus.Cluster, name string, partitions int32) *meta.Topic {
	t.Helper()
	topic, err := c.CreateTopic(t.Context(), meta.TopicSpec{Name: name, Partitions: partitions, Replication: 1,
		Configs: map[string]string{"retention.ms": "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// fill creates one of everything.
func fill(t *testing.T, c *consensus.Cluster) {
	t.Helper()
	ctx := t.Context()
	orders := create(t, c, "orders", 9)
	create(t, c, "gone", 3)
	gone, _ := c.View().TopicByName("gone")
	must(t, c.DeleteTopic(ctx, gone.ID))
	must(t, c.AlterTopic(ctx, orders.ID, map[string]string{"cleanup.policy": "compact"}, []string{"retention.ms"}))
	must(t, c.GrowTopic(ctx, orders.ID, 11))
	if _, err := c.AllocateProducerIDs(ctx, 100); err != nil {
		t.Fatal(err)
	}
	var parts []meta.CommitPart
	var ids []topic.Partition
	id := meta.NewObjectID()
	for i := range int32(11) {
		p := topic.Partition{Topic: orders.ID, Index: i}
		ids = append(ids, p)
		parts = append(parts, meta.CommitPart{Partition: p, Ref: meta.ObjectRef{ID: id, End: 10, Bytes: 100, MaxTimestamp: 5},
			Epochs: []meta.EpochStart{{Epoch: 0, Start: 0}},
			Producers: meta.Producers{Recent: []byte{1, 2, 3}, Sections: []meta.ProducerSection{
				{Object: id, Offset: 40 + int64(i), Length: 7, CRC: 5, End: 10, NewestMs: 5, IDs: 1}}}})
	}
	must(t, c.PrepareObject(ctx, id, ids, time.Hour))
	results, err := c.CommitObject(ctx, id, parts)
	must(t, err)
	for i, r := range results {
		if r.Err != nil || r.Partition != ids[i] {
			t.Fatalf("part %d: %+v", i, r)
		}
	}
	must(t, c.SetLogStart(ctx, ids[3], 4))
	instance := "static"
	must(t, c.ChangeGroup(ctx, "readers", meta.GroupChange{State: &meta.Group{Generation: 3, ProtocolType: "consumer", Protocol: "range", Leader: "m1",
		Members: []meta.GroupMember{{ID: "m1", InstanceID: &instance, ClientID: "c", Subscription: []byte{1}, Assignment: []byte{2}}}}}))
	must(t, c.ChangeGroup(ctx, "readers", meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{ids[0]: {Offset: 5, LeaderEpoch: -1, Metadata: "x", CommitMs: 77}}}))
}

func TestRestartKeepsEverything(t *testing.T) {
	cfg := small(t.TempDir())
	c := open(t, cfg)
	register(t, c, 1)
	fill(t, c)
	before, groups := c.View(), c.Groups()
	closed(t, c)

	c = open(t, cfg)
	defer closed(t, c)
	same(t, c.View(), before)
	if !reflect.DeepEqual(c.Groups(), groups) {
		t.Errorf("groups are %+v, were %+v", c.Groups(), groups)
	}
	first, err := c.AllocateProducerIDs(t.Context(), 1)
	if err != nil || first != 100 {
		t.Errorf("producer id %d, %v; want 100, the first unused one", first, err)
	}
	register(t, c, 2)
	for _, topic := range c.View().Topics() {
		for i, p := range topic.Partitions {
			if p.Epoch != 2 {
				t.Errorf("%s/%d has epoch %d after a restart of its leader, want 2", topic.Name, i, p.Epoch)
			}
		}
	}
}

// same compares everything in a view.
func same(t *testing.T, got, want *meta.View) {
	t.Helper()
	if got.ClusterID != want.ClusterID || got.Controller != want.Controller || !reflect.DeepEqual(got.Brokers, want.Brokers) {
		t.Errorf("cluster is %q %d %v, was %q %d %v", got.ClusterID, got.Controller, got.Brokers, want.ClusterID, want.Controller, want.Brokers)
	}
	if !reflect.DeepEqual(got.Topics(), want.Topics()) {
		t.Errorf("topics are %s, were %s", dump(got), dump(want))
	}
}

func dump(v *meta.View) (s string) {
	for _, t := range v.Topics() {
		s += fmt.Sprintf("%s %v:", t.Name, t.Configs)
		for _, p := range t.Partitions {
			s += fmt.Sprintf(" %+v", *p)
		}
	}
	return s
}

func TestUnavailableOnceClosed(t *testing.T) {
	c := open(t, small(t.TempDir()))
	register(t, c, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.AllocateProducerIDs(ctx, 1)
	refused(t, err, meta.ErrUnavailable)
	closed(t, c)
	_, err = c.CreateTopic(t.Context(), meta.TopicSpec{Name: "late", Partitions: 1, Replication: 1})
	refused(t, err, meta.ErrUnavailable)
}

// TestCloseWhileCalled: calls in progress when the node closes return an error or their result.
func TestCloseWhileCalled(t *testing.T) {
	c := open(t, small(t.TempDir()))
	register(t, c, 1)
	var calls sync.WaitGroup
	began := make(chan struct{}, 8)
	for i := range 8 {
		calls.Go(func() {
			for n := 0; ; n++ {
				_, err := c.CreateTopic(t.Context(), meta.TopicSpec{Name: fmt.Sprintf("topic-%d-%d", i, n), Partitions: 3, Replication: 1})
				if n == 0 {
					began <- struct{}{}
				}
				if err != nil {
					refused(t, err, meta.ErrUnavailable)
					return
				}
			}
		})
	}
	for range 8 {
		<-began
	}
	closed(t, c)
	calls.Wait()
}
