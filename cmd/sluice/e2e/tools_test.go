package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The requests that tools and UIs send first get correct responses.
func TestWhatToolsAskFirstIsAnswered(t *testing.T) {
	b := newBroker(t)
	b.createTopic("orders", 3)
	cl, ctx := b.client(kgo.DefaultProduceTopic("orders"), kgo.RecordPartitioner(kgo.ManualPartitioner())), deadline(t)
	for range 5 {
		if err := cl.ProduceSync(ctx, &kgo.Record{Partition: 1, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(cl)

	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[int32]int64{}
	for _, dir := range dirs[1] {
		if dir.Err != nil {
			t.Error(dir.Dir, dir.Err)
		}
		for _, p := range dir.Topics["orders"] {
			sizes[p.Partition] += p.Size
		}
	}
	if len(sizes) != 3 || sizes[0] != 0 || sizes[1] < 5*68 || len(dirs[1]) != 2 {
		t.Errorf("partitions have %v bytes in %v", sizes, dirs[1])
	}

	parts := kmsg.NewPtrDescribeTopicPartitionsRequest()
	parts.Topics, parts.ResponsePartitionLimit = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "orders"}}, 2
	page, err := parts.RequestWith(ctx, cl)
	if err != nil || len(page.Topics) != 1 || len(page.Topics[0].Partitions) != 2 || page.NextCursor == nil || page.NextCursor.Partition != 2 {
		t.Errorf("a page of partitions: %+v, %v", page, err)
	}

	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	first := b.quorum(cl, quorum)
	b.createTopic("another", 1)
	if second := b.quorum(cl, quorum); first.LeaderID != 1 || first.LeaderEpoch < 1 || second.HighWatermark <= first.HighWatermark {
		t.Errorf("the quorum was %+v, and after a change %+v", first, second)
	}

	producers, err := adm.DescribeProducers(ctx, kadm.TopicsSet{"orders": {1: {}}})
	if err != nil {
		t.Fatal(err)
	}
	if p := producers.SortedProducers(); len(p) != 1 || p[0].ProducerID != id || p[0].ProducerEpoch != epoch || p[0].LastSequence != 4 {
		t.Errorf("producers are %+v, not %d with epoch %d and sequence 4", p, id, epoch)
	}

	if elected, err := adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, kadm.TopicsSet{"orders": {0: {}}}); err != nil || !errors.Is(elected["orders"][0].Err, kerr.ElectionNotNeeded) {
		t.Errorf("an election: %+v, %v", elected, err)
	}
	if moved, err := adm.ListPartitionReassignments(ctx, nil); err != nil || len(moved) != 0 {
		t.Errorf("reassignments: %+v, %v", moved, err)
	}
	if txns, err := adm.ListTransactions(ctx, nil, nil); err != nil || len(txns) != 0 {
		t.Errorf("transactions: %+v, %v", txns, err)
	}
	if quotas, err := adm.DescribeClientQuotas(ctx, false, nil); err != nil || len(quotas) != 0 {
		t.Errorf("quotas: %+v, %v", quotas, err)
	}
	resources := kmsg.NewPtrListConfigResourcesRequest()
	if listed, err := resources.RequestWith(ctx, cl); err != nil || listed.ErrorCode != 0 || len(listed.ConfigResources) != 4 {
		t.Errorf("resources: %+v, %v", listed, err)
	}
}

// quorum returns the state of the metadata quorum.
func (b *broker) quorum(cl *kgo.Client, req *kmsg.DescribeQuorumRequest) *kmsg.DescribeQuorumResponseTopicPartition {
	b.t.Helper()
	resp, err := req.RequestWith(deadline(b.t), cl)
	if err != nil || len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		b.t.Fatalf("the quorum: %+v, %v", resp, err)
	}
	return &resp.Topics[0].Partitions[0]
}

// After a kill, DescribeLogDirs still returns the size of uploaded data, and DescribeProducers the
// producers of a partition.
func TestToolsSeeObjectsAndProducersAfterAKill(t *testing.T) {
	n := newMetaNode(t, t.TempDir(), 1<<20)
	if err := n.serve(); err != nil {
		t.Fatal(err)
	}
	n.createTopic("orders", 1)
	cl, ctx := n.client(kgo.DefaultProduceTopic("orders"), kgo.ProducerBatchCompression(kgo.NoCompression())), deadline(t)
	const records, size = 40, 64 << 10
	for range records {
		if err := cl.ProduceSync(ctx, &kgo.Record{Value: make([]byte, size)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	id, _, err := cl.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stored := n.stored("orders", 1<<20)
	cl.Close()
	n.kill()
	if err := n.serve(); err != nil {
		t.Fatal(err)
	}
	if again := n.stored("orders", stored); again > records*(size+100) {
		t.Errorf("%d bytes in objects, and %d after a kill, of %d", stored, again, records*size)
	}
	set := kadm.TopicsSet{"orders": {0: {}}}
	for adm := n.admins(); ; <-time.After(20 * time.Millisecond) {
		producers, err := adm.DescribeProducers(ctx, set)
		if err != nil {
			t.Fatal(err)
		}
		p := producers["orders"].Partitions[0]
		if errors.Is(p.Err, kerr.NotLeaderForPartition) {
			continue // not loaded yet
		}
		if all := p.ActiveProducers.Sorted(); p.Err != nil || len(all) != 1 || all[0].ProducerID != id || all[0].LastSequence != records-1 {
			t.Errorf("producers are %+v, %v; want %d with sequence %d", all, p.Err, id, records-1)
		}
		return
	}
}

// stored waits until a topic has at least this many bytes in objects, and returns how many it has.
func (b *broker) stored(topic string, least int64) int64 {
	b.t.Helper()
	for ctx, adm := deadline(b.t), b.admins(); ; <-time.After(20 * time.Millisecond) {
		dirs, err := adm.DescribeAllLogDirs(ctx, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		got := int64(0)
		for name, dir := range dirs[1] {
			for _, p := range dir.Topics[topic] {
				if strings.HasPrefix(name, "file://") {
					got += p.Size
				}
			}
		}
		if got >= least {
			return got
		}
	}
}
