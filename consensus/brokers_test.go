package consensus_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// three opens a cluster with three brokers, in a rack each.
func three(t *testing.T) *consensus.Cluster {
	t.Helper()
	c := open(t, small(t.TempDir()))
	t.Cleanup(func() { closed(t, c) })
	for b := int32(1); b <= 3; b++ {
		broker := meta.Broker{ID: b, Host: "localhost", Port: 9092, Rack: fmt.Sprint("r", b), Internal: fmt.Sprint("localhost:", 19090+b)}
		if _, err := c.RegisterBroker(t.Context(), broker); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func replicated(t *testing.T, c *consensus.Cluster, name string, partitions int32, configs map[string]string) *meta.Topic {
	t.Helper()
	x, err := c.CreateTopic(t.Context(), meta.TopicSpec{Name: name, Partitions: partitions, Replication: 3, Configs: configs})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func now(t *testing.T, c *consensus.Cluster, x *meta.Topic) []*meta.Partition {
	t.Helper()
	x, ok := c.View().TopicByID(x.ID)
	if !ok {
		t.Fatal("the topic is gone")
	}
	return x.Partitions
}

func leads(parts []*meta.Partition) map[int32]int {
	n := make(map[int32]int)
	for _, p := range parts {
		n[p.Leader]++
	}
	return n
}

// TestLossOfBrokers: leaders are spread; those of a broker that is lost move to the rest of the
// ISR, and back once it is in sync again and somebody asks for it.
func TestLossOfBrokers(t *testing.T) {
	c := three(t)
	x := replicated(t, c, "orders", 12, map[string]string{"min.insync.replicas": "2"})
	if n := leads(x.Partitions); n[1] != 4 || n[2] != 4 || n[3] != 4 {
		t.Errorf("leaders: %v", n)
	}
	refused(t, c.FenceBroker(t.Context(), 2, 7), meta.ErrStaleIncarnation)
	must(t, c.FenceBroker(t.Context(), 2, 1))
	v := c.View()
	if n := leads(now(t, c, x)); n[1]+n[3] != 12 {
		t.Errorf("leaders without broker 2: %v", n)
	}
	if !v.Brokers[1].Fenced || v.Brokers[0].Fenced || v.Controller != 1 || v.Brokers[1].Internal != "localhost:19092" {
		t.Errorf("controller %d of %+v", v.Controller, v.Brokers)
	}
	for shard, s := range v.Sessions {
		if _, ok := s.Live(2); ok {
			t.Errorf("broker 2 is live in shard %d", shard)
		}
	}
	must(t, c.ReadyBroker(t.Context(), 2, 1))
	var items []machine.ISRItem
	var elect []machine.ElectItem
	for i, p := range now(t, c, x) {
		if p.MinISR != 2 || len(p.ISR) != 2 || slices.Contains(p.ISR, 2) {
			t.Errorf("orders/%d: %+v", i, *p)
		}
		at := topic.Partition{Topic: x.ID, Index: int32(i)}
		change := replication.ISRChange{Leader: p.Leader, Epoch: p.Epoch, Version: p.Version}
		for _, b := range p.Replicas {
			change.ISR = append(change.ISR, replication.Member{Broker: b, Incarnation: 1})
		}
		items, elect = append(items, machine.ISRItem{Partition: at, Change: change}), append(elect, machine.ElectItem{Partition: at})
	}
	items[5].Change.Version--
	items = append(items, machine.ISRItem{Partition: topic.Partition{Topic: x.ID, Index: 12}})
	for i, err := range c.AlterISR(t.Context(), items) {
		switch want := map[int]error{5: replication.ErrStaleVersion, 12: meta.ErrUnknownTopic}[i]; {
		case !errors.Is(err, want) || err != nil && want == nil:
			t.Errorf("item %d: %v, want %v", i, err, want)
		}
	}
	for i, err := range c.ElectLeaders(t.Context(), meta.ElectPreferred, elect) {
		preferred, inSync := now(t, c, x)[i].Replicas[0], i != 5
		switch {
		case preferred == 2 && inSync && err != nil, preferred != 2 && !errors.Is(err, meta.ErrElectionNotNeeded):
			t.Errorf("orders/%d of %v: %v", i, now(t, c, x)[i].Replicas, err)
		}
	}
}

// TestControlledShutdown: a draining broker leads nothing that others can lead.
func TestControlledShutdown(t *testing.T) {
	c := three(t)
	x := replicated(t, c, "orders", 6, nil)
	must(t, c.DrainBroker(t.Context(), 1, 1))
	if n := leads(now(t, c, x)); n[1] != 0 || n[-1] != 0 {
		t.Errorf("leaders: %v", n)
	}
	for i, p := range now(t, c, x) {
		if len(p.ISR) != 3 {
			t.Errorf("orders/%d: a draining broker is in sync until it stops: %v", i, p.ISR)
		}
	}
	if v := c.View(); !v.Brokers[0].Draining {
		t.Errorf("%+v", v.Brokers)
	}
	again := replicated(t, c, "again", 6, nil) // with a replica on broker 1 all the same
	if n := leads(again.Partitions); n[1] != 0 || n[2] == 0 || n[3] == 0 {
		t.Errorf("leaders of a topic created meanwhile: %v", n)
	}
	few, err := c.CreateTopic(t.Context(), meta.TopicSpec{Name: "few", Partitions: 6, Replication: 2})
	must(t, err)
	for i, p := range few.Partitions {
		if slices.Contains(p.Replicas, 1) {
			t.Errorf("few/%d is on %v", i, p.Replicas)
		}
	}
	if inc, err := c.RegisterBroker(t.Context(), meta.Broker{ID: 1, Process: [16]byte{1}}); err != nil || inc != 2 || c.View().Brokers[0].Draining {
		t.Errorf("incarnation %d, %v, %+v", inc, err, c.View().Brokers)
	}
}

// TestMove: a move adds replicas, and removes the old ones once these are in sync.
func TestMove(t *testing.T) {
	c := three(t)
	x, err := c.CreateTopic(t.Context(), meta.TopicSpec{Name: "orders", Partitions: 1, Replication: 1})
	must(t, err)
	at, from := topic.Partition{Topic: x.ID}, x.Partitions[0].Leader
	to := from%3 + 1
	refused(t, c.Reassign(t.Context(), []machine.ReassignItem{{Partition: at, Target: []int32{9}}})[0], meta.ErrUnknownBroker)
	refused(t, c.Reassign(t.Context(), []machine.ReassignItem{{Partition: at}})[0], replication.ErrNoReassignment)
	must(t, c.Reassign(t.Context(), []machine.ReassignItem{{Partition: at, Target: []int32{to}}})[0])
	p := now(t, c, x)[0]
	if !slices.Equal(p.Adding, []int32{to}) || !slices.Equal(p.Removing, []int32{from}) || p.Leader != from {
		t.Fatalf("%+v", *p)
	}
	change := replication.ISRChange{Leader: from, Epoch: p.Epoch, Version: p.Version,
		ISR: []replication.Member{{Broker: from, Incarnation: 1}, {Broker: to, Incarnation: 1}}}
	must(t, c.AlterISR(t.Context(), []machine.ISRItem{{Partition: at, Change: change}})[0])
	if p = now(t, c, x)[0]; p.Leader != to || !slices.Equal(p.Replicas, []int32{to}) || len(p.Adding)+len(p.Removing) != 0 {
		t.Errorf("%+v", *p)
	}
	must(t, c.FenceBroker(t.Context(), to, 1))
	refused(t, c.UnregisterBroker(t.Context(), to), meta.ErrConflict) // it has the replica
	must(t, c.FenceBroker(t.Context(), from, 1))
	must(t, c.UnregisterBroker(t.Context(), from))
	refused(t, c.ReadyBroker(t.Context(), from, 1), meta.ErrStaleIncarnation)
	if n := len(c.View().Brokers); n != 2 {
		t.Errorf("%d brokers", n)
	}
}

// TestCoordinatorLeases: the first broker has the leases of all shards until its session ends.
// Then another may take them, and what the first one still sends is refused.
func TestCoordinatorLeases(t *testing.T) {
	c := three(t)
	check := func(want meta.Coordinator) {
		t.Helper()
		for shard, lease := range c.View().Coordinators {
			if lease != want {
				t.Errorf("shard %d: %+v, want %+v", shard, lease, want)
			}
		}
	}
	commit := meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{{}: {Offset: 7}}}
	check(meta.Coordinator{Broker: 1, Epoch: 1})
	must(t, c.ChangeGroup(t.Context(), "g", commit))
	must(t, c.FenceBroker(t.Context(), 1, 1))
	check(meta.Coordinator{Broker: meta.NoBroker, Epoch: 1})
	must(t, c.ChangeGroupAs(t.Context(), "g", 1, commit))
	must(t, c.AcquireCoordinators(t.Context(), 2, 1))
	check(meta.Coordinator{Broker: 2, Epoch: 2})
	refused(t, c.ChangeGroupAs(t.Context(), "g", 1, commit), meta.ErrConflict)
	_, err := c.AcquireCoordinator(t.Context(), c.ShardOfGroup("g"), 3, 1, 2)
	refused(t, err, meta.ErrConflict)
	must(t, c.DrainBroker(t.Context(), 2, 1))
	must(t, c.AcquireCoordinators(t.Context(), 3, 1))
	check(meta.Coordinator{Broker: 3, Epoch: 3})
}

// TestLostReplicas: replicas that lost records neither lead nor are in sync, even if nobody else
// is left.
func TestLostReplicas(t *testing.T) {
	c := three(t)
	x := replicated(t, c, "orders", 3, map[string]string{"min.insync.replicas": "3"})
	for b := int32(1); b <= 3; b++ {
		must(t, c.FenceBroker(t.Context(), b, 1))
	}
	if _, err := c.StartBroker(t.Context(), meta.Broker{ID: 2, Process: [16]byte{1}}); err != nil {
		t.Fatal(err)
	}
	lost := topic.Partition{Topic: x.ID, Index: 1}
	refused(t, c.LoseReplicas(t.Context(), 2, 1, []topic.Partition{lost}), meta.ErrStaleIncarnation)
	must(t, c.LoseReplicas(t.Context(), 2, 2, []topic.Partition{lost}))
	must(t, c.ReadyBroker(t.Context(), 2, 2))
	refused(t, c.LoseReplicas(t.Context(), 2, 2, []topic.Partition{{Topic: x.ID, Index: 2}}), meta.ErrStaleSession)
	if p := now(t, c, x); p[0].Leader != 2 || p[1].Leader != -1 || p[2].Leader != 2 || slices.Contains(p[1].ELR, 2) {
		t.Errorf("leaders %v, ELR %v", leads(p), p[1].ELR)
	}
	refused(t, c.LoseAllReplicas(t.Context(), 2, 2), meta.ErrStaleSession)
	must(t, c.FenceBroker(t.Context(), 2, 2))
	must(t, c.LoseAllReplicas(t.Context(), 2, 2))
	must(t, c.ReadyBroker(t.Context(), 2, 2))
	if p := now(t, c, x); p[0].Leader != -1 || len(p[0].ELR) != 2 {
		t.Errorf("%+v", *p[0])
	}
	unclean := []machine.ElectItem{{Partition: lost, To: 2}}
	must(t, c.ElectLeaders(t.Context(), meta.ElectUnclean, unclean)[0])
	if p := now(t, c, x)[1]; p.Leader != 2 || len(p.ISR) != 1 || len(p.ELR) != 0 {
		t.Errorf("%+v", *p)
	}
}

// TestMinInSyncReplicas: the partitions have what the topic says, as far as there are replicas,
// whether it is set at creation, later, or the topic grows.
func TestMinInSyncReplicas(t *testing.T) {
	c := three(t)
	x := replicated(t, c, "orders", 6, nil)
	check := func(want int) {
		t.Helper()
		for i, p := range now(t, c, x) {
			if p.MinISR != want {
				t.Errorf("orders/%d: %d, want %d", i, p.MinISR, want)
			}
		}
	}
	check(1)
	must(t, c.AlterTopic(t.Context(), x.ID, map[string]string{"min.insync.replicas": "2"}, nil))
	check(2)
	must(t, c.GrowTopic(t.Context(), x.ID, 11))
	check(2)
	must(t, c.AlterTopic(t.Context(), x.ID, map[string]string{"min.insync.replicas": "9"}, nil))
	check(3)
	must(t, c.AlterTopic(t.Context(), x.ID, nil, []string{"min.insync.replicas"}))
	check(1)
}

// TestClusterRecords: throttle states, controllers and the feature level are in the View, also
// after a restart.
func TestClusterRecords(t *testing.T) {
	cfg := small(t.TempDir())
	c := open(t, cfg)
	register(t, c, 1)
	throttle := meta.Throttle{Broker: 1, WALPermille: 900, UploadLagMs: 5000, FollowerLagMs: 20, AtMs: 1700000000000}
	refused(t, c.RecordThrottle(t.Context(), meta.Throttle{Broker: 2}), meta.ErrUnknownBroker)
	must(t, c.RecordThrottle(t.Context(), throttle))
	controller := meta.Controller{ID: 1, Feed: "localhost:9094", Raft: "localhost:9095"}
	must(t, c.RecordController(t.Context(), meta.Controller{ID: 2}))
	must(t, c.RecordController(t.Context(), controller))
	must(t, c.ForgetController(t.Context(), 2))
	must(t, c.RaiseFeature(t.Context(), 3))
	must(t, c.RaiseFeature(t.Context(), 2))
	must(t, c.DecommissionBroker(t.Context(), 1, true))
	refused(t, c.DecommissionBroker(t.Context(), 2, true), meta.ErrUnknownBroker)
	_, err := c.CreateTopic(t.Context(), meta.TopicSpec{Name: "t", Partitions: 1, Replication: 1})
	refused(t, err, meta.ErrInvalidReplicas)
	closed(t, c)
	c = open(t, cfg)
	t.Cleanup(func() { closed(t, c) })
	v := c.View()
	if !slices.Equal(v.Throttles, []meta.Throttle{throttle}) || !slices.Equal(v.Controllers, []meta.Controller{controller}) || v.Feature != 3 ||
		!v.Brokers[0].Decommissioned || v.Coordinators[0] != (meta.Coordinator{Broker: 1, Epoch: 1}) {
		t.Errorf("%+v", v)
	}
	if inc, live := v.Sessions[3].Live(1); inc != 1 || !live {
		t.Errorf("incarnation %d, live %v", inc, live)
	}
}
