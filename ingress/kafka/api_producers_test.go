package kafka

import (
	"testing"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func producersOf(name string, partitions ...int32) *kmsg.DescribeProducersRequest {
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: name, Partitions: partitions}}
	return req
}

func TestProducersOfAPartition(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 3)
	table := idempotence.NewTable(1 << 20)
	wrote := table.Open()
	wrote.Append(idempotence.Batch{ProducerID: 9, Epoch: 1, FirstSequence: 0, LastSequence: 4, AppendedMs: 1000}, 0)
	wrote.Append(idempotence.Batch{ProducerID: 9, Epoch: 1, FirstSequence: 5, LastSequence: 6, AppendedMs: 2000}, 5)
	wrote.Append(idempotence.Batch{ProducerID: 5, Epoch: 0, FirstSequence: 0, LastSequence: 0, AppendedMs: 1500}, 7)
	c.known = map[topic.Partition]*idempotence.Producers{
		{Topic: orders.ID, Index: 0}: wrote,
		{Topic: orders.ID, Index: 1}: table.OpenLoading(1, 9, 3),
	}
	resp := call[*kmsg.DescribeProducersResponse](c, producersOf("orders", 0, 1, 2, 3))
	parts := resp.Topics[0].Partitions
	for i, want := range []*kerr.Error{nil, kerr.NotLeaderForPartition, nil, kerr.UnknownTopicOrPartition} {
		wantCode(t, "partition", parts[i].ErrorCode, want)
	}
	active := parts[0].ActiveProducers
	if len(active) != 2 || active[0].ProducerID != 5 || len(parts[2].ActiveProducers) != 0 {
		t.Fatalf("producers: %+v", parts)
	}
	if p := active[1]; p.ProducerID != 9 || p.ProducerEpoch != 1 || p.LastSequence != 6 || p.LastTimestamp != 2000 || p.CoordinatorEpoch != -1 || p.CurrentTxnStartOffset != -1 {
		t.Errorf("producer 9: %+v", p)
	}
	wantCode(t, "unknown topic", call[*kmsg.DescribeProducersResponse](c, producersOf("nobody", 0)).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
	if err := c.change(func(all map[topic.ID]*meta.Topic) error {
		all[orders.ID].Partitions[0].Leader = 2
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "led by another broker", call[*kmsg.DescribeProducersResponse](c, producersOf("orders", 0)).Topics[0].Partitions[0].ErrorCode, kerr.NotLeaderForPartition)
}

func TestProducersAreChargedBeforeTheyAreTold(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	ps := idempotence.NewTable(16 << 20).Open()
	for id := range int64(5000) {
		ps.Append(idempotence.Batch{ProducerID: id, AppendedMs: 1000}, id)
	}
	c.known = map[topic.Partition]*idempotence.Producers{{Topic: orders.ID, Index: 0}: ps}
	req := producersOf("orders", 0)
	resp := call[*kmsg.DescribeProducersResponse](c, req)
	took := int64(len(resp.AppendTo(nil))) + 5000*int64(unsafe.Sizeof(kmsg.DescribeProducersResponseTopicPartitionActiveProducer{})+unsafe.Sizeof(idempotence.State{}))
	if n := c.producersBytes(req); n < took || n > 2*took {
		t.Errorf("%d bytes are charged for %d", n, took)
	}
}

// A partition is answered once, however often a small request lists it: repeating all of its
// producers could exceed the broker's memory.
func TestProducersOfAPartitionThatIsNamedOften(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 2)
	ps := idempotence.NewTable(1 << 20).Open()
	ps.Append(idempotence.Batch{ProducerID: 9, AppendedMs: 1000}, 0)
	c.known = map[topic.Partition]*idempotence.Producers{{Topic: orders.ID, Index: 1}: ps}
	often := make([]int32, 1000)
	for i := range often {
		often[i] = 1
	}
	req := producersOf("orders", often...)
	req.Topics = append(req.Topics, kmsg.DescribeProducersRequestTopic{Topic: "orders", Partitions: []int32{1, 0}})
	resp := call[*kmsg.DescribeProducersResponse](c, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 || len(resp.Topics[0].Partitions[0].ActiveProducers) != 1 {
		t.Errorf("%d topics, the first with %d partitions", len(resp.Topics), len(resp.Topics[0].Partitions))
	}
	if once := c.producersBytes(producersOf("orders", 0, 1)); c.producersBytes(req) != once {
		t.Errorf("charged %d bytes; without duplicates it is %d", c.producersBytes(req), once)
	}
}
