package machine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// golden makes the test rewrite the golden files. A difference needs a new format version.
var golden = flag.Bool("golden", false, "write the golden files")

// examples returns one of each command, with every field set.
func examples() []Command {
	instance := "static"
	at := topic.Partition{Topic: topicID("orders"), Index: 300}
	ref := meta.ObjectRef{ID: objectID("object"), Base: 1000, End: 2000, Bytes: 1 << 20, MaxTimestamp: 1700000000000, WrittenMs: 1700000000500}
	return []Command{
		&InitCluster{ClusterID: "J8qXxkzrTkOo5zFJ6gXkOw", Shards: 16},
		&RegisterBroker{Broker: meta.Broker{ID: 3, Incarnation: 9, Process: [16]byte{7, 6}, Session: 2, Host: "broker-3", Port: 9092, Rack: "a", Internal: "10.0.0.3:9093",
			Fenced: true, Draining: true, Decommissioned: true}, After: 8},
		&BeginTopic{Spec: meta.TopicSpec{Name: "orders", ID: at.Topic, Partitions: 12, Replication: 3, Internal: true,
			Configs: map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"}}},
		&GrowTopic{ID: at.Topic, Partitions: 24},
		&FinishTopic{ID: at.Topic, Partitions: 24, Revision: 1},
		&AlterTopic{ID: at.Topic, Set: map[string]string{"a": "1"}, Del: []string{"b", "c"}},
		&DeleteTopic{ID: at.Topic},
		&ForgetTopic{ID: at.Topic},
		&AllocateIDs{Count: 1000},
		&RecordWAL{WAL: meta.WAL{Broker: 3, ID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}},
		&RecordWALStart{Start: meta.WALStart{Broker: 3, Process: [16]byte{5}}},
		&RecordClaim{Claim: meta.Claim{Broker: 3, Found: [16]byte{1}, Process: [16]byte{2}}},
		&DecommissionBroker{Broker: 3, On: true},
		&UnregisterBroker{Broker: 4},
		&RecordThrottle{Throttle: meta.Throttle{Broker: 3, WALPermille: 700, UploadLagMs: 1500, FollowerLagMs: 90, AtMs: 1700000000009}},
		&RecordController{Controller: meta.Controller{ID: 1, Feed: "10.0.0.1:9094", Raft: "10.0.0.1:9095"}},
		&ForgetController{ID: 2},
		&RaiseFeature{Level: 1},
		&SettleTopic{ID: at.Topic, Revision: 1},
		&RecordLoss{},
		&EnsurePartitions{Topic: at.Topic, MinISR: MinISR{2, 6}, Parts: []NewPartition{{0, []int32{1, 2}}, {16, []int32{2, 3}}}},
		&StartBroker{Broker: 3, Incarnation: 10},
		&SetLogStart{Partition: at, Offset: 1500, NowMs: 1700000000001},
		&PrepareObject{ID: ref.ID, Shards: 0b101, ExpiryMs: 1700003600000},
		&CommitParts{ID: ref.ID, NowMs: 1700000000002, Parts: []meta.CommitPart{{Partition: at, Epoch: 4, Ref: ref,
			Epochs: []meta.EpochStart{{Epoch: 0, Start: 0}, {Epoch: 4, Start: 900}},
			Producers: meta.Producers{Recent: []byte{1, 2, 3}, Sections: []meta.ProducerSection{
				{Object: ref.ID, Offset: 40, Length: 3000, CRC: 0xfedcba98, End: 1990, NewestMs: 1700000000000, IDs: 77, FirstID: 1001, LastID: 1077}}}}}},
		&ExpireObjects{NowMs: 1700000000003},
		&CollectObjects{IDs: []meta.ObjectID{ref.ID, objectID("other")}},
		&DropTopic{Topic: at.Topic, NowMs: 1700000000004},
		&ChangeGroup{Name: "readers", Epoch: 1, Change: meta.GroupChange{
			State: &meta.Group{Name: "readers", Generation: 7, ProtocolType: "consumer", Protocol: "range", Leader: "m1",
				Members: []meta.GroupMember{{ID: "m1", InstanceID: &instance, ClientID: "c", ClientHost: "/127.0.0.1",
					SessionTimeoutMs: 45000, RebalanceMs: 300000, Subscription: []byte{1, 2}, Assignment: []byte{3}}, {ID: "m2"}}},
			Set:   map[topic.Partition]meta.CommittedOffset{at: {Offset: 1200, LeaderEpoch: 4, Metadata: "x", CommitMs: 1700000000005}},
			Clear: []topic.Partition{{Topic: at.Topic, Index: 2}}, Delete: true}},
		&TrimLog{Partition: at, Epoch: 4, Offset: 1600, NowMs: 1700000000006},
		&ReplaceObjects{Partition: at, Epoch: 4, Old: []meta.ObjectRef{ref}, New: meta.ObjectRef{ID: objectID("merged"),
			Base: 1000, End: 2000, Bytes: 1 << 19, MaxTimestamp: 1699999999999, WrittenMs: 1700000000500}, CleanEnd: 1900, NowMs: 1700000000007},
		&MarkDeleted{IDs: []meta.ObjectID{ref.ID, objectID("other")}},
		&ExpireProducers{BeforeMs: 1690000000000, NowMs: 1700000000008},
		&LoseReplicas{Broker: 3, Incarnation: 10, Session: 2, All: true, Partitions: []topic.Partition{at}},
		&AlterISR{Items: []ISRItem{{at, replication.ISRChange{Leader: 3, Epoch: 4, Version: 5,
			ISR: []replication.Member{{Broker: 3, Incarnation: 10}, {Broker: 2, Incarnation: 7}}}}}},
		&ElectLeaders{Kind: meta.ElectUnclean, Items: []ElectItem{{at, 2}}},
		&SetMinISR{Topic: at.Topic, MinISR: MinISR{3, 7}},
		&Reassign{Items: []ReassignItem{{at, []int32{3, 4}}}},
		&AcquireCoordinator{Broker: 3, Incarnation: 10, After: 4},
		&ReadyBroker{Broker: 3, Incarnation: 10, Session: 2},
		&FenceBroker{Broker: 3, Incarnation: 10, Session: 2},
		&DrainBroker{Broker: 3, Incarnation: 10},
	}
}

// states returns a Root and a Shard with something of everything.
func states(t *testing.T) (*Root, *Shard) {
	root, shard := NewRoot(), NewShard()
	apply := func(cmds ...Command) {
		for _, cmd := range cmds {
			_, _, errRoot := root.Apply(cmd)
			_, _, errShard := shard.Apply(cmd)
			if errRoot != nil && errShard != nil {
				t.Fatalf("%T belongs to no machine: %v, %v", cmd, errRoot, errShard)
			}
		}
	}
	for _, id := range []int32{2, 4} {
		apply(&RegisterBroker{Broker: meta.Broker{ID: id}}, &StartBroker{Broker: id, Incarnation: 7}, &ReadyBroker{Broker: id, Incarnation: 7})
		if id == 2 {
			apply(&ReadyBroker{Broker: id, Incarnation: 1}) // in Root
		}
	}
	for _, cmd := range examples() {
		switch x := cmd.(type) {
		case *DeleteTopic, *ForgetTopic, *DropTopic, *LoseReplicas, *FenceBroker, *DrainBroker, *ReadyBroker, *AcquireCoordinator, *ElectLeaders:
			continue
		case *RegisterBroker:
			x.After = 0
			apply(x, &FenceBroker{Broker: 3, Incarnation: 1})
			cmd = &ReadyBroker{Broker: 3, Incarnation: 1, Session: 1}
		case *BeginTopic:
			x.Spec.Replication = 1
		case *StartBroker:
			apply(x, &ReadyBroker{Broker: 3, Incarnation: 10, Session: 5}, &AcquireCoordinator{Broker: 3, Incarnation: 10})
			cmd = &EnsurePartitions{Topic: topicID("orders"), Parts: []NewPartition{{300, []int32{3, 2}}}}
		case *CommitParts:
			x.Parts[0].Ref.Base, x.Parts[0].Epoch = 0, 0
		case *ChangeGroup:
			x.Change.Delete = false
		case *TrimLog:
			x.Epoch = 0
		case *ReplaceObjects:
			apply(&PrepareObject{ID: x.New.ID, Shards: 1, ExpiryMs: x.NowMs + 1})
			x.Epoch, x.Old[0].Base, x.New.Base = 0, 0, 0
		}
		apply(cmd)
	}
	gone := topicID("gone")
	for _, cmd := range []Command{&BeginTopic{Spec: meta.TopicSpec{Name: "gone", ID: gone, Partitions: 1, Replication: 1}},
		&FinishTopic{ID: gone, Partitions: 1}, &DeleteTopic{ID: gone}, &ForgetTopic{ID: gone}} {
		if r, _, err := root.Apply(cmd); err != nil || r.Code != OK {
			t.Fatalf("%T: %v, %v", cmd, r.Code, err)
		}
	}
	return root, shard
}

func TestGoldenCommands(t *testing.T) {
	var lines []string
	for _, cmd := range examples() {
		b := Encode(cmd)
		lines = append(lines, fmt.Sprintf("%-16s %s", strings.TrimPrefix(fmt.Sprintf("%T", cmd), "*machine."), hex.EncodeToString(b)))
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, cmd) {
			t.Errorf("%T: read back as %+v, %v", cmd, got, err)
		}
	}
	compare(t, "commands.golden", []byte(strings.Join(lines, "\n")+"\n"))
}

func TestGoldenSnapshots(t *testing.T) {
	root, shard := states(t)
	compare(t, "root.golden", root.Snapshot())
	compare(t, "shard.golden", shard.Snapshot())
	restored(t, root.Snapshot(), RestoreRoot)
	s := restored(t, shard.Snapshot(), RestoreShard)
	if !reflect.DeepEqual(s, shard) {
		t.Errorf("read back as %+v, want %+v", s, shard)
	}
}

// TestOldSnapshots: snapshots of older versions are refused, not misread.
func TestOldSnapshots(t *testing.T) {
	root, shard := states(t)
	for version := range byte(shardVersion) {
		b := shard.Snapshot()
		b[0] = version
		if _, err := RestoreShard(b); !errors.Is(err, ErrVersion) {
			t.Errorf("shard, version %d: %v", version, err)
		}
	}
	for version := range byte(rootVersion) {
		b := root.Snapshot()
		b[0] = version
		if _, err := RestoreRoot(b); !errors.Is(err, ErrVersion) {
			t.Errorf("root, version %d: %v", version, err)
		}
	}
}

// TestForgottenTopicsAreRemembered: the most recently forgotten topics are remembered.
func TestForgottenTopicsAreRemembered(t *testing.T) {
	r := NewRoot()
	_, _, _ = r.Apply(&RegisterBroker{Broker: meta.Broker{ID: 1}})
	_, _, _ = r.Apply(&ReadyBroker{Broker: 1, Incarnation: 1})
	var last topic.ID
	for i := range maxGone + 5 {
		last = topicID(fmt.Sprint(i))
		for _, cmd := range []Command{&BeginTopic{Spec: meta.TopicSpec{Name: "t", ID: last, Partitions: 1, Replication: 1}},
			&FinishTopic{ID: last, Partitions: 1}, &DeleteTopic{ID: last}, &ForgetTopic{ID: last}} {
			if result, _, err := r.Apply(cmd); err != nil || result.Code != OK {
				t.Fatalf("%T: %v, %v", cmd, result.Code, err)
			}
		}
	}
	gone := r.All().Cluster.Gone
	if len(gone) != maxGone || gone[maxGone-1] != last || gone[0] != topicID("5") {
		t.Errorf("%d are remembered", len(gone))
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *golden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; data of older versions can no longer be read:\n got %q\nwant %q", path, got, want)
	}
}

// TestCutOff: no proper prefix of a command or a snapshot is accepted.
func TestCutOff(t *testing.T) {
	for _, cmd := range examples() {
		b := Encode(cmd)
		for n := range b {
			if got, err := Decode(b[:n]); err == nil {
				t.Errorf("%d of %d bytes of a %T were decoded as %+v", n, len(b), cmd, got)
			}
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Errorf("a trailing byte after a %T was accepted", cmd)
		}
	}
	root, shard := states(t)
	for n := range root.Snapshot() {
		if _, err := RestoreRoot(root.Snapshot()[:n]); err == nil {
			t.Errorf("%d bytes of a root snapshot were accepted", n)
		}
	}
	for n := range shard.Snapshot() {
		if _, err := RestoreShard(shard.Snapshot()[:n]); err == nil {
			t.Errorf("%d bytes of a shard snapshot were accepted", n)
		}
	}
}

func TestOtherVersion(t *testing.T) {
	for name, err := range map[string]error{
		"command":     func() error { _, err := Decode([]byte{Version + 1, 1}); return err }(),
		"old command": func() error { _, err := Decode([]byte{Version - 1, 1}); return err }(),
		"kind":        func() error { _, err := Decode([]byte{Version, 31}); return err }(),
		"snapshot":    func() error { _, err := RestoreRoot([]byte{rootVersion + 1}); return err }(),
		"result":      func() error { _, err := DecodeResult([]byte{Version + 1}); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), ErrVersion.Error()) {
			t.Errorf("%s of another version: %v", name, err)
		}
	}
}
